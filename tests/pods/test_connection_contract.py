"""What every connection promises, proved of the local pod and of a real SSH server alike."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_wf.errors import LinkLost
from pytest_wf.pods.base import Connection, Stream, Target
from pytest_wf.pods.local import LocalConnection

if TYPE_CHECKING:
    from tests.pods.conftest import Client

MIB = 1024 * 1024
BOTH_OUTPUTS = (
    "import os\nfor _ in range(320): os.write(1, b'o' * 65536); os.write(2, b'e' * 65536)"
)
ECHO = "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())"


@pytest.fixture(params=["local", "ssh"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    if request.param == "local":
        made: Connection = LocalConnection(Target("local", "local"))
    else:
        client: Client = request.getfixturevalue("client")
        made = client.connect()
    yield made
    made.close()


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-c", program, *arguments]


def read_all(stream: Stream, timeout_s: float = 60) -> bytes:
    return b"".join(iter(lambda: stream.read(MIB, timeout_s=timeout_s), b""))


def test_adapters_keep_the_protocols(connection: Connection) -> None:
    stream = connection.start(["true"])
    assert isinstance(connection, Connection)
    assert isinstance(stream, Stream)
    assert stream.wait(60) == 0
    stream.close()


def test_both_outputs_of_20_mb_are_drained_without_deadlock(connection: Connection) -> None:
    done = connection.run(python(BOTH_OUTPUTS), timeout_s=60, max_bytes=32 * MIB)
    assert done.ok
    assert len(done.stdout) == len(done.stderr) == 320 * 65536


def test_output_beyond_the_cap_is_dropped_and_the_command_still_ends(
    connection: Connection,
) -> None:
    done = connection.run(python(BOTH_OUTPUTS), timeout_s=60, max_bytes=1000)
    assert done.ok
    assert (done.stdout, done.stderr) == ("o" * 1000, "e" * 1000)


def test_stdin_arrives_byte_for_byte(connection: Connection) -> None:
    data = bytes(range(256)) * 20_000
    digest = "import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    done = connection.run(python(digest), stdin=data, timeout_s=60)
    assert done.stdout.strip() == hashlib.sha256(data).hexdigest()


def test_a_command_that_echoes_20_mb_of_stdin_does_not_deadlock(connection: Connection) -> None:
    data = b"0123456789abcdef" * (20 * MIB // 16)
    done = connection.run(["cat"], stdin=data, timeout_s=60, max_bytes=32 * MIB)
    assert done.ok
    assert done.stdout.encode() == data


def test_a_command_that_ignores_its_stdin_ends_well(connection: Connection) -> None:
    done = connection.run(["true"], stdin=b"x" * (4 * MIB), timeout_s=60)
    assert done.returncode == 0


def test_a_stream_that_is_written_to_before_it_is_read_does_not_deadlock(
    connection: Connection,
) -> None:
    data = os.urandom(8 * MIB)
    stream = connection.start(["cat"])
    for start in range(0, len(data), MIB):
        stream.write(data[start : start + MIB])
    stream.close_stdin()
    assert read_all(stream) == data
    assert stream.wait(60) == 0
    stream.close()


@pytest.mark.parametrize("status", [0, 1, 124, 255])
def test_exit_status_comes_back(connection: Connection, status: int) -> None:
    assert connection.run(["sh", "-c", f"exit {status}"], timeout_s=60).returncode == status


def test_a_program_that_is_missing_answers_127_and_names_itself(connection: Connection) -> None:
    done = connection.run(["no-such-program-here"], timeout_s=60)
    assert done.returncode == 127
    assert "no-such-program-here" in done.stderr


def test_a_command_that_a_signal_killed_is_never_a_success(connection: Connection) -> None:
    done = connection.run(["sh", "-c", "kill -9 $$"], timeout_s=60)
    assert not done.ok
    assert done.returncode in (None, 137)


@pytest.mark.fault("X1")
def test_arguments_arrive_byte_for_byte_whatever_a_shell_thinks_of_them(
    connection: Connection,
) -> None:
    arguments = [
        *("", " ", "a b", "'", '"', "\\", "\\n", "$HOME", "${HOME}", "$(id)", "`id`", "!x", "~"),
        *("*", "?", "[a]", "{a,b}", ";", "&&", "|", ">", "<", "#", "=", "-rf", "--", "a\nb", "\t"),
        *("é", "語", "\u202e", "\x7f", "\x1b[0m", "'; touch /nowhere; '", "%s", "a" * 5000),
    ]
    show = "import sys; print(ascii(sys.argv[1:]))"
    done = connection.run(python(show, *arguments), timeout_s=60)
    assert done.stdout.strip() == ascii(arguments)


@pytest.mark.parametrize("argv", [[], [""], ["echo", "a\0b"], "echo hello"])
def test_what_is_no_argv_is_refused_before_anything_runs(
    connection: Connection, argv: list[str]
) -> None:
    with pytest.raises(ValueError):
        connection.run(argv, timeout_s=5)


def test_output_that_is_not_utf8_is_shown_and_raises_nothing(connection: Connection) -> None:
    done = connection.run(["printf", r"\377ok"], timeout_s=60)
    assert done.stdout == "\ufffdok"


def test_a_command_past_its_time_raises_and_the_connection_goes_on(
    connection: Connection,
) -> None:
    with pytest.raises(TimeoutError, match="in time"):
        connection.run(["sleep", "30"], timeout_s=1)
    assert connection.run(["echo", "still here"], timeout_s=60).stdout == "still here\n"


def test_reading_past_its_time_raises_and_the_stream_goes_on(connection: Connection) -> None:
    stream = connection.start(["cat"])
    with pytest.raises(TimeoutError):
        stream.read(100, timeout_s=0.2)
    stream.write(b"now\n")
    assert stream.read(100, timeout_s=60) == b"now\n"
    stream.close()


def test_waiting_past_its_time_raises_and_the_stream_goes_on(connection: Connection) -> None:
    stream = connection.start(["cat"])
    with pytest.raises(TimeoutError):
        stream.wait(0.2)
    stream.close_stdin()
    assert stream.wait(60) == 0
    stream.close()


def test_output_that_came_while_waiting_can_still_be_read(connection: Connection) -> None:
    stream = connection.start(python("print('x' * 3_000_000)"))
    assert stream.wait(60) == 0
    assert len(read_all(stream)) == 3_000_001
    stream.close()


def test_a_read_returns_as_soon_as_there_is_something(connection: Connection) -> None:
    stream = connection.start(["sh", "-c", "echo first; read x; echo $x"])
    assert stream.read(1000, timeout_s=60) == b"first\n"
    stream.write(b"second\n")
    assert stream.read(3, timeout_s=60) == b"sec"
    assert read_all(stream) == b"ond\n"
    assert stream.read(1000) == b""
    stream.close()


def test_stderr_is_drained_and_its_last_64_kib_are_kept(connection: Connection) -> None:
    flood = "import sys\nsys.stderr.write('e' * 5_000_000 + 'THE END')\nprint('out')"
    stream = connection.start(python(flood))
    assert read_all(stream) == b"out\n"
    assert len(stream.stderr_tail()) == 65536
    assert stream.stderr_tail().endswith("THE END")
    stream.close()


def test_writing_to_a_process_that_has_ended_raises_link_lost(connection: Connection) -> None:
    stream = connection.start(["true"])
    assert stream.wait(60) == 0
    with pytest.raises(LinkLost):
        stream.write(b"x" * (4 * MIB))
    stream.close()


def test_closing_a_stream_may_be_repeated_and_ends_a_reading_process(
    connection: Connection,
) -> None:
    stream = connection.start(["cat"])
    stream.close()
    stream.close()
    assert stream.read(10, timeout_s=5) == b""


def test_a_closed_connection_is_not_alive_and_starts_nothing(connection: Connection) -> None:
    connection.run(["true"], timeout_s=60)
    assert connection.is_alive()
    connection.close()
    connection.close()
    assert not connection.is_alive()
    with pytest.raises(LinkLost):
        connection.run(["true"], timeout_s=5)


def test_many_threads_share_a_connection(connection: Connection) -> None:
    seen: list[str] = []

    def work(number: int) -> None:
        for turn in range(5):
            word = f"{number}.{turn}"
            seen.append(connection.run(["echo", word], timeout_s=60).stdout.strip())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(f"{n}.{t}" for n in range(8) for t in range(5))


def test_commands_start_in_the_home_directory(connection: Connection) -> None:
    done = connection.run(["sh", "-c", 'test "$PWD" = "$HOME" && echo home'], timeout_s=60)
    assert done.stdout == "home\n"


def test_facts_are_plain_text_with_an_address(connection: Connection) -> None:
    facts = connection.facts()
    assert facts["address"]
    assert all(isinstance(v, str) for v in facts.values())
