"""The door through which a `wf` command reaches an operation, without pytest."""

from __future__ import annotations

import base64
import os
import secrets as entropy
import sys
import time
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TextIO

import pluggy

from pytest_wf import hookspecs
from pytest_wf.core.constitution import CONTRACTS
from pytest_wf.errors import InputError, OperationFailed, Problem
from pytest_wf.flow import operations
from pytest_wf.flow.checklist import Checklist
from pytest_wf.flow.header import header_lines
from pytest_wf.flow.project import Options, Project, find_root, load_project
from pytest_wf.flow.providers import BuiltinProviders
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession
from pytest_wf.flow.sweep import ENDED, Sweep
from pytest_wf.pods.base import Provider
from pytest_wf.wire import fsm, ids

__all__ = ["Door", "installed_providers"]

_PIECE = 1 << 20


def installed_providers() -> list[Provider]:
    """Providers that are built in or come under the entry point group ``pytest_wf``."""
    manager = pluggy.PluginManager("pytest")
    manager.add_hookspecs(hookspecs)
    manager.register(BuiltinProviders())
    for found in entry_points(group="pytest_wf"):
        manager.register(found.load())
    answers: Sequence[Sequence[Provider]] = manager.hook.pytest_wf_providers()
    return [provider for providers in answers for provider in providers]


class Door:
    """One `wf` command's view of a project and its pod."""

    def __init__(self, project: Project, providers: Sequence[Provider]) -> None:
        self.project = project
        self._providers = providers
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.id = "p-" + ids.flow_id(stamp, entropy.token_hex(3))[2:]
        self._session: PodSession | None = None

    @classmethod
    def open(cls, cwd: Path, *, config: Path | None, csv: Path | None, needs_csv: bool) -> Door:
        """Load the project around `cwd`. Raises InputError with every mistake."""
        mode = "start" if needs_csv else "skip"
        options = Options(config=config, csv=csv, sweep=mode, teardown="keep")
        return cls(load_project(find_root(cwd), options, os.environ), installed_providers())

    def header(self) -> list[str]:
        """The header lines of the terminal contract."""
        return header_lines(self.project, mode="primitive", flow_id=self.id)

    def precheck(self) -> Result:
        """P00's operation."""
        return operations.precheck(self.project, interactive=sys.stdin.isatty(), environ=os.environ)

    def secrets(self) -> dict[str, str]:
        """Values of WF_SECRET_ENV."""
        return operations.secrets_of(self.project, os.environ)

    def session(self, *, write_nothing: bool = False) -> PodSession:
        """The session with the target that the config names."""
        if self._session is None:
            _, provider, target = operations.bind(self.project, self._providers, None)
            self._session = PodSession(
                self.project, provider, target, flow_id=self.id, write_nothing=write_nothing
            )
        return self._session

    def checklist(self) -> Checklist:
        """The project's checklist."""
        config = self.project.config
        return Checklist(
            self.project.root / config.wf_checklist_path,
            CONTRACTS,
            reset_on_end=config.wf_checklist_reset_on_end,
        )

    def reset_state(self, state: str) -> Result:
        """`wf fsm-reset`. Raises InputError for a state that does not exist."""
        if state not in fsm.STATES:
            raise InputError(
                [
                    Problem(
                        "wf fsm-reset",
                        None,
                        "STATE",
                        state,
                        "no such state.",
                        f"Choose one of {', '.join(fsm.STATES)}.",
                    )
                ]
            )
        session = self.session()
        session.hold_lease()
        reason = "set by hand with wf fsm-reset"
        return Result("fsm-reset", session.request("fsm-reset", {"state": state, "reason": reason}))

    def copy_log(self, run_id: str, out: TextIO, *, follow: bool) -> int:
        """Copy a run's log to `out`, by offset; with `follow` until the run has ended.

        Returns the bytes copied. Raises OperationFailed('no-such-run').
        """
        if not ids.is_id(run_id):
            raise OperationFailed(
                "no-such-run", f"{run_id!r} is no run id.", "See wf sweep-status."
            )
        session, offset = self.session(), 0
        sweep = Sweep(session)
        while True:
            ended = not follow or (sweep.row(run_id) or {}).get("state") in ENDED
            piece = session.request(
                "log", {"run_id": run_id, "offset": offset, "max_bytes": _PIECE}
            )
            data = base64.b64decode(piece["data"])
            out.write(data.decode("utf-8", "replace"))
            out.flush()
            offset += len(data)
            if not data and ended:
                return offset
            if not data:
                sweep.wait_for_news()

    def close(self) -> None:
        """Give the pod back."""
        if self._session is not None:
            self._session.close()
