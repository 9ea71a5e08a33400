"""Collection of a flow: phases in the order of their codes, rows, and the plan."""

from __future__ import annotations

import gc
import inspect
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pytest_wf.court.contract import Contract, is_code, states_from
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.plugin.import_guard import contacts_forbidden
from pytest_wf.plugin.other_plugins import MARKS
from pytest_wf.plugin.phase_item import PHASE, PhaseItem
from pytest_wf.plugin.reporting import Reporting
from pytest_wf.plugin.selection import (
    NodeId,
    collect_whole_flow,
    deselected_phases,
    dropped_by_mark,
    is_deselected,
    named_wrongly,
    rows_are,
)
from pytest_wf.project.project import CONFIG, Project
from pytest_wf.project.queue_plan import queue_lines
from pytest_wf.wire import fsm

#: Core phases that run once, whatever the number of pods.
_ONCE = frozenset({"P00", "P10", "P20", "P70", "P99"})
#: A phase that returns a value was probably meant to assert it.
_NOTHING_RETURNED = pytest.mark.filterwarnings("error::pytest.PytestReturnNotNoneWarning")


class Collection:
    """Collects a flow. No pod is contacted before collection has ended."""

    def __init__(
        self,
        config: pytest.Config,
        project: Project,
        reporting: Reporting,
        ignored: Sequence[str] = (),
        *,
        interactive: bool,
    ) -> None:
        self._config = config
        #: Options in `addopts` that a flow ignores.
        self._ignored = ignored
        #: Tests that the command line names.
        self._named: list[NodeId] = []
        self._project = project
        self._reporting = reporting
        self._interactive = interactive
        #: Set once every item has its phase; pytest ends collection even if that failed.
        self._is_whole = False

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, Any, Any]:
        """Collect complete flows only; raise for connections while modules are imported."""
        folder = self._project.root / CONFIG.parent
        self._named = collect_whole_flow(self._config, folder)
        with contacts_forbidden():
            return (yield)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per sweep row, parametrized by its run id only; one per member for
        phases that run on each pod."""
        mark = metafunc.definition.get_closest_marker("phase")
        if mark is None:
            return
        if self._project.members and _is_per_member(mark):
            if "wf_member" not in metafunc.fixturenames:
                metafunc.fixturenames.append("wf_member")
            names = list(self._project.members)
            metafunc.parametrize("wf_member", names, ids=names, indirect=True)
        if not mark.kwargs.get("rows") or "wf_run" not in metafunc.fixturenames:
            return
        run_ids = [row.run_id for row in self._project.rows]
        metafunc.parametrize("wf_run", run_ids, ids=run_ids, indirect=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Register the orderer late, so that it wraps every other selection, including `--lf`."""
        manager = session.config.pluginmanager
        manager.register(_Orderer(self), "wf-orderer")
        if manager.hasplugin("lfplugin-collwrapper"):
            # --lf would skip complete files of phases before they are collected
            manager.unregister(name="lfplugin-collwrapper")

    def arrange(self, items: list[pytest.Item]) -> None:
        """Read every item's phase. Raises pytest.UsageError with all mistakes."""
        problems: list[str] = []
        functions: dict[tuple[str, str], list[str]] = {}
        # an empty parameter set results in one item that is not a row
        items[:] = [item for item in items if not _is_empty_row(item)]
        for item in items:
            try:
                phase = _phase_of(item)
            except ValueError as e:
                problems.append(f"{_place(item)}: {e}")
                continue
            item.stash[PHASE] = phase
            if phase.run_id is None:
                functions.setdefault((phase.contract.code, phase.member), []).append(_place(item))
        for (code, _), places in sorted(functions.items()):
            if len(places) > 1:
                where = ", ".join(sorted(set(places)))
                problems.append(f"{where}: {code} is the code of two phases")
        if not self._config.option.collectonly:
            found = {code for code, _ in functions}
            missing = [code for code in CONTRACTS if code not in found]
            if missing:
                problems.append(
                    f"the flow lacks {', '.join(missing)}. Run `pytest flows/ --wf-flow`; "
                    "selections (-k, node ids) act on sweep rows only"
                )
        problems += self._dropped(items)
        if problems:
            self._reporting.write_no_reports()
            raise pytest.UsageError(*dict.fromkeys(problems))
        for item in items:
            self._limit(item)
        self._is_whole = True

    def _dropped(self, items: list[pytest.Item]) -> list[str]:
        """Problems with selections that would keep phases from running."""
        known = [item for item in items if PHASE in item.stash]
        phases = [item for item in known if item.stash[PHASE].run_id is None]
        rows = [item for item in known if item.stash[PHASE].run_id is not None]
        return [
            *named_wrongly(self._named, phases, rows),
            *dropped_by_mark(self._config, known),
            *deselected_phases(self._config, phases),
        ]

    def is_named(self, item: pytest.Item) -> bool:
        """Whether the command line names the item, or names none."""
        return not self._named or any(node.covers(item) for node in self._named)

    def select(self, rows: Sequence[pytest.Item], kept: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Select the rows of the items that selections have `kept`, of all `rows`.

        Returns the items of these rows: a selected row keeps its tests in all phases.
        Raises pytest.UsageError if no row is left.
        """
        gone = {_run_id(item) for item in rows if is_deselected(self._config, item)}
        run_ids = [i for i in dict.fromkeys(map(_run_id, kept)) if i not in gone]
        if rows and not run_ids:
            self._is_whole = False
            self._reporting.write_no_reports()
            raise pytest.UsageError(
                f"the selection leaves no sweep row. {rows_are(rows)} "
                "Selections (-k, node ids) act on sweep rows only; `--wf-sweep=skip` launches none."
            )
        if rows:
            known = {row.run_id: row for row in self._project.rows}
            if not self._config.getoption("failedfirst", False):
                run_ids = [run_id for run_id in known if run_id in set(run_ids)]
            self._project = replace(self._project, rows=tuple(known[i] for i in run_ids))
        place = {run_id: number for number, run_id in enumerate(run_ids)}
        return sorted(
            (item for item in rows if _run_id(item) in place), key=lambda i: place[_run_id(i)]
        )

    def _limit(self, item: pytest.Item) -> None:
        contract = item.stash[PHASE].contract
        item.add_marker(_NOTHING_RETURNED, append=False)
        if item.stash[PHASE].run_id is None and contract.timeout_s is not None:
            limit = contract.timeout_s or self._project.config.wf_phase_timeout_secs
            if limit:
                item.add_marker(pytest.mark.timeout(limit, method="signal", func_only=True))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Fail every phase if the flow was not created."""
        if not self._config.pluginmanager.hasplugin("wf-phases"):
            pytest.fail("the flow was not collected completely, so none of it runs", pytrace=False)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Create the flow, unless collection failed or only the plan was asked for."""
        if session.config.option.collectonly:
            return
        if session.testsfailed or not self._is_whole:
            self._reporting.write_no_reports()
            return
        from pytest_wf.plugin.drawn_views import DrawnViews
        from pytest_wf.plugin.phases import Phases

        contracts = {i.stash[PHASE].contract.code: i.stash[PHASE].contract for i in session.items}
        stashed = [item.stash[PHASE] for item in session.items]
        phases = Phases(
            session.config,
            self._project,
            contracts,
            {phase.contract.code for phase in stashed if phase.member},
            self._reporting,
            interactive=self._interactive,
        )
        session.config.pluginmanager.register(phases, "wf-phases")
        views = DrawnViews(session.config, self._reporting, phases.flow)
        session.config.pluginmanager.register(views, "wf-drawn-views")
        gc.freeze()  # the modules of the flow, as those of pytest before

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> list[str]:
        """Print the plan, every phase with its contract, before pytest lists the items."""
        if not self._is_whole:
            return []
        lines = []
        if self._ignored:
            lines.append(
                f"wf: ignored in addopts: {', '.join(self._ignored)}; "
                "in a flow they count only on the command line"
            )
        if not self._config.option.collectonly:
            return lines
        contracts = {i.stash[PHASE].contract.code: i.stash[PHASE].contract for i in items}
        return [*lines, *plan(self._project, list(contracts.values()))]


class _Orderer:
    """Sorts items by phase; lets a selection remove rows only."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Hide phases from every other selection, then sort all items."""
        self._collection.arrange(items)
        fixed = [item for item in items if item.stash[PHASE].run_id is None]
        rows = [item for item in items if item.stash[PHASE].run_id is not None]
        items[:] = [item for item in rows if self._collection.is_named(item)]
        yield
        kept = self._collection.select(rows, items)
        items[:] = sorted(fixed + kept, key=lambda item: item.stash[PHASE].order)


def plan(project: Project, contracts: list[Contract]) -> list[str]:
    """The flow as it would run, one line per phase; from contracts alone."""
    rows = f"{len(project.rows)} sweep rows"
    if project.deselected:
        rows = f"{len(project.rows)} of {len(project.all_rows)} sweep rows"
    lines = [f"plan: {len(contracts)} phases, {rows}"]
    lines += queue_lines(project)
    if project.options.smoke:
        lines.append(
            "P60 smoke run: before the sweep starts, the first row that it trains runs with "
            f"'{' '.join(project.config.smoke_overrides)}', "
            f"for at most {project.config.smoke_timeout_secs} s"
        )
    for contract in sorted(contracts, key=lambda c: c.code):
        states = "any"
        if contract.states_before is not None and contract.states_before != frozenset(fsm.STATES):
            states = "|".join(s for s in fsm.STATES if s in contract.states_before)
        limit = "none"
        if contract.timeout_s is not None:
            limit = f"{contract.timeout_s or project.config.wf_phase_timeout_secs} s"
        lines.append(
            f"{contract.code} {contract.name}: {contract.intent} "
            f"[commands: {', '.join(contract.commands)}; states: {states}; "
            f"failures: {contract.family}xx; laws: {' '.join(map(str, contract.laws))}; "
            f"limit: {limit}]"
        )
    return lines


def _phase_of(item: pytest.Item) -> PhaseItem:
    mark = item.get_closest_marker("phase")
    if mark is None:
        raise ValueError("a test in a flow is a phase: mark it `@pytest.mark.phase(...)`")
    for name in MARKS:
        if item.get_closest_marker(name) is not None:
            raise ValueError(f"a phase cannot be marked {name}: it runs once, and has a court")
    if len(mark.args) != 1 or not isinstance(mark.args[0], str) or not is_code(mark.args[0]):
        raise ValueError(f"phase{mark.args!r} is not a phase code such as 'P55'")
    unknown = set(mark.kwargs) - {"command", "needs", "rows", "timeout_s", "laws", "once"}
    if unknown:
        raise ValueError(
            f"phase({mark.args[0]!r}) has no {', '.join(sorted(unknown))}; "
            "it takes command, needs, rows, timeout_s, laws and once"
        )
    contract = _contract(item, mark.args[0], mark.kwargs)
    callspec = getattr(item, "callspec", None)
    if not mark.kwargs.get("rows"):
        member = str(callspec.params.get("wf_member", "")) if callspec is not None else ""
        return PhaseItem(contract, None, member)
    if callspec is None or "wf_run" not in callspec.params:
        raise ValueError("a phase with rows=True takes the fixture wf_run")
    return PhaseItem(contract, str(callspec.params["wf_run"]))


def _is_per_member(mark: pytest.Mark) -> bool:
    """Whether a phase runs once per pod."""
    code = mark.args[0] if len(mark.args) == 1 else None
    if not isinstance(code, str) or not is_code(code) or mark.kwargs.get("rows"):
        return False  # a row has one test, on whichever pod it is trained
    if code in CONTRACTS:
        return code not in _ONCE
    return code > "P30" and not mark.kwargs.get("once")


def _contract(item: pytest.Item, code: str, kwargs: Mapping[str, Any]) -> Contract:
    limit = kwargs.get("timeout_s")
    if code in CONTRACTS:
        core = CONTRACTS[code]
        if kwargs.get("needs") or kwargs.get("laws"):
            raise ValueError(f"{code} is a core phase: its contract is not the author's")
        return core if limit is None else core._replace(timeout_s=limit)
    command = kwargs.get("command")
    if not isinstance(command, str) or not re.fullmatch(r"[a-z][a-z0-9-]*", command):
        raise ValueError(
            f'{code} has no contract: set command="…" in its mark (lower case, digits, dashes)'
        )
    intent = (inspect.getdoc(getattr(item, "obj", None)) or "").strip().split("\n")[0]
    if not intent:
        raise ValueError(f"{code} has no contract: its docstring's first line must describe it")
    needs = kwargs.get("needs") or fsm.POD_READY
    if needs not in fsm.STATES:
        raise ValueError(f"needs={needs!r} is not a state; states are {', '.join(fsm.STATES)}")
    # before P30 there is no pod that could have a state
    states = None if code < "P30" and not kwargs.get("needs") else states_from(needs)
    name = getattr(item, "originalname", item.name).removeprefix("test_").upper()
    extra: dict[str, Any] = {} if limit is None else {"timeout_s": limit}
    return Contract(
        code,
        name,
        intent.rstrip("."),
        (command,),
        laws=tuple(kwargs.get("laws") or (1, 3, 5, 6, 9)),
        states_before=states,
        states_after=states,
        **extra,
    )


def _run_id(item: pytest.Item) -> str:
    return str(item.stash[PHASE].run_id)


def _place(item: pytest.Item) -> str:
    path, line, _ = item.location
    return f"{path}:{(line or 0) + 1}"


def _is_empty_row(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    if callspec is None or item.get_closest_marker("phase") is None:
        return False
    return not isinstance(callspec.params.get("wf_run", ""), str)
