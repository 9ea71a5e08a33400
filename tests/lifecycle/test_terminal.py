"""What a terminal shows of a flow, recorded through tmux: whole lines, nothing left over."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.court.phases import CONTRACTS
from tests.support.waiting import until

COLUMNS, LINES = 80, 40
#: Prints a step every now and then until a file appears; the second row 10,000 lines at once.
TRAINER = """\
import os, sys, time

settings = dict(word.split("=", 1) for word in sys.argv[2:])
for number in range(int(settings.get("lines", "0"))):
    print("line %05d of \\x1b[1m\\u6e2c\\u8a66\\x1b[0m %s" % (number, "x" * (number % 90)))
step = 0
while step < 3 or not os.path.exists(settings.get("until", "/")):
    print("step %d/99999: train loss %.4f" % (step, 3 / (step + 1)), flush=True)
    time.sleep(0.05)
    step += 1
"""
#: A phase that prints, which is seen with -s alone.
TALKER = "print(*('printed %03d' % i for i in range(200)), sep='\\n')"
WF = "from pytest_wf.cli.main import main; main()"
#: What P60 says of a first start; it stays on the terminal.
PLAN = "wf: 0 adopted, 0 trained again, 2 new; the archive holds 0 runs, 0 B"
FLOW = ("-m", "pytest", "flows/", "--wf-flow", "--wf-wait=true", "--wf-fetch=all")

_SGR = re.compile(rb"\x1b\[[0-9;]*m")
_CURSOR = re.compile(rb"\x1b\[[0-9;]*[ABCDGHJKf]")


class Recording:
    """A command in a terminal of its own, and every byte that it wrote there."""

    def __init__(self, tmux: Sequence[str], name: str, folder: Path) -> None:
        self._tmux = tmux
        self._name = name
        self._raw = folder / f"{name}.raw"
        self._ended = folder / f"{name}.begun.ended"

    @property
    def raw(self) -> bytes:
        """All bytes written to the terminal."""
        return self._raw.read_bytes() if self._raw.exists() else b""

    @property
    def screen(self) -> list[str]:
        """What stands there now, from the first line on; wrapped lines in one."""
        return self._ask("capture-pane", "-p", "-J", "-S", "-", "-t", self._name).splitlines()

    @property
    def status(self) -> int | None:
        """The command's exit status, once all that it wrote is on the screen; None before.

        tmux itself does not always tell the status of a command that has ended.
        """
        if not self._ended.exists():
            return None
        dead = self._ask("display-message", "-p", "-t", self._name, "#{pane_dead}").strip()
        return int(self._ended.read_text()) if dead == "1" else None

    def has_ended(self) -> bool:
        """Whether the command has ended and all that it wrote is on the screen."""
        return self.status is not None

    def _ask(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    """Runs a Python command in a terminal of 80 columns and records it."""
    (tmp_path / "tmux.conf").write_text(
        "set -g history-limit 50000\nset -g remain-on-exit on\nset -g status off\n"
    )
    tmux = ["tmux", "-S", str(tmp_path / "tmux"), "-f", str(tmp_path / "tmux.conf")]

    def start(name: str, project: Any, words: Sequence[str], **more: str) -> Recording:
        environ: Mapping[str, str] = {**project.environ, "TERM": "screen-256color", **more}
        wait = (
            'while [ ! -e "$0" ]; do sleep 0.05; done; "$@"; '
            'echo $? > "$0.new"; mv "$0.new" "$0.ended"'
        )
        begun = tmp_path / f"{name}.begun"
        argv = ["env", "-i", *(f"{k}={v}" for k, v in environ.items())]
        argv += ["sh", "-c", wait, str(begun), sys.executable, *words]
        size = ["-x", str(COLUMNS), "-y", str(LINES)]
        session = ["new-session", "-d", "-s", name, *size, "-c", str(project.root), *argv]
        subprocess.run([*tmux, *session], check=True, timeout=60)
        recording = Recording(tmux, name, tmp_path)
        subprocess.run(
            [*tmux, "pipe-pane", "-t", name, f"cat > '{tmp_path}/{name}.raw'"], check=True
        )
        begun.touch()
        return recording

    yield start
    subprocess.run([*tmux, "kill-server"], capture_output=True, timeout=60)


@pytest.fixture
def talking(new_project: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """A factory of projects whose first row runs until the file `go` is there."""

    def new() -> Any:
        rows = (f"steady,default.py,1,until={tmp_path / 'go'},", "burst,default.py,2,lines=10000,")
        project = new_project(rows=rows, trainer=TRAINER, config={"RUN_HEARTBEAT_SECS": "300"})
        project.phase("P45", TALKER, "talker")
        return project

    return new


def test_what_a_flow_shows_on_a_terminal_of_80_columns(
    talking: Callable[..., Any], record: Callable[..., Recording], tmp_path: Path
) -> None:
    plain = record("plain", talking(), FLOW)
    verbose = record("verbose", talking(), (*FLOW, "-v", "--wf-terminal=contract"), NO_COLOR="1")
    quiet = record("quiet", talking(), (*FLOW, "-q"))
    for shown in (plain, verbose, quiet):
        until(partial(_is_live, shown), "the live view", 120)
        # the clock goes on between two news, and what it replaces leaves no trace
        assert sum("rows done" in line for line in shown.screen) <= 1
    (tmp_path / "go").touch()
    for shown in (plain, verbose, quiet):
        until(shown.has_ended, "the end of the flow", 120)
        assert shown.status == 0, "\n".join(shown.screen)
        assert [line for line in shown.screen if _is_news(line)] == [PLAN]
        assert any(re.search(r"\b14 passed in ", line) for line in shown.screen)
        assert not any("printed" in line for line in shown.screen)
    _the_contract_is_kept(verbose.screen)
    for shown in (plain, quiet):
        _each_phase_has_a_line(shown.screen)
        assert all(len(line) <= COLUMNS for line in shown.screen if line.startswith("P"))
    assert _SGR.search(plain.raw)
    assert not _SGR.search(verbose.raw)
    for name in ("precheck", "talker", "row_trains_to_its_end[steady]", "fetch", "summary"):
        cases = [line for line in verbose.screen if f"::test_{name}" in line]
        assert len(cases) == 1, cases
        assert re.fullmatch(r"flows/test_\w+\.py::\S+ PASSED +\[ *\d+%\]", cases[0])
    assert not any(re.fullmatch(r"[.s]+", line) for line in plain.screen)


@pytest.mark.long
def test_what_a_flow_shows_where_nothing_may_be_overwritten(
    talking: Callable[..., Any], record: Callable[..., Recording], tmp_path: Path
) -> None:
    ci = record("ci", talking(), FLOW, CI="1")
    bare = record("bare", talking(), (*FLOW, "-s"))
    pipe = tmp_path / "pipe"
    project = talking()
    with pipe.open("wb") as f:
        piped = subprocess.Popen(
            [sys.executable, *FLOW],
            cwd=project.root,
            env={**project.environ, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=f,
            stderr=subprocess.STDOUT,
        )
    try:
        # WF_FLOW_WAIT_INTERVAL_SECS is 1: the same state is told again and again
        until(lambda: len(_progress(ci.screen, "0/2")) > 2, "plain lines", 120)
        until(lambda: len(_progress(bare.screen, "0/2")) > 2, "plain lines", 120)
        until(lambda: len(_progress(pipe.read_text().split("\n"), "0/2")) > 2, "plain lines", 120)
        (tmp_path / "go").touch()
        assert piped.wait(timeout=120) == 0, pipe.read_text()
    finally:
        piped.kill()
    for shown in (ci, bare):
        until(shown.has_ended, "the end of the flow", 120)
        assert shown.status == 0, "\n".join(shown.screen)
        assert not _CURSOR.search(shown.raw)
    assert b"\x1b" not in pipe.read_bytes()
    assert b"\r" not in pipe.read_bytes()
    printed = [f"printed {i:03d}" for i in range(200)]
    assert [line for line in bare.screen if line.startswith("printed")] == printed
    _each_phase_has_a_line(bare.screen)
    _the_contract_is_kept(ci.screen)
    _the_contract_is_kept(pipe.read_text().splitlines())
    for lines in (ci.screen, bare.screen, pipe.read_text().splitlines()):
        assert any(re.search(r"\b14 passed in ", line) for line in lines)
        assert lines.count(PLAN) == 1
        news = [line for line in lines if "rows done" in line or "wf: " in line]
        news.remove(PLAN)
        for line in news:
            assert re.fullmatch(r"wf: P\d\d [A-Z_]+ \d+:\d\d( .+)?", line), line
        # a change is told whether or not it is time for it
        assert _progress(lines, "0/2") and _progress(lines, "2/2")


@pytest.mark.long
def test_ten_thousand_lines_come_whole_through_a_terminal(
    talking: Callable[..., Any], record: Callable[..., Recording], tmp_path: Path
) -> None:
    project = talking()
    (tmp_path / "go").touch()
    assert project.flow("--wf-wait=true").code == 0, project.runs[-1].output
    log = (project.outputs / "burst" / "stdout.log").read_text().splitlines()
    assert len(log) == 10_003
    followed = record("logs", project, ("-c", WF, "logs", "burst", "-f"))
    until(lambda: followed.status is not None, "the end of the log", 120)
    shown = [line.rstrip() for line in followed.screen]
    begins = next(i for i, line in enumerate(shown) if " line 00000 " in line)
    colourless = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in log]
    told = zip(shown[begins:], colourless, strict=False)
    assert [pair for pair in told if pair[0] != pair[1]][:3] == []
    assert len(shown) - begins >= len(log)


def _is_live(shown: Recording) -> bool:
    """Phase, elapsed time, rows done; the row with step, loss, rate, time left; its last line."""
    text = "\n".join(line.rstrip() for line in shown.screen)
    assert shown.status is None, text
    row = r"steady step \d+/99999, train_loss [\d.e-]+, [\d.]+ steps/s, [\dhmins ]+ left"
    log = r"\| step \d+/99999: train loss \d\.\d{4}"
    head = r"wf: P70 MONITOR \d+:\d\d 0/2 rows done, about [\dhmins ]+ left"
    return re.search(rf"^{head}\n    {row}\n    {log}$", text, re.MULTILINE) is not None


def _is_news(line: str) -> bool:
    return line.startswith(("wf: ", "    |")) or "rows done" in line or "steps/s" in line


def _progress(lines: Sequence[str], done: str) -> list[str]:
    return [line for line in lines if re.match(rf"wf: P70 MONITOR \d+:\d\d {done} rows", line)]


def _the_contract_is_kept(lines: Sequence[str]) -> None:
    """Every contract line is there once, whole, from the first column on."""
    text = "\n".join(line.rstrip() for line in lines)
    flow = r"reports/flows/f-\d{8}T\d{6}Z-[0-9a-f]{6}/phase"
    for code in [*CONTRACTS, "P45"]:
        status = "skip" if code == "P10" else "ok"
        for wanted in (
            rf"PHASE={code} STATUS={status} CODE=0 ARTIFACT={flow}\.{code}\.evidence\.json",
            rf"PHASE={code} COURT=pass DET=pass CONST=pass VERDICT={flow}\.{code}\.verdict\.json",
        ):
            assert len(re.findall(rf"^{wanted}$", text, re.MULTILINE)) == 1, (wanted, text)
    assert text.count("PHASE=") == 2 * len(CONTRACTS) + 2
    for key in ("WF_CONSTITUTION_VERSION=1", "mode=flow", "transport=local", "override_enabled=0"):
        assert text.split("\n").count(key) == 1


def _each_phase_has_a_line(lines: Sequence[str]) -> None:
    """Every phase is one line for people, the rows are a table with the best one marked."""
    text = "\n".join(line.rstrip() for line in lines)
    found = re.findall(r"(?m)^(P\d\d) [A-Z_]+ +(ok|skip) +(?:[\d.]+ s|\d+ min)(?:  .+)?$", text)
    assert found == [
        (code, "skip" if code == "P10" else "ok") for code in sorted([*CONTRACTS, "P45"])
    ]
    assert re.search(r"(?m)^pytest-wf \S+, flows/workflow\.env [0-9a-f]{12}, flow, local, ", text)
    assert not re.search(r"PHASE=|COURT=|chain head", text)
    assert re.search(r"(?m)^2 rows: 2 ok\n  row +state +train_loss .*\n\* \S+ +success ", text)


@pytest.fixture(autouse=True)
def tmux_is_here() -> None:
    assert shutil.which("tmux"), "tmux is among scripts/test-tools.sh"
