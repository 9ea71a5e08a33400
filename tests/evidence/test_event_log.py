"""Events are on the disk before what they announce, whatever strikes in between."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pytest_wf import schemas
from pytest_wf.errors import LinkLost, OperationFailed, Unreachable
from pytest_wf.evidence.event_log import EventLog
from pytest_wf.evidence.event_reader import EventsRead, read_events
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.flow.logged_provider import logged
from pytest_wf.pods.base import NoLog, is_renter
from pytest_wf.pods.lium.provider import LiumProvider
from pytest_wf.pods.local import LocalProvider
from pytest_wf.wire.redact import MASK, Redactor

SECRET = "hunter22-hunter22"


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path, "f-1", Redactor([SECRET]))


@pytest.fixture
def log(store: EvidenceStore) -> EventLog:
    return store.events


def read(store: EvidenceStore) -> EventsRead:
    found = read_events((store.dir / "events.jsonl").read_bytes())
    assert found.broken is None
    return found


def test_the_intent_is_there_before_the_effect_and_the_outcome_behind_it(
    store: EvidenceStore, log: EventLog
) -> None:
    log.phase = "P40"
    with log.effect("bootstrap", {"verify": False}) as outcome:
        (intent,) = read(store).events
        assert (intent["kind"], intent["op"], intent["phase"]) == ("intent", "bootstrap", "P40")
        outcome["state"] = "BOOTSTRAPPED"
    _, answer = read(store).events
    assert (answer["of"], answer["status"]) == (intent["seq"], "ok")
    assert answer["facts"] == {"state": "BOOTSTRAPPED"}
    for event in (intent, answer):
        Draft202012Validator(schemas.load("event.schema.json")).validate(event)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationFailed("run-exists", "no"), "failed"),
        (Unreachable("nobody answers"), "failed"),
        (OperationFailed("timeout", "no answer"), "unknown"),
        (OperationFailed("provider", "no answer"), "unknown"),
        (LinkLost("gone"), "unknown"),
        (KeyboardInterrupt(), "unknown"),
        (ValueError("a bug"), "unknown"),
    ],
)
def test_only_an_answer_that_says_so_is_a_failure(
    store: EvidenceStore, log: EventLog, error: BaseException, status: str
) -> None:
    with pytest.raises(type(error)), log.effect("launch"):
        raise error
    assert read(store).events[-1]["status"] == status


def test_a_long_error_is_told_cut(store: EvidenceStore, log: EventLog) -> None:
    with pytest.raises(ValueError, match=r"^x+$"), log.effect("launch"):
        raise ValueError("x" * 1000)
    assert read(store).events[-1]["facts"] == {"error": "ValueError", "text": "x" * 500}


def test_secrets_and_what_json_cannot_carry_stay_out(store: EvidenceStore, log: EventLog) -> None:
    with log.effect("task-run", {"command": f"x {SECRET}", "loss": float("nan"), "s": "\ud800"}):
        pass
    facts = read(store).events[0]["facts"]
    assert facts == {"command": f"x {MASK}", "loss": "nan", "s": "?"}


def test_events_of_many_threads_stand_in_one_chain(store: EvidenceStore, log: EventLog) -> None:
    def work() -> None:
        for _ in range(20):
            with log.effect("x"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(store).events) == 160
    assert read(store).open_intents == []


def test_after_the_summary_nothing_is_written(store: EvidenceStore, log: EventLog) -> None:
    with log.effect("x"):
        log.seal()
    with log.effect("lease-drop"):
        pass
    assert log.begin("phase", {}) == 0
    assert [e["kind"] for e in read(store).events] == ["intent"]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


@pytest.mark.fault("C8")
def test_without_room_for_the_intent_nothing_is_done_and_the_chain_goes_on(
    store: EvidenceStore, log: EventLog
) -> None:
    with log.effect("first"):
        pass
    done = False
    has = (store.dir / "events.jsonl").stat().st_size
    refused = pytest.raises(OperationFailed, match="'second' was not begun")
    with room_for(has + 20), refused as failed, log.effect("second"):
        done = True
    assert failed.value.kind == "local-disk"
    assert not done
    assert "events.jsonl" in log.trouble
    assert log.state()[0] == 2
    assert (store.dir / "events.jsonl").stat().st_size == has, "half a line is cut off"
    with log.effect("third"):
        pass
    assert [e["op"] for e in read(store).events] == ["first", "first", "third", "third"]


def test_without_room_for_the_outcome_the_effect_stays_done_and_the_flow_knows(
    store: EvidenceStore, log: EventLog
) -> None:
    with log.effect("rent") as outcome, room_for(0):
        outcome["pod"] = "pod-1"
        log.answer(1, "rent", "ok", outcome)
    assert log.trouble
    assert [e["kind"] for e in read(store).events] == ["intent", "outcome"]


_STRUCK = """
import os, signal, sys
from pathlib import Path
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.wire.redact import Redactor

log = EvidenceStore(Path(sys.argv[1]), "f-1", Redactor()).events
armed = False
def strike(number, frame):
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt
signal.signal(signal.SIGALRM, strike)
struck = 0
for count in range(400):
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, 0.00002 * (count % 60 + 1))
        while True:
            with log.effect("x", {"n": count}):
                pass
    except KeyboardInterrupt:
        struck += 1
print(struck)
"""


def test_no_signal_breaks_the_chain_wherever_it_strikes(
    store: EvidenceStore, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STRUCK, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "400\n"), done.stderr
    assert not read(store).torn
    assert read(store).events


_KILLED = """
import os, signal, sys
from pathlib import Path
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.wire.redact import Redactor

log = EvidenceStore(Path(sys.argv[1]), "f-1", Redactor()).events
log.begin("flow", {})
log.phase = "P60"
with log.effect("campaign-start", {"force": False}):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_of_a_killed_process_the_open_intent_tells_what_was_under_way(
    store: EvidenceStore, tmp_path: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert [e["op"] for e in read(store).open_intents] == ["flow", "campaign-start"]


def test_the_state_is_that_of_the_file(store: EvidenceStore, log: EventLog) -> None:
    assert log.state() == (0, None)
    with log.effect("x"):
        pass
    found: Any = read(store)
    assert log.state() == (2, found.digests[-1])
    assert json.loads((store.dir / "events.jsonl").read_text().splitlines()[0])["seq"] == 1
    assert os.stat(store.dir / "events.jsonl").st_mode & 0o777 == 0o644


def test_a_log_without_an_event_can_be_sealed(log: EventLog) -> None:
    log.seal()
    assert log.begin("x", {}) == 0


def test_a_logged_provider_has_every_method_of_its_own() -> None:
    assert is_renter(logged(LiumProvider(), NoLog()))
    assert not is_renter(logged(LocalProvider(), NoLog()))
    for provider in (LiumProvider(), LocalProvider()):
        names = {name for name in dir(provider) if not name.startswith("_")}
        assert all(hasattr(logged(provider, NoLog()), name) for name in names)
