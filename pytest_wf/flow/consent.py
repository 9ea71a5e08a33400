"""Consent to costs and deletions: by config, or on a terminal."""

from __future__ import annotations

from pytest_wf.config.keys import CONSENT
from pytest_wf.errors import OperationFailed
from pytest_wf.project.project import Project


def has_consent(project: Project, provider: str = "") -> bool:
    """Whether the config consents in advance to `provider` billing or deleting a pod.

    A provider without a key of consent costs nothing and needs none.
    """
    key = project.config.key_of(provider or project.rented_from, CONSENT)
    return key is None or bool(project.config.provided[key.name])


def require_consent(project: Project, *, interactive: bool, to: str, provider: str = "") -> None:
    """Raise OperationFailed('consent') if there is no terminal to ask on and the config does
    not consent in advance."""
    config = project.config
    key = config.key_of(provider or project.rented_from, CONSENT)
    if key is None or config.provided[key.name] or interactive:
        return
    if config.wf_require_noninteractive_safe:
        raise OperationFailed(
            "consent",
            f"{to} needs consent, and there is no terminal to ask on.",
            f"Set {key.name}=1. {key.doc}",
        )
