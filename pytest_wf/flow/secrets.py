"""Secrets of a flow: values of WF_SECRET_ENV, their redactor, and the signing key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_wf.errors import InputError, OperationFailed
from pytest_wf.notify import sender
from pytest_wf.project.project import Project
from pytest_wf.wire import user
from pytest_wf.wire.redact import MIN_SECRET_CHARS, Redactor

if TYPE_CHECKING:
    from pytest_wf.evidence.signing import SigningKey

#: Keys that training tools read from the environment. A failed assertion on
#: `os.environ` prints them, even if the config does not name them.
_WELL_KNOWN_SECRETS = (
    "WANDB_API_KEY",
    "HF_TOKEN",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
)


def secrets_of(project: Project, environ: Mapping[str, str]) -> dict[str, str]:
    """The values of WF_SECRET_ENV, from the local environment.

    Raises OperationFailed('config') naming each that is unset or too short to be masked, and each
    line of the config or the CSV that contains the value of one.
    """
    # jobs of Slurm get them from a file on the cluster
    names = () if project.config.wf_slurm_secret_file else project.config.wf_secret_env
    wrong = []
    for name in names:
        value = environ.get(name, "")
        if len(value) < MIN_SECRET_CHARS:
            state = f"has fewer than {MIN_SECRET_CHARS} characters" if value else "is not set"
            wrong.append(f"{name} {state}")
    if wrong:
        raise OperationFailed(
            "config",
            f"WF_SECRET_ENV: {'; '.join(wrong)} in this environment.",
            "Export a value, or take the name out of WF_SECRET_ENV.",
        )
    found = {name: environ[name] for name in names}
    places = _lines_with(project, Redactor(found.values()))
    if places:
        raise OperationFailed(
            "config",
            f"{', '.join(places)}: contains the value of a variable of WF_SECRET_ENV; "
            "it would be copied to the pod and be in command lines.",
            "Leave it out: the program that needs it finds the variable in its environment.",
        )
    return found


def _lines_with(project: Project, redactor: Redactor) -> list[str]:
    """The lines of the config and the CSV with a secret, as ``<file>:<line>``."""
    files = [(project.config_path, project.config_raw)]
    if project.csv_path is not None and project.manifest is not None:
        files.append((project.csv_path, project.manifest.raw))
    return [
        f"{os.path.relpath(path)}:{number}"
        for path, raw in files
        for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), start=1)
        if redactor and redactor.text(line) != line
    ]


def signing_key_of(project: Project) -> SigningKey | None:
    """The key of WF_SIGNING_KEY_FILE; None if none is named.

    Raises OperationFailed('config') for an unusable key: a flow with a configured key
    is never left unsigned.
    """
    config = project.config
    if not config.wf_signing_key_file:
        return None
    from pytest_wf.evidence.signing import read_signing_key

    place = project.root / user.expanded(config.wf_signing_key_file)
    try:
        return read_signing_key(
            place, os.path.relpath(project.config_path), config.source("WF_SIGNING_KEY_FILE")
        )
    except InputError as e:
        raise OperationFailed("config", e.message) from None


def redactor_of(project: Project, environ: Mapping[str, str]) -> Redactor:
    """Masks the values of WF_SECRET_ENV, the URLs of WF_NOTIFY, the providers' credentials, and
    the known keys of tools on this machine."""
    config = project.config
    names = (*config.wf_secret_env, *project.secret_env, *_WELL_KNOWN_SECRETS)
    urls = sender.urls_of(config, environ).values()
    values = [environ.get(name, "") for name in names]
    return Redactor([*values, *(part for text in urls for part in sender.secrets_in(text))])


def known_secrets(environ: Mapping[str, str]) -> Redactor:
    """Masks the known keys of tools on this machine, if no project is loaded."""
    return Redactor(environ.get(name, "") for name in _WELL_KNOWN_SECRETS)
