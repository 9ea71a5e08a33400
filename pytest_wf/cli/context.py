"""The project and pod of one `wf` command: its way to the operations, without pytest."""

from __future__ import annotations

import functools
import os
import secrets as entropy
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pytest_wf.cli.conftests import extensions_of
from pytest_wf.config.fleet import member_name
from pytest_wf.court.checklist import Checklist
from pytest_wf.court.named_commands import with_whole_commands
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.errors import InputError, Problem
from pytest_wf.flow.extensions import Extensions, installed
from pytest_wf.flow.header import header_line, header_lines
from pytest_wf.flow.operations import rented_pods
from pytest_wf.flow.operations.checkout import checkout
from pytest_wf.flow.operations.doctor import Verdict, doctor
from pytest_wf.flow.operations.provision import bind, provision
from pytest_wf.flow.operations.sweep import Sweep
from pytest_wf.flow.readiness.local_checks import Controller
from pytest_wf.flow.results import Result
from pytest_wf.flow.secrets import known_secrets, redactor_of, secrets_of
from pytest_wf.flow.session import PodSession
from pytest_wf.pods.base import Provider
from pytest_wf.pods.patience import Patience
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options, Project, find_root
from pytest_wf.wire import fsm, ids, operations
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.states import OTHER_POD

#: All pods of a flow on several pods.
ALL = "all"


def _new_id() -> str:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return "p-" + ids.flow_id(stamp, entropy.token_hex(3))[2:]


def bare_header(cwd: Path, *, for_people: bool) -> tuple[list[str], Redactor]:
    """Header lines of a command that needs no project, and the redactor of its text.

    The header is that of the project around `cwd`, if that is valid.
    """
    try:
        context = Context.open(cwd)
    except InputError:
        return _header(None, _new_id(), for_people), known_secrets(os.environ)
    return context.header(for_people=for_people), context.redactor


def _header(project: Project | None, command_id: str, for_people: bool) -> list[str]:
    if for_people:
        return [header_line(project, mode="primitive", flow_id=command_id)]
    return header_lines(project, mode="primitive", flow_id=command_id)


class Pods(NamedTuple):
    """The pod or pods that a command is for."""

    #: The name of one, `ALL`, or '' if no name was given.
    name: str
    #: Without a name it is for all pods; otherwise for this run's pod, or for none.
    on_all: bool = False
    run_id: str = ""


def _owner(parts: Sequence[Context], run_id: str) -> Context:
    """The pod that trains a row; the first pod for an id that is not a row of a campaign."""
    found = parts[0]
    for part in parts:
        row = Sweep(part.session()).row(run_id)
        if row is not None and row.state != OTHER_POD:
            found = part
    for part in parts:
        if part is not found:
            part.close()
    return found


def _no_such_pod(pod: str, names: Sequence[str]) -> InputError:
    reason = "no pod of the config has this name." if pod else "the config names several pods."
    remedy = f"Choose one: {', '.join(names)}."
    return InputError([Problem("command line", None, "--pod", pod or None, reason, remedy)])


