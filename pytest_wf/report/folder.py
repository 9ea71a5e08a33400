"""Reads the records of a flow's folder: complete, unfinished or damaged, each on its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pytest_wf.errors import InputError, Problem
from pytest_wf.evidence import chain
from pytest_wf.evidence.folder import files_of, read_regular
from pytest_wf.evidence.records import (
    ConstitutionalReport,
    DeterministicReport,
    Evidence,
    FleetRecord,
    FlowStart,
    FlowSummary,
    Verdict,
)
from pytest_wf.evidence.summary import NOT_OF_RECORDS, recomputed
from pytest_wf.evidence.verify import VerifyResult, verify_flow
from pytest_wf.wire.assignment import is_member
from pytest_wf.wire.files import BadJson, read_json

R = TypeVar("R", bound=BaseModel)

#: A sweep of 10,000 rows with many metrics has about 100 MB of evidence.
_MAX_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class PhaseFiles:
    """A phase's four records, for those that exist and can be read."""

    evidence: Evidence | None = None
    deterministic: DeterministicReport | None = None
    constitutional: ConstitutionalReport | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Folder:
    """The records of a flow."""

    path: Path
    start: FlowStart | None
    #: As it follows from the other records, if the folder has a summary that can be read.
    summary: FlowSummary | None
    #: By phase code, in order; phases with any file.
    phases: dict[str, PhaseFiles]
    #: The present result of `wf verify`.
    verified: VerifyResult
    #: Names of all files in the folder.
    names: tuple[str, ...]
    #: Records that could not be read, one sentence each.
    problems: list[str] = field(default_factory=list)
    #: The part of each member, by its name; empty for a flow on one pod.
    members: Mapping[str, Folder] = field(default_factory=dict)
    #: Its record of its members; None for a flow on one pod.
    fleet: FleetRecord | None = None

    @property
    def flow_id(self) -> str:
        """The flow's id; the folder's name if no record has it."""
        return self.start.flow_id if self.start is not None else self.path.name

    def last(self, name: str) -> object:
        """The last value of the field `name` in any phase's evidence."""
        values = (getattr(p.evidence, name) for p in self.phases.values() if p.evidence)
        return next((v for v in reversed(list(values)) if v not in (None, "")), None)

    @property
    def parts(self) -> list[Folder]:
        """The flow's own folder, and those of its members."""
        return [self, *self.members.values()]

    def fact(self, code: str, name: str) -> object:
        """A fact of phase `code`, of the first member that has it; None if there is none."""
        found = [part.phases.get(code, PhaseFiles()).evidence for part in self.parts]
        return next((e.facts[name] for e in found if e is not None and name in e.facts), None)


def read_folders(paths: Iterable[Path]) -> list[Folder]:
    """Read the flows in `paths`, each once.

    Raises InputError with every path that is not a flow's folder.
    """
    read: list[Folder] = []
    problems: list[Problem] = []
    for path in dict.fromkeys(path.resolve() for path in paths):
        try:
            read.append(read_folder(path))
        except InputError as e:
            problems.extend(e.problems)
    if problems:
        raise InputError(problems)
    return read


def rule_of(folders: Sequence[Folder]) -> str:
    """The rule that rows of several flows are ranked by: `WF_RANK_BY` of the last flow."""
    return next((start.rank_by for folder in reversed(folders) if (start := folder.start)), "")


def read_folder(path: Path) -> Folder:
    """Read the flow in `path`. A record that cannot be read becomes a problem, not an error.

    Raises InputError if `path` is not a flow's folder.
    """
    path = path.resolve()
    names = tuple(files_of(path)) if path.is_dir() else ()
    codes = sorted({part[0] for part in map(chain.phase_of, names) if part})
    if not chain.is_flow(names):
        raise InputError(
            [
                Problem(
                    "flow folder",
                    None,
                    "flow_dir",
                    str(path),
                    "no flow's evidence is there.",
                    "Name a folder such as reports/flows/<flow_id>.",
                )
            ]
        )
    problems: list[str] = []

    def record(name: str, model: type[R]) -> R | None:
        if name not in names:
            return None
        try:
            if (path / name).is_symlink():
                raise BadJson("it is a link")
            return model.model_validate(read_json(str(path / name), _MAX_BYTES))
        except (OSError, BadJson) as e:
            problems.append(f"{name} cannot be read: {e}")
        except ValidationError as e:
            problems.append(f"{name} is not what this version writes: {_first(e)}")
        return None

    def phase(code: str) -> PhaseFiles:
        return PhaseFiles(
            record(chain.phase_file(code, "evidence"), Evidence),
            record(chain.phase_file(code, "deterministic"), DeterministicReport),
            record(chain.phase_file(code, "constitutional"), ConstitutionalReport),
            record(chain.phase_file(code, "verdict"), Verdict),
        )

    return Folder(
        path=path,
        start=record(chain.START, FlowStart),
        summary=_believed(path, record(chain.SUMMARY, FlowSummary)),
        phases={code: phase(code) for code in codes},
        verified=verify_flow(path, with_views=False),
        names=names,
        problems=problems,
        fleet=record(chain.FLEET, FleetRecord),
        members={
            name: read_folder(path / chain.MEMBERS / name)
            for name in _members(names)
            if not (path / chain.MEMBERS / name).is_symlink()
        },
    )


def _members(names: Iterable[str]) -> list[str]:
    """The members whose folders are among the files of a flow."""
    parts = [name.split("/") for name in names if name.startswith(f"{chain.MEMBERS}/")]
    named = {part[1] for part in parts if len(part) == 3 and chain.is_flow([part[2]])}
    return sorted(filter(is_member, named), key=lambda name: int(name[3:]))


def _believed(path: Path, stated: FlowSummary | None) -> FlowSummary | None:
    """The summary that follows from the other records; as stated if that is unknown.

    Differences and missing records are findings of the verification.
    """
    if stated is None:
        return None
    paths = files_of(path)
    chained = {name: p for name, p in paths.items() if chain.is_flow([name])}
    try:
        computed = recomputed({name: read_regular(p) for name, p in chained.items()})
    except (OSError, ValueError, RecursionError):
        return stated
    return computed.model_copy(update={name: getattr(stated, name) for name in NOT_OF_RECORDS})


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
