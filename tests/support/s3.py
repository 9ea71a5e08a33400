"""A folder that is a bucket, mounted by a real s3fs from an S3 server on loopback."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_wf.loopback.sshd import free_port
from tests.support.waiting import until


def why_not() -> str:
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


def _answers(url: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def _server(tmp_path: Path) -> Iterator[str]:
    """The address of an S3 server on loopback that has a bucket `bkt`."""
    port = free_port()
    log = (tmp_path / "moto.log").open("wb")
    argv = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url) or server.poll() is not None, "the S3 server answers")
        made = urllib.request.Request(f"{url}/bkt", method="PUT")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(made, timeout=10).close()
        yield url
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@contextmanager
def bucket(tmp_path: Path) -> Iterator[Path]:
    """A folder that is the bucket, mounted by s3fs; `why_not` says where it cannot be."""
    with _server(tmp_path) as url, _mounted(tmp_path, url) as folder:
        yield folder


@contextmanager
def _mounted(tmp_path: Path, url: str) -> Iterator[Path]:
    folder, password = tmp_path / "my bucket", tmp_path / "passwd"
    folder.mkdir()
    password.write_text("AK:SK\n")
    password.chmod(0o600)
    options = f"passwd_file={password},url={url},use_path_request_style,endpoint=us-east-1"
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
