"""The embedded pod: what is its own beside the common contract."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pytest_wf.config.keys import Config
from pytest_wf.pods.base import Target, is_renter
from pytest_wf.pods.local import LocalConnection, LocalProvider, _LocalPipes, clean_environment
from tests.support import ROOT
from tests.support.waiting import until

LOCAL = Target("local", "local")


@pytest.fixture
def connection() -> Iterator[LocalConnection]:
    made = LocalConnection(LOCAL)
    yield made
    made.close()


def gone(pid: int) -> bool:
    """Whether a process is dead; one that nobody reaped yet is."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_local_is_the_target_when_the_config_says_so(make_config: Callable[..., Config]) -> None:
    assert LocalProvider().resolve(make_config(ops_default_host="local")) == LOCAL


@pytest.mark.parametrize(
    "keys",
    [{"ops_default_host": "gpu1"}, {"ops_default_host": "local", "lium_target": "my-pod"}, {}],
)
def test_local_is_not_the_target_when_the_config_names_another(
    make_config: Callable[..., Config], keys: dict[str, str]
) -> None:
    assert LocalProvider().resolve(make_config(**keys)) is None


def test_this_machine_is_neither_rented_nor_deleted(make_config: Callable[..., Config]) -> None:
    provider = LocalProvider()
    config = make_config(ops_default_host="local")
    assert provider.resolve(config) == LOCAL
    assert not is_renter(provider)


def test_leftovers_of_pytest_and_the_virtual_environment_stay_behind() -> None:
    kept = {"HOME": "/h", "PATH": "/bin", "LC_ALL": "C", "PIP_INDEX_URL": "u", "https_proxy": "p"}
    dropped = {
        "PYTHONPATH": "x",
        "PYTHONHOME": "x",
        "VIRTUAL_ENV": "x",
        "COV_CORE_SOURCE": "x",
        "PYTEST_CURRENT_TEST": "x",
        "COVERAGE_PROCESS_START": "x",
        "HF_TOKEN": "x",
    }
    assert clean_environment({**kept, **dropped}) == kept


def test_a_command_gets_the_clean_environment(
    connection: LocalConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/leftover")
    monkeypatch.setenv("MY_SECRET", "hidden")
    shown = connection.run(["env"], timeout_s=60).stdout
    assert "PYTHONPATH" not in shown
    assert "hidden" not in shown


def test_a_command_is_in_a_session_of_its_own(connection: LocalConnection) -> None:
    program = "import os; print(os.getsid(0) == os.getpid())"
    assert connection.run([sys.executable, "-c", program], timeout_s=60).stdout == "True\n"


def time_out(connection: LocalConnection, script: str, child: Path) -> int:
    """Run a script that writes a child's id into a file until its time is up; the id."""
    for timeout_s in (2, 10, 60):  # a slow machine takes longer to get there
        with pytest.raises(TimeoutError):
            connection.run(["sh", "-c", script], timeout_s=timeout_s)
        if child.exists():
            break
    return int(child.read_text())


def test_a_time_out_kills_the_whole_process_group(
    connection: LocalConnection, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    script = f"sleep 100 & echo $! > {child}.new; mv {child}.new {child}; wait"
    until(partial(gone, time_out(connection, script, child)), "the process is gone")


def test_an_interruption_kills_the_whole_process_group(
    connection: LocalConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    exchange = _LocalPipes.exchange

    def interrupted(
        pipes: _LocalPipes, data: memoryview, wait_s: float
    ) -> tuple[int, bytes, bytes]:
        if child.exists():
            os.kill(os.getpid(), signal.SIGINT)
        return exchange(pipes, data, 0.1)

    monkeypatch.setattr(_LocalPipes, "exchange", interrupted)
    script = f"sleep 100 & echo $! > {child}.new; mv {child}.new {child}; wait"
    with pytest.raises(KeyboardInterrupt):
        connection.run(["sh", "-c", script], timeout_s=60)
    until(partial(gone, int(child.read_text())), "the process is gone")


def test_a_process_that_left_the_session_survives_the_time_out(
    connection: LocalConnection, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    inner = f"echo $$ > {child}.new; mv {child}.new {child}; exec sleep 100"
    detach = f"setsid sh -c '{inner}' >/dev/null 2>&1 </dev/null"
    pid = time_out(connection, f"{detach} & sleep 100", child)
    assert not gone(pid)
    os.kill(pid, signal.SIGKILL)


def test_closing_a_stream_ends_a_process_that_does_not_listen(
    connection: LocalConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_wf.pods.local._FAREWELL_S", (0.05, 0.05))
    stream = connection.start(["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 1; done"])
    pid = int(stream.read(100, timeout_s=60))
    stream.close()
    until(partial(gone, pid), "the process is gone")


def test_closing_the_connection_ends_what_was_started(connection: LocalConnection) -> None:
    stream = connection.start(["sh", "-c", "echo $$; exec cat"])
    pid = int(stream.read(100, timeout_s=60))
    connection.close()
    until(partial(gone, pid), "the process is gone")


#: In a process of its own: here other threads may open and close files meanwhile.
_DESCRIPTORS = """
import os
from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
connection = LocalConnection(Target("local", "local"))
count = lambda: len(os.listdir("/dev/fd"))
before = count()
stream = connection.start(["cat"])
meanwhile = count()
stream.close()
print(meanwhile - before, count() - before)
"""


def test_a_stream_takes_no_descriptor_but_those_of_its_pipes() -> None:
    argv = [sys.executable, "-c", _DESCRIPTORS]
    assert subprocess.check_output(argv, cwd=ROOT, text=True) == "3 0\n"
