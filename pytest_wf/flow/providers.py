"""The built-in providers; they come in through the same hook as everybody's."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from pytest_wf.pods.base import Provider
from pytest_wf.pods.local import LocalProvider
from pytest_wf.pods.ssh import SshProvider

__all__ = ["BuiltinProviders"]

hookimpl = pluggy.HookimplMarker("pytest")


class BuiltinProviders:
    """This machine, and any host that ssh reaches."""

    @hookimpl(trylast=True)
    def pytest_wf_providers(self) -> Sequence[Provider]:
        """The providers that need no further package."""
        return [LocalProvider(), SshProvider()]
