"""Job arrays of a campaign: which rows each one has, and the record of it.

``slurm/<n>.json`` in the campaign's folder is written before array `n` is submitted, and once more
with its id. A row belongs to the newest array that has it.
"""

import math
import os
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.wire.files import BadJson, read_json, write_json
from pytest_wf.wire.rows import Row

SCHEMA = 1
#: In a campaign's folder: the subfolder of the records, scripts and logs of its arrays.
_FOLDER = "slurm"
#: The most tasks of one array: Slurm blocks a client that asks for more than it can queue.
MOST = 1000
#: Seconds that a job may take beyond its row's time-out and grace: for its start and its end.
_MARGIN_S = 120


class Shape(NamedTuple):
    """What rows of one array have in common."""

    gpus: int
    nodes: int
    #: Minutes; 0 for `WF_SLURM_TIME`, or what the partition gives.
    minutes: int

    @property
    def text(self) -> str:
        """The shape as text for people."""
        time = ", %d min" % self.minutes if self.minutes else ""
        nodes = "%d nodes with " % self.nodes if self.nodes > 1 else ""
        return "%s%d GPUs each%s" % (nodes, self.gpus, time)


class Chunk(NamedTuple):
    """One job array."""

    #: From 1, over all launches of the campaign.
    number: int
    name: str
    run_ids: Tuple[str, ...]
    shape: Shape
    #: Slurm's id of the array; None if its submission was not acknowledged.
    job: Optional[int] = None

    @classmethod
    def read(cls, folder: str, number: int) -> "Chunk":
        """Array `number` of the campaign in `folder`, as recorded. Raises OSError."""
        path = path_of(folder, number)
        try:
            return cls._of(number, read_json(path))
        except (BadJson, LookupError, TypeError, ValueError) as e:
            raise OSError("%s cannot be read: %s" % (path, e)) from None

    @classmethod
    def _of(cls, number: int, body: Any) -> "Chunk":
        shape = Shape(*(int(part) for part in body["shape"]))
        job = body["job"]
        run_ids = tuple(str(run_id) for run_id in body["run_ids"])
        return cls(number, str(body["name"]), run_ids, shape, None if job is None else int(job))

    def save(self, folder: str) -> None:
        """Write the record into the campaign's `folder`."""
        body: Dict[str, Any] = dict(self._asdict(), schema=SCHEMA, shape=list(self.shape))
        os.makedirs(os.path.join(folder, _FOLDER), mode=0o700, exist_ok=True)
        write_json(path_of(folder, self.number), body, 0o600)


def path_of(folder: str, number: int, kind: str = "json") -> str:
    """The record of array `number` of the campaign in `folder`, or its file of another `kind`."""
    return os.path.join(folder, _FOLDER, "%d.%s" % (number, kind))


def log_of(folder: str, number: int, index: str) -> str:
    """Path of the output of task `index` of array `number` before the runner keeps a log."""
    return os.path.join(folder, _FOLDER, "%d-%s.log" % (number, index))


def recorded(folder: str) -> List[Chunk]:
    """Every array of the campaign in `folder`, oldest first. Raises OSError."""
    try:
        names = os.listdir(os.path.join(folder, _FOLDER))
    except FileNotFoundError:
        return []
    stems = (name[:-5] for name in names if name.endswith(".json"))
    return [Chunk.read(folder, int(stem)) for stem in sorted(stems, key=_number) if _number(stem)]


def _number(stem: str) -> int:
    return int(stem) if stem.isdigit() else 0


def places(chunks: Iterable[Chunk]) -> Dict[str, Tuple[Chunk, int]]:
    """For each row the newest array that has it, and its index there."""
    return {
        run_id: (chunk, index) for chunk in chunks for index, run_id in enumerate(chunk.run_ids)
    }


def shape_of(campaign: Campaign, row: Row) -> Shape:
    """The resources that the job of a row requests."""
    settings = campaign.settings
    gpus = row.gpus or settings.int("GPUS_PER_RUN")
    limit_s = settings.int("RUN_TIMEOUT_SECS") if row.timeout_s is None else row.timeout_s
    whole_s = limit_s + settings.int("RUN_KILL_GRACE_SECS") + _MARGIN_S if limit_s else 0
    return Shape(gpus, row.nodes or 1, math.ceil(whole_s / 60))


def planned(campaign: Campaign, rows: Sequence[Row], most: int, first: int) -> List[Chunk]:
    """The arrays for `rows`, of at most `most` tasks, numbered from `first`."""
    by_shape: Dict[Shape, List[str]] = {}
    for row in rows:
        by_shape.setdefault(shape_of(campaign, row), []).append(row.run_id)
    found: List[Chunk] = []
    for shape, run_ids in by_shape.items():
        for begin in range(0, len(run_ids), most):
            number = first + len(found)
            name = "wf-%s.%d" % (campaign.campaign_id, number)
            found.append(Chunk(number, name, tuple(run_ids[begin : begin + most]), shape))
    return found
