"""The auditor's process: whatever it does that is not one good answer in time is 'unverified'."""

from __future__ import annotations

import json
import os
import selectors
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import pytest_wf
from pytest_wf.court.auditor_answer import ConstitutionalAnswer, read_answer
from pytest_wf.court.auditor_process import Auditors, _argv
from tests.support import good_flow as good
from tests.support.waiting import until

DOCUMENT = {"nonce": "n-1", "evidence_sha256": "e" * 64}
PASS = {"verdict": "pass", "violated_laws": [], "evidence_refs": [], "remediation": ""}


def script(body: str) -> str:
    """A command that runs `body` in Python."""
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(body)}"


def saying(text: str) -> str:
    return script(f"import sys; sys.stdin.read(); print({text!r})")


def audited(command: str, timeout_s: float = 120, **changes: Any) -> ConstitutionalAnswer:
    return Auditors(command, timeout_s, **changes).audit(DOCUMENT)


def test_a_good_answer_is_believed() -> None:
    said = {**PASS, "verdict": "fail", "violated_laws": [7, 1, 7], "remediation": "keep the pod"}
    answer = audited(saying(json.dumps(said)))
    assert (answer.verdict, answer.violated_laws) == ("fail", (1, 7))
    assert answer.remediation == "keep the pod"
    assert answer.duration_s > 0


def test_an_answer_is_read_that_came_as_the_wait_for_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = selectors.DefaultSelector.select
    held_up: list[selectors.DefaultSelector] = []

    def select(self: selectors.DefaultSelector, timeout: float | None = None) -> list[Any]:
        is_asked = all(key.events == selectors.EVENT_READ for key in self.get_map().values())
        if held_up or not is_asked:
            return own(self, timeout)
        until(lambda: len(own(self, 0)) == 2, "the auditor has closed both outputs")
        held_up.append(self)
        return []  # as where its time-out came just before

    monkeypatch.setattr(selectors.DefaultSelector, "select", select)
    assert audited(saying(json.dumps(PASS))).verdict == "pass"
    assert held_up


def test_the_default_auditor_passes_a_good_phase() -> None:
    answer = Auditors("python -m pytest_wf.auditor", 120).audit(good.document("P40"))
    assert (answer.verdict, answer.reason) == ("pass", "")


@pytest.mark.fault("A2", "A3")
@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "wrote nothing"),
        (" \n", "wrote nothing"),
        ("Sure! Here is my verdict:\n" + json.dumps(PASS), "not one JSON document"),
        ("```json\n" + json.dumps(PASS) + "\n```", "not one JSON document"),
        (json.dumps(PASS) + "\n" + json.dumps(PASS), "not one JSON document"),
        ('{"verdict": "fail", ' + json.dumps(PASS)[1:], "appears twice"),
        ("[" * 100_000, "not one JSON document"),
        ('{"verdict": NaN}', "NaN"),
        ("\ufeff" + json.dumps(PASS), "not one JSON document"),
        ("[]", "not one JSON object"),
        ("null", "not one JSON object"),
    ],
)
def test_output_that_is_not_one_json_object_is_unverified(output: str, reason: str) -> None:
    answer = audited(script(f"print({output!r}.encode('utf-8').decode('utf-8'))"))
    assert answer.verdict == "unverified"
    assert reason in answer.reason


@pytest.mark.fault("A3")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"verdict": "PASS"}, "verdict"),
        ({"verdict": "pass "}, "verdict"),
        ({"verdict": True}, "verdict"),
        ({"verdict": None}, "verdict"),
        ({"verdict": ["pass"]}, "verdict"),
        ({"verdict": "unverified"}, "itself says"),
        ({"violated_laws": "7"}, "violated_laws"),
        ({"violated_laws": ["7"]}, "violated_laws"),
        ({"violated_laws": [True]}, "violated_laws"),
        ({"violated_laws": [7.0]}, "violated_laws"),
        ({"verdict": "fail", "violated_laws": [10]}, "laws are 1 to 9"),
        ({"verdict": "fail", "violated_laws": [0]}, "laws are 1 to 9"),
        ({"violated_laws": [7]}, "but laws"),
        ({"evidence_refs": "x"}, "evidence_refs"),
        ({"evidence_refs": [1]}, "evidence_refs"),
        ({"remediation": None}, "remediation"),
        ({"remediation": ["x" * 100]}, "x...; it must be a string"),
        ({"confidence": 0.9}, "beyond what is known"),
        ({"nonce": "n-2"}, "nonce differs"),
        ({"evidence_sha256": "f" * 64}, "evidence_sha256 differs"),
    ],
)
def test_an_answer_that_is_not_to_the_letter_is_unverified(
    changes: dict[str, Any], reason: str
) -> None:
    answer = read_answer({**PASS, **changes}, DOCUMENT)
    assert answer.verdict == "unverified"
    assert reason in answer.reason