class Context:
    """The project and pod of one `wf` command."""

    def __init__(self, project: Project, loaded: Extensions | InputError) -> None:
        self.project = project
        self._loaded = loaded
        self.id = _new_id()
        self._session: PodSession | None = None
        #: The name of the pod; '' for the only one, and for all of several.
        self.member = ""
        #: Called each time that the pod does not answer.
        self.on_silence: Callable[[Patience], None] = lambda patience: None

    @classmethod
    def open(
        cls,
        cwd: Path,
        *,
        config: Path | None = None,
        csv: Path | None = None,
        needs_csv: bool = False,
    ) -> Context:
        """Load the project around `cwd`. Raises InputError with all mistakes.

        The CSV is checked only with `needs_csv`: a sweep can be stopped while its CSV is edited.
        """
        mode = "start" if needs_csv else "skip"
        root = find_root(cwd)
        here = os.path.relpath(root, os.path.abspath(cwd))
        options = Options(
            config=config,
            csv=csv,
            sweep=mode,
            teardown="keep",
            root_from_here="" if here == os.curdir else here,
        )
        loaded: Extensions | InputError
        try:
            loaded = extensions_of(root)
        except InputError as e:
            loaded = e  # a command that reaches no pod needs no provider of the project
        known = installed() if isinstance(loaded, InputError) else loaded
        try:
            project = load_project(
                root, options, os.environ, known.providers(), reads_csv=needs_csv
            )
        except InputError:
            if isinstance(loaded, InputError):
                raise loaded from None  # the unknown keys may be the provider's
            raise
        return cls(project, loaded)

    def several(self) -> dict[str, Context]:
        """The contexts of all pods, by name. Raises InputError where the config names one pod."""
        if self.project.members:
            return {name: self._of_member(name, own) for name, own in self.project.members.items()}
        reason = "the config names one pod, and this is about several."
        raise InputError([Problem("command line", None, "", None, reason, "Look at WF_PODS.")])

    def parts(self, pods: Pods) -> list[Context]:
        """The contexts that a command works on, one for each pod. Raises InputError."""
        members = self.project.members
        if pods.name not in ("", ALL, *(members or [member_name(1)])):
            raise _no_such_pod(pods.name, list(members) or [member_name(1)])
        if not members:
            return [self]
        if pods.name in members:
            return [self._of_member(pods.name, members[pods.name])]
        every = [self._of_member(name, project) for name, project in members.items()]
        if pods.run_id and not pods.name:
            return [_owner(every, pods.run_id)]
        if not pods.on_all and not pods.name:
            raise _no_such_pod("", list(members))
        return every

    def _of_member(self, name: str, project: Project) -> Context:
        found = Context(project, self._loaded)
        found.id, found.member, found.on_silence = self.id, name, self.on_silence
        return found

    @property
    def extensions(self) -> Extensions:
        """Providers and contracts of the project and of installed packages. Raises InputError."""
        if isinstance(self._loaded, InputError):
            raise self._loaded
        return self._loaded

    @functools.cached_property
    def _providers(self) -> list[Provider]:
        return self.extensions.providers()

    def header(self, *, for_people: bool) -> list[str]:
        """The header: one line for people, or the lines of the terminal contract."""
        return _header(self.project, self.id, for_people)

    def doctor(self) -> Verdict:
        """The local checks of P00, and those of the pod."""
        controller = Controller(self.project, self._providers, os.isatty(0), os.environ)
        return doctor(controller, lambda: self.session(write_nothing=True))

    @functools.cached_property
    def redactor(self) -> Redactor:
        """The redactor of everything that is shown."""
        return redactor_of(self.project, os.environ)

    def whole(self, text: str) -> str:
        """`text` with the commands in it as they are run after this one."""
        of = self.project.options
        given = {"config": of.config or "", "csv": of.csv or "", "root": of.root_from_here}
        return with_whole_commands(text, {name: str(value) for name, value in given.items()})

    def secrets(self) -> dict[str, str]:
        """Values of WF_SECRET_ENV."""
        return secrets_of(self.project, os.environ)

    def session(self, *, write_nothing: bool = False) -> PodSession:
        """The session with the target that the config names. Raises InputError for several."""
        if self.project.members:
            raise _no_such_pod("", list(self.project.members))
        if self._session is None:
            _, provider, target = bind(self.project, self._providers, None)
            self._session = PodSession(
                self.project, provider, target, flow_id=self.id, write_nothing=write_nothing
            )
            self._session.patience.tell = self.on_silence
        return self._session

    @property
    def findings(self) -> list[str]:
        """Damaged files of the pod that were found so far, a sentence each; contacts no pod."""
        return [] if self._session is None else self._session.findings

    def check_out(self, show: Callable[[str], None]) -> Result:
        """P50's operation, with the data contracts of the flow."""
        project = self.project
        contracts = self.extensions.data_contracts(project.config, project.rows)
        return checkout(self.session(), show=show, contracts=contracts)

    def rent(self, say: Callable[[str], None], *, bind: bool) -> Result:
        """P10's operation, and the first connection, which pins the pod's host key.

        With `bind`, the pod is written into the config. Raises OperationFailed before anything
        is rented if no key can name it.
        """
        providers = self._providers
        key = rented_pods.binding_key(self.project, providers) if bind else ""
        result = provision(
            self.project,
            providers,
            flow_id=self.id,
            interactive=os.isatty(0),
            say=say,
        )
        if result.target is None:
            return result
        if key:
            rented_pods.bind_config(self.project.config_path, key, result.target.name)
        provider = next(p for p in providers if p.name == result.target.transport)
        session = PodSession(self.project, provider, result.target, flow_id=self.id)
        self._session = session
        waited = rented_pods.await_link(session, say)
        return Result("pod-up", {**result.facts, **waited.facts, "bound": bind})

    def pods(self) -> Result:
        """The project's rented pods, and volumes."""
        return rented_pods.list_pods(self.project, self._providers)

    def delete_pod(self, written: str, *, force: bool) -> Result:
        """Delete a rented pod by its id, name or huid."""
        return rented_pods.delete_pod(
            self.project, self._providers, written, interactive=os.isatty(0), force=force
        )

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
        return Result(
            "fsm-reset", session.request(operations.FSM_RESET, {"state": state, "reason": reason})
        )

    def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            self._session.close()
