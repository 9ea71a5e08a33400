"""A checkout whose training reads FineWeb, and places to get shards from."""

from __future__ import annotations

import hashlib
import http.server
import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.contrib.fineweb import contract
from pytest_wf.wire import fsm
from tests.agent.conftest import act, settings, upstream, values
from tests.support.repository import Upstream
from tests.support.web_server import serving

__all__ = ["act", "checkout", "hub", "make_shard", "settings", "upstream", "values"]

Act = Callable[..., dict[str, Any]]
TRAIN, VAL = "fineweb_train_000001.bin", "fineweb_val_000000.bin"


def shard(tokens: int = 600, magic: int = 20240520, version: int = 1, seed: int = 1) -> bytes:
    """A shard of so many tokens, whole unless told otherwise."""
    header = struct.pack("<256i", magic, version, tokens, *([0] * 253))
    return header + bytes((seed * 31 + n) % 251 for n in range(2 * tokens))


class HubEndpoint:
    """What the real huggingface_hub asks for, served on loopback: metadata, content, ranges."""

    def __init__(self) -> None:
        self.url = ""
        self.files = {TRAIN: shard(seed=1), VAL: shard(400, seed=2)}
        #: What is sent in place of a file: one entry a request, the last one for good.
        self.instead: dict[str, list[bytes]] = {}
        #: Requests for content: (name, first byte).
        self.served: list[tuple[str, int]] = []
        #: Bytes after which the next answer is cut off.
        self.cut_after: int | None = None
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer(head=True)

            def do_GET(self) -> None:
                self._answer(head=False)

            def _answer(self, head: bool) -> None:
                name = self.path.rpartition("/")[2]
                prefix = "/datasets/kjj0/fineweb10B-gpt2/resolve/"
                if not self.path.startswith(prefix) or name not in endpoint.files:
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                content = endpoint.files[name]
                # what the repository says it holds; what is sent may be something else
                etag = hashlib.sha256(content).hexdigest()
                planned = endpoint.instead.get(name, [])
                if planned and not head:
                    content = planned.pop(0) if len(planned) > 1 else planned[0]
                elif planned:
                    content = planned[0]
                asked = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
                first = int(asked[1]) if asked and not head else 0
                self.send_response(206 if first else 200)
                if first:
                    whole = f"bytes {first}-{len(content) - 1}/{len(content)}"
                    self.send_header("Content-Range", whole)
                self.send_header("X-Repo-Commit", "ab" * 20)
                self.send_header("ETag", f'"{etag}"')
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(content) - first))
                self.end_headers()
                if head:
                    return
                endpoint.served.append((name, first))
                body = content[first:]
                if endpoint.cut_after is not None:
                    body, endpoint.cut_after = body[: endpoint.cut_after], None
                    self.close_connection = True
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.handler = Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubEndpoint]:
    """A loopback endpoint of the Hugging Face hub, and the environment that leads to it."""
    endpoint = HubEndpoint()
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(endpoint.handler) as address:
        endpoint.url = f"http://{address}"
        monkeypatch.setenv("HF_ENDPOINT", endpoint.url)
        yield endpoint


@pytest.fixture
def checkout(act: Act, upstream: Upstream, settings: Settings, tmp_path: Path) -> Act:
    """Checks out a training whose config names FineWeb; gives what its contract found.

    Its python has the hub's client.
    """
    upstream.commit("train/config/fineweb.py", "dataset = 'fineweb10B'\nlr = 1\n")
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")

    def run(
        config: str = "config/fineweb.py",
        dataset: str = "",
        *,
        change: Callable[[str], str] = str,
        verify: bool = False,
        timeout_s: int = 240,
        **keys: str,
    ) -> dict[str, Any]:
        known = {
            "REPO_URL": str(upstream.path),
            # it has huggingface_hub
            "REMOTE_PYTHON_BIN": sys.executable,
            "TRAIN_WORKDIR_REL": "train",
            "DATA_DIR": str(tmp_path / "shards"),
            "HF_HOME": str(tmp_path / "hf"),
            "DOWNLOAD_FINEWEB": "1",
            **keys,
        }
        arguments = {
            "trainings": [[config, dataset]],
            "data_dir": known["DATA_DIR"],
            "download": known["DOWNLOAD_FINEWEB"] == "1",
            "workdir": known["TRAIN_WORKDIR_REL"],
            "entrypoint": "train.py",
        }
        asked = dict(contract(arguments, 60).as_data(), timeout_s=timeout_s)
        asked["program"] = change(asked["program"])
        result = act("checkout", keys=known, verify=verify, data={"contracts": [asked]})
        (found,) = result["data"]
        assert found["contract"] == "fineweb"
        assert found["checked"] == found["facts"]["checked"]
        facts: dict[str, Any] = found["facts"]
        return facts

    return run


@pytest.fixture
def make_shard() -> Callable[..., bytes]:
    """``make_shard(tokens, magic, version, seed)``."""
    return shard