@pytest.mark.parametrize("name", PASS)
def test_an_answer_without_one_of_its_keys_is_unverified(name: str) -> None:
    answer = read_answer({k: v for k, v in PASS.items() if k != name}, DOCUMENT)
    assert answer.verdict == "unverified"
    assert name in answer.reason


def test_an_answer_may_repeat_what_it_is_about() -> None:
    assert read_answer({**PASS, **DOCUMENT}, DOCUMENT).verdict == "pass"


def test_what_is_shown_of_an_answer_can_do_no_harm() -> None:
    said = {**PASS, "remediation": "\x1b[2J\ud800" + "x" * 20_000, "evidence_refs": ["\x07a"]}
    answer = read_answer(said, DOCUMENT)
    assert "\x1b" not in answer.remediation
    assert len(answer.remediation) <= 8000
    assert answer.evidence_refs == (" a",)
    answer.remediation.encode("utf-8")


@pytest.mark.fault("A2")
def test_a_pass_with_a_bad_exit_status_is_unverified() -> None:
    body = (
        f"import sys; print({json.dumps(PASS)!r}); sys.stderr.write('out of tokens'); sys.exit(3)"
    )
    answer = audited(script(body))
    assert answer.verdict == "unverified"
    assert "status 3: out of tokens" in answer.reason


