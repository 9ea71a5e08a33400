"""The rows that later ones are compared with: taken from a good flow, kept in the project.

`flows/baseline.json` stands beside the config and the CSV, so that it is committed with them:
what a row has to reach is as much part of an experiment as its config.
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

#: Where a project's baseline stands, below its root.
BASELINE = Path("flows") / "baseline.json"
#: 10,000 rows of 256 metrics each are some 100 MB.
MAX_BYTES = 256 * 1024 * 1024
_REMEDY = "Restore it from version control, or write it anew with `wf baseline set <flow_dir>`."


@dataclass(frozen=True)
class BaselineFile:
    """A baseline, and the very bytes that it was read from."""

    record: Baseline
    raw: bytes

    @property
    def sha256(self) -> str:
        """Digest of its bytes."""
        return sha256_bytes(self.raw)

    def row(self, run_id: str) -> Mapping[str, float]:
        """The metrics of a row; empty where the baseline does not have it."""
        found = self.record.rows.get(run_id)
        return {} if found is None else found.metrics


def read_baseline(root: Path) -> BaselineFile | None:
    """The project's baseline; None where it has none.

    Raises InputError where the file is there and is no baseline.
    """
    path = root / BASELINE
    try:
        raw = read_bytes(str(path), MAX_BYTES + 1)
    except FileNotFoundError:
        if path.is_symlink():
            reason = f"a link to {os.readlink(path)}, which is not there."
            raise refusal(str(BASELINE), reason, _REMEDY) from None
        return None
    except OSError as e:
        raise refusal(str(BASELINE), f"cannot be read: {e.strerror}.", _REMEDY) from None
    # here, as most projects have none
    from pydantic import ValidationError

    from pytest_wf.evidence.records import Baseline

    try:
        return BaselineFile(Baseline.model_validate(parse_json(raw, MAX_BYTES)), raw)
    except BadJson as e:
        raise refusal(str(BASELINE), f"no baseline: {e}.", _REMEDY) from None
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        reason = f"no baseline: {where}: {first['msg']}."
        raise refusal(str(BASELINE), reason, _REMEDY) from None


def problem(origin: str, reason: str, remedy: str) -> Problem:
    """A problem with a baseline, or with what is to become one."""
    return Problem(origin, None, "", None, reason, remedy)


def refusal(origin: str, reason: str, remedy: str) -> InputError:
    """The error of one such problem."""
    return InputError([problem(origin, reason, remedy)])
