"""Results that a deletion of the pod would lose: files of runs without an equal copy here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pytest_wf.agent.results.checkpoints import Checkpoints
from pytest_wf.errors import OperationFailed
from pytest_wf.evidence.fetch_record import CHECKPOINT, LeftOut, left_out_text, size_text
from pytest_wf.fetch.announced_files import announced_runs, hostile
from pytest_wf.fetch.local_copies import LocalCopies
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import operations
from pytest_wf.wire.rows import FoundRun, Malformed, listed
from pytest_wf.wire.states import DRY_RUN

#: The most runs that a message names, and files of a run in the evidence.
_MOST_RUNS = 10
_MOST_FILES = 20


class Loss(NamedTuple):
    """The files of a run on the pod that are not on this machine."""

    #: Relative to the pod's outputs directory.
    run_path: str
    files: tuple[LeftOut, ...]

    def as_json(self) -> dict[str, Any]:
        """The run, the number and size of its files, and the first of them by name."""
        return {
            "run": self.run_path,
            "files": len(self.files),
            "bytes": sum(file.bytes for file in self.files),
            "first": [file.as_json() for file in self.files[:_MOST_FILES]],
        }

    def __str__(self) -> str:
        count, size = len(self.files), size_text(sum(file.bytes for file in self.files))
        named = left_out_text(self.files[:1]) if count == 1 else f"{count} files, {size}"
        return f"{self.run_path} ({named})"


def runs_on(session: PodSession) -> list[FoundRun]:
    """Every run directory on the pod that may have results, including the archive."""
    try:
        runs = listed(session.request(operations.INVENTORY), "runs", FoundRun.from_json)
    except Malformed as e:
        raise hostile(f"its list of runs: {e}") from None
    # a dry run leaves a command and no results
    return [run for run in runs if run.state != DRY_RUN]


def losses(session: PodSession, runs: Sequence[FoundRun] | None = None) -> list[Loss]:
    """Each run on the pod, or of `runs`, with files that are not here.

    Every file is searched in all copies of its run, and compared with the digest of its
    fetch. A checkpoint is marked as one if WF_DELETE_CHECKPOINTS=1. Raises
    OperationFailed('hostile-answer').
    """
    project = session.project
    runs = runs_on(session) if runs is None else runs
    copies = LocalCopies(project.root / project.config.local_artifacts_dir)
    patterns = project.config.checkpoint_patterns if project.config.wf_delete_checkpoints else ()
    checkpoints = Checkpoints(patterns)
    found = []
    for run, there in zip(
        runs, announced_runs(session.client, [run.path for run in runs]), strict=True
    ):
        gone = [
            LeftOut(file.path, file.size, CHECKPOINT if checkpoints.of(file.path) else "not here")
            for file in copies.lacking(run.path, there.files)
        ]
        gone += [one for one in there.odd if one.is_loss]
        if gone:
            found.append(Loss(run.path, tuple(gone)))
    return found


def refuse(name: str, lost: Iterable[Loss]) -> None:
    """Raise OperationFailed('unfetched') if deleting the pod `name` would lose files
    that are not marked as checkpoints."""
    lost = [loss for loss in lost if any(file.is_loss for file in loss.files)]
    if not lost:
        return
    shown = ", ".join(map(str, lost[:_MOST_RUNS]))
    shown += f" and {len(lost) - _MOST_RUNS} more runs" if len(lost) > _MOST_RUNS else ""
    raise OperationFailed(
        "unfetched",
        f"results on {name} are not here and verified: {shown}.",
        "Fetch them with `wf fetch-all --for-delete`, or set WF_DELETE_UNFETCHED=1 to lose them.",
        {"unfetched": [loss.as_json() for loss in lost]},
    )
