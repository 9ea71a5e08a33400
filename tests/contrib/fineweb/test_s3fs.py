"""DATA_DIR on a real s3fs: shards are staged on local disk, then copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import s3

Act = Callable[..., dict[str, Any]]


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a bucket, mounted by s3fs."""
    with s3.bucket(tmp_path) as folder:
        yield folder


@pytest.mark.skipif(bool(s3.why_not()), reason=f"not shown here, s3fs as DATA_DIR: {s3.why_not()}")
def test_shards_are_staged_on_local_disk_and_copied_to_s3fs(
    checkout: Act, hub: Any, bucket: Path, settings: Any
) -> None:
    found = checkout(DATA_DIR=str(bucket / "shards"))

    assert found["path"] == "staged"
    assert found["mount"] == {"source": "s3fs", "point": str(bucket), "kind": "fuse.s3fs"}
    assert found["staging"] == f"{settings.repo}/.git/wf-data"
    assert not Path(found["staging"]).exists()
    assert {p.name: p.read_bytes() for p in (bucket / "shards").iterdir()} == hub.files
    assert found["tokens"] == 1000
    hub.served.clear()
    again = checkout(DATA_DIR=str(bucket / "shards"))
    assert (again["path"], hub.served) == ("present", [])