@pytest.mark.fault("A2")
def test_a_crash_is_unverified() -> None:
    answer = audited(script("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert answer.verdict == "unverified"


@pytest.mark.parametrize("command", ["", "  ", "no-such-auditor-here --x", "'unbalanced", "/"])
def test_a_command_that_cannot_run_is_unverified(command: str) -> None:
    answer = audited(command)
    assert answer.verdict == "unverified"
    assert answer.reason


@pytest.mark.fault("A1")
def test_a_hanging_auditor_is_killed_with_all_of_its_processes(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # a shell begins at once, also on a busy machine
    body = f"trap '' TERM; setsid sleep 600 & echo $$ $! > {pids}; sleep 600"
    answer = audited(shlex.join(["sh", "-c", body]), timeout_s=4.5)
    assert answer.verdict == "unverified"
    assert "within 4.5 s" in answer.reason
    for pid in map(int, pids.read_text().split()):
        _assert_gone(pid)


@pytest.mark.fault("A5")
def test_what_a_good_auditor_leaves_behind_is_killed_and_noted(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    body = (
        "import subprocess, sys\n"
        "p = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(pids)!r}, 'w').write(str(p.pid))\n"
        f"print({json.dumps(PASS)!r})\n"
    )
    answer = audited(script(body))
    assert answer.verdict == "pass"
    assert "left 1 processes behind" in answer.reason
    _assert_gone(int(pids.read_text()))


@pytest.mark.fault("A4")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_flood_ends_the_audit(stream: str) -> None:
    body = f"import sys\nwhile True: sys.{stream}.write('x' * 65536)"
    answer = audited(script(body), timeout_s=600, max_bytes=1 << 20)
    assert answer.verdict == "unverified"
    assert f"bytes to {stream}" in answer.reason


@pytest.mark.fault("A4")
def test_much_on_both_streams_below_the_caps_is_no_deadlock() -> None:
    body = (
        "import sys\n"
        "for _ in range(10): sys.stderr.write('e' * 65536); sys.stdout.write(' ' * 65536)\n"
        f"print({json.dumps(PASS)!r})\n"
    )
    assert audited(script(body), max_bytes=1 << 20).verdict == "pass"


def test_a_large_document_that_nobody_reads_is_no_deadlock() -> None:
    document = {**DOCUMENT, "evidence": "x" * 3_000_000}
    command = script(f"print({json.dumps(PASS)!r})")
    assert Auditors(command, 120).audit(document).verdict == "pass"


def test_a_large_document_arrives_whole() -> None:
    document = {**DOCUMENT, "evidence": "x" * 3_000_000}
    body = (
        "import json, sys\n"
        "n = len(json.load(sys.stdin)['evidence'])\n"
        f"print(json.dumps(dict({PASS!r}, remediation=str(n))))"
    )
    assert Auditors(script(body), 120).audit(document).remediation == "3000000"


def test_closed_outputs_with_an_open_stdin_are_no_deadlock() -> None:
    body = (
        "import os, sys\n"
        f"sys.stdout.write({json.dumps(PASS)!r}); sys.stdout.flush()\n"
        "os.close(1); os.close(2)\n"
        "while os.read(0, 65536): pass\n"
        "os._exit(0)\n"
    )
    document = {**DOCUMENT, "evidence": "x" * 1_000_000}
    assert Auditors(script(body), 120).audit(document).verdict == "pass"


@pytest.mark.fault("A5")
def test_it_sees_few_names_of_the_environment_and_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "hunter22")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LOGNAME", "hunter22")
    body = (
        "import json, os\n"
        f"print(json.dumps(dict({PASS!r}, evidence_refs=sorted(os.environ),"
        " remediation=os.getcwd() + ' ' + str(os.listdir('.')))))"
    )
    answer = audited(script(body), secret_names=["LOGNAME"])
    names = set(answer.evidence_refs) - {"LC_CTYPE"}
    assert "WANDB_API_KEY" not in names
    assert "LOGNAME" not in names
    assert {"PATH", "TZ"} <= names
    assert names <= {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "WF_AUDIT_COOKIE"}
    folder, listed = answer.remediation.split(" ", 1)
    assert listed == "[]"
    assert folder != os.getcwd()
    assert not Path(folder).exists()


def test_without_a_path_of_ours_it_has_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    body = f"import json, os; print(json.dumps(dict({PASS!r}, remediation=os.environ['PATH'])))"
    assert audited(script(body)).remediation == os.defpath


def test_a_python_of_the_command_has_the_package_of_this_court() -> None:
    body = f"import json, pytest_wf as p; print(json.dumps(dict({PASS!r}, remediation=p.__file__)))"
    answer = audited(f"python -c {shlex.quote(body)}")
    assert os.path.samefile(answer.remediation, pytest_wf.__file__)


def test_a_script_of_the_project_is_found_by_its_relative_path(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "judge.py").write_text(f"print({json.dumps(PASS)!r})")
    answer = audited("python tools/judge.py", project_root=tmp_path)
    assert (answer.verdict, answer.reason) == ("pass", "")


def test_the_command_is_split_and_not_given_to_a_shell(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    answer = audited(saying(json.dumps(PASS)) + f" ; touch {canary} $(touch {canary})")
    assert answer.verdict == "pass"
    assert not canary.exists()


class _Alarm(BaseException):
    """What a time-out raises in the middle of an audit."""


def test_an_alarm_in_the_middle_leaves_no_process_behind(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    # it reads first: then the alarm cannot strike before its start has returned
    body = "import os, sys, time; sys.stdin.read(1); "
    body += f"open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"

    rung: list[bool] = []

    def ring(number: int, frame: FrameType | None) -> None:
        # once: on a slow machine the next alarm comes before this one has been seen to
        if not rung and pid.exists() and pid.read_text():
            rung.append(True)
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise _Alarm

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(_Alarm):
            audited(script(body))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    _assert_gone(int(pid.read_text()))


def test_an_alarm_while_it_is_started_leaves_no_process_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def interrupted(*args: Any, **options: Any) -> None:
        started.append(popen(*args, **options))
        raise _Alarm

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(_Alarm):
        audited(script("import time; time.sleep(600)"))
    with started[0] as process:
        assert process.wait(60) == -signal.SIGKILL


def test_alarms_that_do_not_raise_disturb_nothing() -> None:
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        answer = audited(script(f"import time; time.sleep(0.5); print({json.dumps(PASS)!r})"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert answer.verdict == "pass"


def test_it_runs_outside_of_the_main_thread_too() -> None:
    answers: list[ConstitutionalAnswer] = []
    thread = threading.Thread(target=lambda: answers.append(audited(saying(json.dumps(PASS)))))
    thread.start()
    thread.join(120)
    assert [a.verdict for a in answers] == ["pass"]


def _assert_gone(pid: int) -> None:
    """The process is no more, or only a zombie that waits for its parent."""

    def is_gone() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        return state in "ZX"

    until(is_gone, f"process {pid} is gone")


DEFAULT = "python -m pytest_wf.auditor"
#: Answers with its own pid, after all of stdin.
READS = f"import json, os, sys; sys.stdin.read(); print(json.dumps(dict({PASS!r}, remediation="
READS += "str(os.getpid()))))"


@pytest.fixture
def ahead() -> Iterator[Callable[[str], Auditors]]:
    """Makes auditors of a command that may be started ahead."""
    made: list[Auditors] = []

    def make(command: str, **changes: Any) -> Auditors:
        made.append(Auditors(command, 120, **{"is_ahead": True, **changes}))
        return made[-1]

    yield make
    for auditors in made:
        auditors.close()


def _waiting(auditors: Auditors) -> int:
    assert auditors._waiting is not None
    return auditors._waiting.popen.pid


def test_each_document_has_a_process_of_its_own(ahead: Callable[..., Auditors]) -> None:
    auditors = ahead(script(READS))
    pids = set()
    for _ in range(2):
        auditors.prepare()
        started = _waiting(auditors)
        auditors.prepare()
        assert auditors.audit(DOCUMENT).remediation == str(started)
        pids.add(started)
    assert len(pids) == 2


def test_one_that_died_before_its_document_is_replaced(ahead: Callable[..., Auditors]) -> None:
    auditors = ahead(script(READS))
    auditors.prepare()
    died = _waiting(auditors)
    os.kill(died, signal.SIGKILL)
    until(lambda: not auditors._waiting.is_alive, "the auditor has died")  # type: ignore[union-attr]
    answer = auditors.audit(DOCUMENT)
    assert (answer.verdict, answer.reason) == ("pass", "")
    assert answer.remediation != str(died)


@pytest.mark.parametrize(
    ("command", "changes", "is_started"),
    [(DEFAULT, {"is_ahead": False}, True), ("cat", {}, True), ("cat", {"is_ahead": False}, False)],
)
def test_a_command_is_started_ahead_only_where_the_config_allows_it(
    ahead: Callable[..., Auditors], command: str, changes: dict[str, Any], is_started: bool
) -> None:
    auditors = ahead(command, **changes)
    auditors.prepare()
    assert (auditors._waiting is not None) == is_started


def test_one_that_cannot_be_started_ahead_says_why_when_asked(
    ahead: Callable[..., Auditors],
) -> None:
    auditors = ahead("no-such-auditor-here")
    auditors.prepare()
    assert "cannot be started" in auditors.audit(DOCUMENT).reason


def test_one_that_was_never_asked_is_ended_with_its_directory(
    ahead: Callable[..., Auditors],
) -> None:
    auditors = ahead("sleep 600")
    auditors.prepare()
    pid = _waiting(auditors)
    folder = Path(f"/proc/{pid}/cwd").readlink()
    auditors.close()
    _assert_gone(pid)
    assert not folder.exists()


def test_the_directories_of_killed_flows_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = "import sys; from pytest_wf.court.auditor_process import Auditors; "
    program += "a = Auditors('cat', 600, is_ahead=True); a.prepare(); print('begun'); "
    program += "sys.stdout.flush(); sys.stdin.read(); a.close()"

    def flow() -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", program]
        started = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert started.stdout is not None
        assert started.stdout.readline() == b"begun\n"
        return started

    with flow() as killed:
        (abandoned,) = tmp_path.iterdir()
        killed.kill()
    (tmp_path / "wf-auditor-file").touch()
    with flow() as living:
        assert not abandoned.exists()
        (kept,) = (path for path in tmp_path.iterdir() if path.is_dir())
        with flow() as another:
            assert kept.exists()
            another.communicate()
        living.communicate()
    assert [path.name for path in tmp_path.iterdir()] == ["wf-auditor-file"]


def test_a_child_that_a_phase_forked_keeps_no_auditor_waiting(
    ahead: Callable[..., Auditors],
) -> None:
    auditors = ahead(script(READS))
    auditors.prepare()
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        assert auditors.audit(DOCUMENT).verdict == "pass"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_default_auditor_starts_without_a_site_and_imports_little() -> None:
    argv = _argv(DEFAULT, None)
    assert argv[:4] == [sys.executable, "-I", "-S", "-c"]
    done = subprocess.run(
        [*argv[:3], "-X", "importtime", *argv[3:]], input=b"{}", capture_output=True
    )
    imported = {line.rpartition(b"|")[2].strip().decode() for line in done.stderr.splitlines()}
    assert "pytest_wf.auditor" in imported
    assert not imported & {"site", "pathlib", "dataclasses", "inspect", "subprocess", "pydantic"}
