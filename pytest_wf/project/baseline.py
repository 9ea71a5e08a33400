"""The project's baseline: rows of a good flow that later rows are compared with.

`flows/baseline.json` is beside the config and the CSV, so that it is committed with them: the
metrics that a row must reach are part of an experiment as much as its config.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_wf.errors import InputError, Problem
from pytest_wf.wire.files import BadJson, parse_json, read_bytes, sha256_bytes

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Baseline

#: Path of a project's baseline below its root.
BASELINE = Path("flows") / "baseline.json"
#: 10,000 rows of 256 metrics each take about 100 MB.
MAX_BYTES = 256 * 1024 * 1024
_REMEDY = "Restore it from version control, or write it again with `wf baseline set <flow_dir>`."


@dataclass(frozen=True)
class BaselineFile:
    """A baseline, and the bytes that it was read from."""

    record: Baseline
    raw: bytes

    @property
    def sha256(self) -> str:
        """Digest of its bytes."""
        return sha256_bytes(self.raw)

    def row(self, run_id: str) -> Mapping[str, float]:
        """The metrics of a row; empty if the row is not in the baseline."""
        found = self.record.rows.get(run_id)
        return {} if found is None else found.metrics


def read_baseline(root: Path) -> BaselineFile | None:
    """The project's baseline; None if there is none.

    Raises InputError if the file exists and is not a valid baseline.
    """
    path = root / BASELINE
    try:
        raw = read_bytes(str(path), MAX_BYTES + 1)
    except FileNotFoundError:
        if path.is_symlink():
            reason = f"a link to {os.readlink(path)}, which does not exist."
            raise refusal(str(BASELINE), reason, _REMEDY) from None
        return None
    except OSError as e:
        raise refusal(str(BASELINE), f"cannot be read: {e.strerror}.", _REMEDY) from None
    # imported here, as most projects have no baseline
    from pydantic import ValidationError

    from pytest_wf.evidence.records import Baseline

    try:
        return BaselineFile(Baseline.model_validate(parse_json(raw, MAX_BYTES)), raw)
    except BadJson as e:
        raise refusal(str(BASELINE), f"not a baseline: {e}.", _REMEDY) from None
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        reason = f"not a baseline: {where}: {first['msg']}."
        raise refusal(str(BASELINE), reason, _REMEDY) from None


def problem(origin: str, reason: str, remedy: str) -> Problem:
    """A problem with a baseline, or with a flow for one."""
    return Problem(origin, None, "", None, reason, remedy)


def refusal(origin: str, reason: str, remedy: str) -> InputError:
    """The error of one such problem."""
    return InputError([problem(origin, reason, remedy)])
