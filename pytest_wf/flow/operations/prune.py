"""Frees disk space on the pod and on this machine.

Files without another copy are removed only with `--yes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pytest_wf.evidence.fetch_record import size_text
from pytest_wf.fetch.announced_files import hostile
from pytest_wf.fetch.superseded import Copy, remove, superseded
from pytest_wf.flow.operations.unfetched import losses
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession
from pytest_wf.project.project import Project
from pytest_wf.wire import ids, operations
from pytest_wf.wire.rows import FoundRun, Malformed, listed
from pytest_wf.wire.states import DRY_RUN

ARCHIVED, TREES, COPIES = "archive", "trees", "superseded"


class Pruning(NamedTuple):
    """The request."""

    #: Of ARCHIVED, TREES and COPIES.
    what: Sequence[str]
    #: Name what would be removed, and remove nothing.
    dry_run: bool = False
    #: Whether files without another copy may be removed, too.
    yes: bool = False


class _Found(NamedTuple):
    """What can be removed by kind, what is kept and why, and what a removal loses."""

    going: dict[str, list[str]]
    kept: dict[str, str]
    lost: list[dict[str, Any]]


def prune(project: Project, open_session: Callable[[], PodSession], asked: Pruning) -> Result:
    """Remove what later campaigns and fetches replaced: runs of the pod's archive, working trees,
    copies here. The facts name what was removed, what was kept and why, and what is lost."""
    # the pod first: its archive may be compared with a copy here
    found = [_on_pod(open_session(), asked)] if {ARCHIVED, TREES} & set(asked.what) else []
    found += [_copies(project, asked)] if COPIES in asked.what else []
    going = {kind: names for one in found for kind, names in one.going.items()}
    facts = {
        "would_remove" if asked.dry_run else "removed": going,
        "kept": {name: why for one in found for name, why in one.kept.items()},
        "lost": [loss for one in found for loss in one.lost],
    }
    return Result("prune", facts)


def _on_pod(session: PodSession, asked: Pruning) -> _Found:
    answer = session.request(operations.INVENTORY, {"trees": TREES in asked.what}, timeout_s=300)
    try:
        found = listed(answer, "runs", FoundRun.from_json)
    except Malformed as e:
        raise hostile(f"its list of runs: {e}") from None
    is_asked = ARCHIVED in asked.what
    runs = [run for run in found if is_asked and run.path.startswith(ids.ARCHIVE + "/")]
    # a dry run leaves a command and no results
    lost = losses(session, [run for run in runs if run.state != DRY_RUN])
    kept = {} if asked.yes else {loss.run_path: f"not here: {loss}" for loss in lost}
    going = [run.path for run in runs if run.path not in kept]
    trees = [str(tree) for tree in answer.get("trees") or ()]
    if not asked.dry_run and (going or trees):
        session.hold_lease()
        args = {"archived": going, "trees": TREES in asked.what}
        done = session.request(operations.PRUNE, args, timeout_s=600)
        going, trees = list(done["archived"]), list(done["trees"])
    losing = [loss.as_json() for loss in lost if loss.run_path in going]
    return _Found({ARCHIVED: going, TREES: trees}, kept, losing)


def _copies(project: Project, asked: Pruning) -> _Found:
    config = project.config
    evidence = project.root / config.wf_flow_evidence_dir
    found = superseded(project.root / config.local_artifacts_dir, evidence)
    kept = {copy.name: _why_kept(copy) for copy in found if copy.is_needed and not asked.yes}
    going = [copy for copy in found if copy.name not in kept]
    for copy in () if asked.dry_run else going:
        remove(copy)
    losing = [copy.as_json() for copy in going if copy.is_needed]
    return _Found({COPIES: [copy.name for copy in going]}, kept, losing)


def _why_kept(copy: Copy) -> str:
    why = [f"flow {flow} could no longer be verified completely" for flow in copy.flows]
    if copy.files:
        why.append(f"{copy.files} files, {size_text(copy.bytes)}, are in no other copy here")
    return "; ".join(why)
