"""Commands of a detached operation: logged, masked, timed, ended whole."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup.logged_step import BASH, StepLog, exported, run_step
from pytest_wf.wire.process import stat
from pytest_wf.wire.remotes import masked


@pytest.fixture
def log(tmp_path: Path) -> StepLog:
    """An empty log."""
    return StepLog(str(tmp_path / "log"))


def test_both_outputs_and_the_command_are_in_the_log(log: StepLog) -> None:
    done = run_step(log, ["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=60)

    assert done.returncode == 3
    assert sorted(done.output.split()) == ["err", "out"]
    assert log.tail(9)[0] == "$ sh -c 'echo out; echo err >&2; exit 3'"
    assert set(log.tail(9)[1:]) == {"out", "err"}
    assert done.says().startswith("exit status 3: ")


def test_below_sshd_the_bashrc_of_the_login_changes_no_command(
    log: StepLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".bashrc").write_text("export PATH=/elsewhere:$PATH\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_CLIENT", "127.0.0.1 50000 22")
    monkeypatch.delenv("SHLVL", raising=False)

    done = run_step(log, [*BASH, "-c", "echo $PATH"], timeout_s=60, env=dict(os.environ))

    assert done.output.strip() == os.environ["PATH"]


def test_the_timeout_ends_all_that_was_started(log: StepLog, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"setsid sleep 600 & echo $! > {pids}; sleep 600"

    done = run_step(log, ["sh", "-c", script], timeout_s=5)

    assert done.returncode is None
    assert done.says().startswith("timed out")
    pid = int(pids.read_text())
    found = stat(pid)
    assert found is None or found.state in "ZX"


def test_an_interruption_ends_all_that_was_started(log: StepLog, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"setsid sleep 600 & echo $$ $! > {pids}; echo begun; sleep 600"

    class FullDisk(StepLog):
        def write(self, text: str) -> None:
            if text == "begun\n":
                raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_step(FullDisk(log.path), ["sh", "-c", script], timeout_s=600)

    child, descendant = map(int, pids.read_text().split())
    assert stat(child) is None, "it was waited for"
    found = stat(descendant)
    assert found is None or found.state in "ZX"


def test_a_background_process_that_keeps_the_output_open_is_not_waited_for(
    log: StepLog, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    script = f"while [ ! -e {go} ]; do sleep 0.05; done & echo ended"

    done = run_step(log, ["sh", "-c", script], timeout_s=600)

    go.touch()
    assert done.ok
    assert done.output == "ended\n"


def test_a_command_that_closes_its_output_is_waited_for(log: StepLog) -> None:
    done = run_step(log, ["sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 7"], timeout_s=60)

    assert done.returncode == 7


def test_much_output_is_kept_in_the_log_and_its_end_handed_back(log: StepLog) -> None:
    script = "import sys; sys.stdout.write('x' * 99 + '\\n'); sys.stdout.write('y' * 3_000_000)"

    done = run_step(log, [sys.executable, "-c", script], timeout_s=60)

    assert Path(log.path).stat().st_size > 3_000_000
    assert len(done.output) == 256 * 1024
    assert "x" not in done.output


def test_an_output_without_a_last_line_end_is_handed_back_as_it_is(log: StepLog) -> None:
    done = run_step(log, ["printf", r"a\0b\0"], timeout_s=60)
    assert done.output == "a\0b\0"


def test_the_newest_line_for_people_is_no_program_of_ours(log: StepLog) -> None:
    run_step(log, ["sh", "-c", "echo cloned"], timeout_s=60)
    program = 'import json\nprint("wf-facts:" + json.dumps(1))'
    run_step(log, [sys.executable, "-I", "-c", program], timeout_s=60)
    assert log.tail(1) == ["wf-facts:1"]
    run_step(log, [sys.executable, "-I", "-c", "import json\nprint(json.dumps({}))"], timeout_s=60)
    assert log.tail(1) == ["{}"]
    assert log.last_line() == "cloned"


def test_nothing_waits_on_stdin(log: StepLog) -> None:
    assert run_step(log, ["cat"], timeout_s=60).ok


def test_what_cannot_be_started_is_an_oserror(log: StepLog) -> None:
    with pytest.raises(FileNotFoundError):
        run_step(log, ["/no/such/program"], timeout_s=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ada:s3cret@example.org/r.git", "https://[redacted]@example.org/r.git"),
        ("HTTPS://ghp_token@example.org", "HTTPS://[redacted]@example.org"),
        ("fatal: 'http://t@h/x' and https://u:p@h/y", "fatal: 'http://[redacted]@h/x' and "
         "https://[redacted]@h/y"),
        ("ssh://git:pw@host/r", "ssh://git[redacted]@host/r"),
        ("ssh://git@host/r", "ssh://git@host/r"),
        ("git@host:r, see https://example.org/a@b", "git@host:r, see https://example.org/a@b"),
    ],
)  # fmt: skip
def test_credentials_in_urls_are_masked(log: StepLog, text: str, shown: str) -> None:
    assert masked(text) == shown

    done = run_step(log, ["printf", "%s\\n", text], timeout_s=60)

    assert done.output == shown + "\n"
    assert "s3cret" not in Path(log.path).read_text()


def test_scripts_get_the_configs_set_keys_and_no_empty_ones() -> None:
    env = exported(Settings({"HF_HOME": "/mnt/hf", "CUDA_VISIBLE_DEVICES": ""}), {"A": "1"})

    assert env["HF_HOME"] == "/mnt/hf"
    assert env["A"] == "1"
    assert env.get("CUDA_VISIBLE_DEVICES") != ""
