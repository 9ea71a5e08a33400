"""Uploads to a pod, and archives from it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Stream
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire.files import parse_json, sha256_bytes
from tests.support.scripted_agent import CountingConnection, Start


def test_an_upload_is_whole_and_verified(local: AgentClient, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "source").write_bytes(content)
    path = tmp_path / "pod" / "outputs" / "_control" / "bundles" / "x.bundle"

    local.upload(str(path), str(tmp_path / "source"))

    assert sha256_bytes(path.read_bytes()) == sha256_bytes(content)
    assert os.listdir(path.parent) == ["x.bundle"]


def test_an_upload_that_the_pod_cannot_take_is_refused(local: AgentClient, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    (tmp_path / "file").touch()

    with pytest.raises(OperationFailed, match="did not take"):
        local.upload(str(tmp_path / "file" / "x"), str(tmp_path / "source"))


@pytest.mark.fault("N3")
def test_an_upload_whose_link_breaks_is_sent_again(
    local: AgentClient, connection: CountingConnection, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(b"content")
    path = tmp_path / "pod" / "x"
    cut = iter([["sh", "-c", "exit 1"]])
    connection.replace = lambda argv: next(cut, argv) if "receive" in argv else argv

    local.upload(str(path), str(tmp_path / "source"))

    assert path.read_bytes() == b"content"


def read_all(stream: Stream) -> bytes:
    pieces = []
    while piece := stream.read(1 << 16, timeout_s=60):
        pieces.append(piece)
    stream.close()
    return b"".join(pieces)


def test_an_archive_streams_the_asked_files(local: AgentClient, tmp_path: Path) -> None:
    run = tmp_path / "pod" / "outputs" / "run-1"
    run.mkdir(parents=True)
    (run / "stdout.log").write_bytes(b"loss 0.5\n")

    mtime_ns = (run / "stdout.log").stat().st_mtime_ns
    stream = local.archive()
    stream.write(local.archive_request([("run-1", [("stdout.log", 9, mtime_ns, 0)])]))
    stream.close_stdin()
    raw = read_all(stream)

    header, rest = raw.split(b"\n", 1)
    assert parse_json(header)["paths"] == ["stdout.log"]
    assert rest.startswith(b"loss 0.5\n")
    assert parse_json(rest.splitlines()[1]) == {
        "sha256": [sha256_bytes(b"loss 0.5\n")],
        "problems": [""],
    }
    assert json.loads(rest.splitlines()[-1]) == {"end": 1}


def test_where_nothing_may_be_written_nothing_is_uploaded(
    start: Start, connection: CountingConnection, values: dict[str, str], tmp_path: Path
) -> None:
    client = start(connection, values, write_nothing=True)
    (tmp_path / "source").touch()

    with pytest.raises(OperationFailed) as refused:
        client.upload(str(tmp_path / "x"), str(tmp_path / "source"))

    assert refused.value.kind == "not-in-contract"
    assert client.agent_path == ""
