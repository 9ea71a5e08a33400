"""DATA_DIR on a real s3fs: shards are staged on local disk, then copied."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.loopback.sshd import free_port
from tests.support.waiting import until

Act = Callable[..., dict[str, Any]]
_DEADLINE_S = 60


def _why_not() -> str:
    """What this machine lacks to mount a bucket; '' where it can."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for tool in ("s3fs", "fusermount"):
        if not any(os.access(os.path.join(d, tool), os.X_OK) for d in path.split(":")):
            return f"{tool} is not installed"
    if importlib.util.find_spec("moto") is None:
        return "moto is not installed"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as e:
        return f"/dev/fuse does not open: {e.strerror}"
    return ""


def answers(url: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """The address of an S3 server on loopback that has a bucket `bkt`."""
    port = free_port()
    log = (tmp_path / "moto.log").open("wb")
    argv = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(url) or server.poll() is not None, "the S3 server answers")
        made = urllib.request.Request(f"{url}/bkt", method="PUT")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(made, timeout=10).close()
        yield url
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@pytest.fixture
def bucket(s3: str, tmp_path: Path) -> Iterator[Path]:
    """A folder that is the bucket, mounted by s3fs."""
    folder, password = tmp_path / "my bucket", tmp_path / "passwd"
    folder.mkdir()
    password.write_text("AK:SK\n")
    password.chmod(0o600)
    options = f"passwd_file={password},url={s3},use_path_request_style,endpoint=us-east-1"
    mounting = ["s3fs", "bkt", str(folder), "-f", "-o", options]
    daemon = subprocess.Popen(
        mounting, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: os.path.ismount(folder) or daemon.poll() is not None, "s3fs mounts")
        assert os.path.ismount(folder)
        yield folder
    finally:
        subprocess.run(["fusermount", "-u", str(folder)], capture_output=True)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


@pytest.mark.skipif(bool(_why_not()), reason=f"not shown here, s3fs as DATA_DIR: {_why_not()}")
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
