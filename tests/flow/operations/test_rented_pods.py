"""Writing LIUM_TARGET into a config changes that value and no other byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.rented_pods import bind_config

ID = "7d1f6d1e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"LIUM_TARGET=%s\n"),
        (b"A=1", b"A=1\nLIUM_TARGET=%s\n"),
        (b"LIUM_TARGET=\nB=2\n", b"LIUM_TARGET=%s\nB=2\n"),
        (b"# x\r\nLIUM_TARGET=old\r\nB=2\r\n", b"# x\r\nLIUM_TARGET=%s\r\nB=2\r\n"),
        (b"LIUM_TARGET='old' # why\n", b"LIUM_TARGET=%s # why\n"),
        (b'export LIUM_TARGET="old"\t# why\n', b"export LIUM_TARGET=%s\t# why\n"),
        (b"LIUM_TARGET = old\n", b"LIUM_TARGET =%s\n"),
        (b"LIUM_TARGET=   # why\n", b"LIUM_TARGET=%s   # why\n"),
        (b"# LIUM_TARGET=no\nLIUM_TARGET=old", b"# LIUM_TARGET=no\nLIUM_TARGET=%s"),
    ],
)
def test_only_the_value_changes(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "workflow.env"
    path.write_bytes(before)
    path.chmod(0o640)
    bind_config(path, "LIUM_TARGET", ID)
    assert path.read_bytes() == after % ID.encode()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_line_that_is_not_plain_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "workflow.env"
    path.write_bytes(b"LIUM_TARGET='a'b\n")
    with pytest.raises(OperationFailed, match=f"Write LIUM_TARGET={ID}"):
        bind_config(path, "LIUM_TARGET", ID)
    assert path.read_bytes() == b"LIUM_TARGET='a'b\n"
