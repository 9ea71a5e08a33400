"""Nothing is done twice under one id."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from pytest_wf.agent.control import journal
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal


def test_an_id_that_comes_again_gets_the_same_answer(settings: Settings) -> None:
    done: list[int] = []

    def work() -> dict[str, object]:
        done.append(1)
        return {"number": len(done)}

    first = journal.once(settings, "r-1", "op", {"a": 1}, work)

    assert journal.once(settings, "r-1", "op", {"a": 1}, work) == first == {"number": 1}
    assert journal.once(settings, "r-2", "op", {"a": 1}, work) == {"number": 2}


def test_a_refusal_is_remembered_with_all_that_it_says(settings: Settings) -> None:
    def refuse() -> dict[str, object]:
        raise Refusal("torch", "no GPU", "Rent one.", {"torch": None})

    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            journal.once(settings, "r-1", "op", {}, refuse)
        assert (refused.value.kind, refused.value.remedy) == ("torch", "Rent one.")
        assert refused.value.facts == {"torch": None}


def test_an_id_is_not_used_for_another_request(settings: Settings) -> None:
    journal.once(settings, "r-1", "op", {"a": 1}, dict)

    for op, args in (("op", {"a": 2}), ("other", {"a": 1})):
        with pytest.raises(Refusal, match="was used for another request"):
            journal.once(settings, "r-1", op, args, dict)


def test_two_that_come_at_once_do_the_work_once(settings: Settings) -> None:
    done: list[int] = []
    answers: list[dict[str, object]] = []
    both = threading.Barrier(2)

    def work() -> dict[str, object]:
        done.append(1)
        return {"n": len(done)}

    def ask() -> None:
        both.wait()
        answers.append(journal.once(settings, "r-1", "op", {}, work))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [{"n": 1}, {"n": 1}]


def test_work_that_was_cut_off_before_its_answer_is_done_again(settings: Settings) -> None:
    journal.begin(settings, "r-1", "op", {})

    assert journal.operation_state(settings, "r-1") == {"state": "unknown"}
    assert journal.once(settings, "r-1", "op", {}, lambda: {"done": True}) == {"done": True}
    assert journal.operation_state(settings, "r-1")["state"] == "done"


def test_work_under_way_is_told_as_running(settings: Settings) -> None:
    def work() -> dict[str, object]:
        return journal.operation_state(settings, "r-1")

    assert journal.once(settings, "r-1", "op", {}, work) == {"state": "running"}


def test_a_damaged_answer_is_reported(settings: Settings) -> None:
    journal.once(settings, "r-1", "op", {}, dict)
    path = Path(settings.operations) / "r-1" / "answer.json"
    path.write_text('{"ok": tr')

    with pytest.raises(Refusal) as refused:
        journal.once(settings, "r-1", "op", {}, dict)

    assert refused.value.kind == "state-unreadable"


@pytest.mark.parametrize("id", ["", "..", "../x", "a/b", "a\n", ".x", "-x", "x" * 129])
def test_an_id_names_a_directory_of_the_journal_or_nothing(settings: Settings, id: str) -> None:
    with pytest.raises(Refusal, match="is not a request id"):
        journal.once(settings, id, "op", {}, dict)


def test_neither_arguments_nor_secrets_are_written(settings: Settings) -> None:
    args = {"rows": ["row-content"], "secrets": {"HF_TOKEN": "hf_canary"}}
    journal.once(settings, "r-1", "op", args, dict)

    text = "".join(p.read_text() for p in Path(settings.operations).rglob("*") if p.is_file())

    assert "row-content" not in text
    assert "hf_canary" not in text
    body = json.loads((Path(settings.operations) / "r-1" / "request.json").read_text())
    journal.once(settings, "r-2", "op", {"rows": ["row-content"]}, dict)
    other = json.loads((Path(settings.operations) / "r-2" / "request.json").read_text())
    assert body["args_sha256"] == other["args_sha256"]


def test_old_requests_are_forgotten_but_none_that_is_under_way(settings: Settings) -> None:
    journal.begin(settings, "r-open", "op", {})
    for number in range(journal.KEPT + 10):
        journal.once(settings, f"r-{number}", "op", {}, dict)
        os.utime(os.path.join(settings.operations, f"r-{number}"), (number, number))

    left = {p.name for p in Path(settings.operations).iterdir() if p.is_dir()}

    assert "r-open" in left
    assert "r-0" not in left
    assert f"r-{journal.KEPT + 9}" in left
    assert len(left) == journal.KEPT + 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_named_as_one(number: int) -> None:
    refusal = journal.as_refusal(OSError(number, os.strerror(number), "/mnt/out/x"))

    assert refusal.kind == "pod-disk"
    assert "/mnt/out/x" in refusal.message


def test_a_bug_is_a_failure_with_its_traceback_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stored = journal.outcome(lambda: {"x": 1 // 0})

    assert stored["error"]["kind"] == "remote-failed"
    assert "ZeroDivisionError" in stored["error"]["message"]
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.fault("D3")
@pytest.mark.parametrize(
    ("code", "kind", "remedy"),
    [
        (errno.ENOSPC, "pod-disk", "Free space"),
        (errno.EDQUOT, "pod-disk", "Free space"),
        (errno.EROFS, "pod-disk", "mount the volume writable"),
        (errno.EIO, "pod-disk", "file system"),
        (errno.ESTALE, "pod-disk", "file system"),
        (errno.EMFILE, "remote-failed", "ulimit -n"),
        (errno.EACCES, "remote-failed", "Look at it on the pod"),
        (errno.EISDIR, "remote-failed", "Look at it on the pod"),
    ],
)
def test_what_a_file_system_refuses_is_named_with_its_path_and_a_remedy(
    code: int, kind: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> dict[str, object]:
        raise OSError(code, os.strerror(code), "/mnt/outputs/_control/lease.json")

    error = journal.outcome(work)["error"]

    assert error["kind"] == kind
    assert f"/mnt/outputs/_control/lease.json: {os.strerror(code)}" in error["message"]
    assert remedy in error["remedy"]
    assert capsys.readouterr().err == ""
