"""The agent as it travels: one file, the same for the same sources, at home on old Pythons."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import pytest_wf
from pytest_wf.agent.bytecode_cache import compiled_zipapp
from pytest_wf.pods.rpc import agent_zipapp
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import messages
from pytest_wf.wire.agent_starter import LAUNCHER


def pythons() -> list[str]:
    """This Python, and the oldest one that can be had."""
    roots = sorted(Path.home().glob(".pyenv/versions/3.[89].*/bin/python"))
    found = [str(path) for path in roots[:1]]
    found += [path for name in ("python3.8", "python3.9") if (path := shutil.which(name))]
    return [sys.executable, *found[:1]]


@pytest.fixture
def agent_file(tmp_path: Path) -> Path:
    """The zipapp on disk."""
    content, sha256 = agent_zipapp.build()
    path = tmp_path / f"{sha256}.pyz"
    path.write_bytes(content)
    return path


def test_the_same_sources_give_the_same_bytes() -> None:
    first = agent_zipapp.build()
    agent_zipapp.build.cache_clear()

    assert agent_zipapp.build() == first


def test_it_holds_the_agent_and_the_wire_and_nothing_else() -> None:
    names = zipfile.ZipFile(io.BytesIO(agent_zipapp.build()[0])).namelist()

    package = Path(pytest_wf.__file__).parent
    sources = {p.relative_to(package.parent).as_posix() for p in package.rglob("*.py")}
    travels = {name for name in sources if name.startswith(("pytest_wf/agent/", "pytest_wf/wire/"))}
    assert set(names) == {"__main__.py", "pytest_wf/__init__.py", *travels}


@pytest.mark.parametrize("python", pythons())
def test_it_serves_under_this_python(agent_file: Path, python: str, values: dict[str, str]) -> None:
    requests = messages.request("r-1", "open", {"settings": values})
    requests += messages.request("r-2", "state", {})

    done = subprocess.run(
        [python, "-I", "-W", "error", str(agent_file), "serve", ""],
        input=requests,
        capture_output=True,
        timeout=120,
        check=True,
        cwd="/",
    )

    hello = json.loads(done.stdout.splitlines()[0])
    assert hello["ok"], hello
    assert hello["result"]["python"].startswith("3.")


@pytest.mark.parametrize("python", pythons())
def test_every_module_of_it_imports_under_this_python(agent_file: Path, python: str) -> None:
    script = (
        "import sys, zipfile; path = sys.argv[1]; sys.path.insert(0, path)\n"
        "for name in zipfile.ZipFile(path).namelist():\n"
        "    if name != '__main__.py' and not name.endswith('__main__.py'):\n"
        "        __import__(name[:-3].replace('/', '.').replace('.__init__', ''))\n"
    )

    subprocess.run([python, "-I", "-W", "error", "-c", script, str(agent_file)], check=True)


def test_it_is_uploaded_once_and_named_by_its_hash(
    connect: Callable[..., AgentClient], values: dict[str, str]
) -> None:
    first = connect(values)
    stored = Path(first.agent_path)
    before = stored.stat()

    connect(values)

    after = stored.stat()
    assert stored.name == f"{agent_zipapp.build()[1]}.pyz"
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_its_processes_start_from_one_compiled_zipapp(agent_file: Path) -> None:
    def run() -> list[Path]:
        words = [sys.executable, "-I", "-W", "error", str(agent_file), "serve", ""]
        subprocess.run(words, input=b"", check=True, timeout=120)
        return [path for path in agent_file.parent.iterdir() if path != agent_file]

    (compiled,) = run()
    names = zipfile.ZipFile(compiled).namelist()

    assert run() == [compiled]
    assert compiled_zipapp(str(agent_file)) == str(compiled)
    assert set(names) == {name + "c" for name in zipfile.ZipFile(agent_file).namelist()}


def test_a_damaged_twin_is_not_believed(agent_file: Path) -> None:
    compiled = Path(compiled_zipapp(str(agent_file)))
    whole = compiled.read_bytes()
    compiled.write_bytes(whole[:-1])

    other = compiled_zipapp(str(agent_file))

    assert hashlib.sha256(Path(other).read_bytes()).hexdigest() in other
    assert zipfile.ZipFile(other).testzip() is None


def test_where_nothing_can_be_written_it_runs_without_a_compiled_zipapp(agent_file: Path) -> None:
    assert compiled_zipapp("/proc/self/fd/0") == "/proc/self/fd/0"
    nowhere = "/proc/self/" + agent_file.name
    assert compiled_zipapp(nowhere) == nowhere


def test_a_damaged_one_on_the_pod_is_replaced(
    connect: Callable[..., AgentClient], values: dict[str, str]
) -> None:
    stored = Path(connect(values).agent_path)
    stored.write_bytes(stored.read_bytes()[:-1])

    assert connect(values).request("state")["state"] == "INIT"
    assert stored.read_bytes() == agent_zipapp.build()[0]


def test_in_memory_it_writes_nothing(
    connect: Callable[..., AgentClient], values: dict[str, str], tmp_path: Path
) -> None:
    client = connect(values, write_nothing=True)

    assert client.request("probe")["os"] == "Linux"
    assert list(tmp_path.iterdir()) == []


def launch(content: bytes, path: str, python: str = sys.executable) -> str:
    good, sha256 = agent_zipapp.build()
    done = subprocess.run(
        [python, "-c", LAUNCHER, path, sha256, str(len(good)), "serve"],
        input=content,
        capture_output=True,
        timeout=120,
    )
    assert done.stderr == b""
    return done.stdout.decode()


def test_one_starts_where_python_cannot_tell_its_own_path(tmp_path: Path) -> None:
    content, sha256 = agent_zipapp.build()
    done = subprocess.run(
        ["python3", "-c", LAUNCHER, f"{tmp_path}/x.pyz", sha256, str(len(content)), "serve"],
        executable=sys.executable,
        env={},
        input=content,
        capture_output=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_one_that_arrives_damaged_is_not_kept(tmp_path: Path) -> None:
    content = bytearray(agent_zipapp.build()[0])
    content[100] ^= 1

    said = launch(bytes(content), f"{tmp_path}/agent/x.pyz")

    assert said.splitlines()[-1] == "wf-agent bad link-lost the agent arrived damaged"
    assert list((tmp_path / "agent").iterdir()) == []


@pytest.mark.fault("N3")
def test_one_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    launch(agent_zipapp.build()[0][:1000], f"{tmp_path}/agent/x.pyz")

    assert list((tmp_path / "agent").iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    said = launch(b"", f"{tmp_path}/file/agent/x.pyz")

    assert said.startswith("\nwf-agent bad pod-disk the agent cannot be stored: ")
