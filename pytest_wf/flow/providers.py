"""The built-in providers; they come in through the same hook as everybody's."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from pytest_wf.pods.base import Provider
from pytest_wf.pods.lium.lazy import LazyLium
from pytest_wf.pods.local import LocalProvider
from pytest_wf.pods.ssh.provider import SshProvider

__all__ = ["BuiltinProviders"]

hookimpl = pluggy.HookimplMarker("pytest")


class BuiltinProviders:
    """This machine, any host that ssh reaches, and pods of Lium."""

    @hookimpl(trylast=True)
    def pytest_wf_providers(self) -> Sequence[Provider]:
        """The providers that come with the package; Lium's needs an extra when it is used."""
        return [LocalProvider(), SshProvider(), LazyLium()]
