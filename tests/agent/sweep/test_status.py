"""What the status says of rows whose files are odd, foreign, damaged or many."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent import process
from pytest_wf.agent.control import frozen_campaign, state
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import dead_attempt
from pytest_wf.agent.run.run_dir import RowDir
from pytest_wf.agent.sweep import status
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Row, RowStatus, RunResult
from tests.support.sweep_pod import CAMPAIGN, freeze_campaign, make_row


@pytest.fixture
def freeze(settings: Settings) -> Callable[..., Campaign]:
    """``freeze("a", "b")``: a campaign of these rows that no supervisor carries."""

    def make(*run_ids: str, **more: Any) -> Campaign:
        rows = [Row.from_json({**make_row(name), "index": i}) for i, name in enumerate(run_ids)]
        return freeze_campaign(settings, rows, **more)

    return make


def put(settings: Settings, run_id: str, /, **fields: Any) -> Path:
    """Write a summary of a good run, with `fields` instead of its own."""
    folder = Path(settings.run_dir(run_id))
    folder.mkdir(parents=True, exist_ok=True)
    good = RunResult(run_id, "success", True, 1, CAMPAIGN, "a" * 40, "config/a.py", 1, "")
    file = folder / "summary.json"
    file.write_text(json.dumps({**good.as_json(), **fields}))
    return file


def one(campaign: Campaign) -> RowStatus:
    """The only row of a campaign."""
    (row,) = status.status_of(campaign).rows
    return row


@pytest.mark.fault("S1", "S3")
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"\0" * 100,
        b'{"ok": true, "ok": true, "state": "success"}',
        b'{"ok": NaN}',
        b"[" * 100_000,
        b"\xff",
        json.dumps({"campaign_id": CAMPAIGN, "ok": True, "state": "failed"}).encode(),
        json.dumps({"campaign_id": CAMPAIGN, "ok": "true", "state": "success"}).encode(),
        json.dumps({"campaign_id": CAMPAIGN, "ok": True, "state": "great"}).encode(),
        json.dumps({"campaign_id": CAMPAIGN, "ok": True, "state": "success"}).encode(),
    ],
)
def test_a_damaged_summary_is_unreadable_never_success_or_running(
    freeze: Callable[..., Campaign], raw: bytes
) -> None:
    campaign = freeze("a")
    put(campaign.settings, "a").write_bytes(raw)
    body = status.status_of(campaign)
    assert body.rows[0].state == "unreadable"
    assert body.rows[0].ok is None
    assert body.rows[0].reason
    counts = {key: count for key, count in body.counts().items() if count}
    assert counts == {"total": 1, "parse_error": 1}


def test_a_pipe_or_link_in_place_of_a_summary_is_unreadable(
    freeze: Callable[..., Campaign],
) -> None:
    campaign = freeze("a", "b")
    for name in "ab":
        Path(campaign.settings.run_dir(name)).mkdir(parents=True)
    os.mkfifo(Path(campaign.settings.run_dir("a"), "summary.json"))
    Path(campaign.settings.run_dir("b"), "summary.json").symlink_to("/dev/zero")
    assert status.status_of(campaign).counts()["parse_error"] == 2


@pytest.mark.fault("S2")
@pytest.mark.parametrize("other", [None, {"run_id": "b"}, {"campaign_id": "c-other"}])
def test_a_status_that_says_success_is_not_believed_without_the_runs_own_summary(
    freeze: Callable[..., Campaign], other: dict[str, str] | None
) -> None:
    campaign = freeze("a")
    attempt = Path(campaign.settings.run_dir("a")) / "attempts" / "1"
    attempt.mkdir(parents=True)
    (attempt / "status.json").write_text('{"state": "success", "result": {"ok": true}}')
    if other:
        put(campaign.settings, "a", **other)
    row = one(campaign)
    assert row.state != "success"
    assert row.ok is None
    assert status.status_of(campaign).counts()["ok"] == 0


@pytest.mark.fault("S2")
def test_a_directory_of_another_campaign_is_never_counted(freeze: Callable[..., Campaign]) -> None:
    campaign = freeze("a")
    put(campaign.settings, "a", campaign_id="c-other")
    row = one(campaign)
    assert (row.state, row.ok) == ("pending", None)


def test_an_adopted_row_counts_by_its_own_campaigns_summary(
    freeze: Callable[..., Campaign],
) -> None:
    adopted = Row.from_json(make_row("a"))._replace(adopted_from="c-first")
    campaign = freeze(rows=[adopted])
    put(campaign.settings, "a", campaign_id="c-first")
    assert one(campaign).ok is True
    put(campaign.settings, "a", campaign_id="c-second")
    assert one(campaign).state == "unreadable"


def test_a_directory_without_an_attempt_is_not_begun(freeze: Callable[..., Campaign]) -> None:
    campaign = freeze("a")
    Path(campaign.settings.run_dir("a")).mkdir(parents=True)
    assert status.status_of(campaign).counts()["missing_dir"] == 1


@pytest.mark.fault("P7", "S1")
def test_a_status_that_says_running_is_lost_when_nobody_runs_it(
    freeze: Callable[..., Campaign],
) -> None:
    campaign = freeze("a")
    attempt = Path(campaign.settings.run_dir("a")) / "attempts" / "1"
    attempt.mkdir(parents=True)
    (attempt / "status.json").write_text('{"state": "running", "progress": {"step": 3}}')
    row = one(campaign)
    assert (row.state, row.progress) == ("lost", {"step": 3})
    (attempt / "pid.json").write_text('{"pid": 1, "start_ticks": 1, "boot_id": "of another boot"}')
    assert one(campaign).state == "lost", "a namesake of the pid is not the runner"


def test_running_without_anybody_is_stalled_or_completed(freeze: Callable[..., Campaign]) -> None:
    campaign = freeze("a")
    settings = campaign.settings
    state.reset(settings, fsm.SWEEP_RUNNING, "test")
    assert status.status_of(campaign).state == fsm.SWEEP_STALLED
    state.reset(settings, fsm.SWEEP_RUNNING, "test")
    put(settings, "a")
    assert status.status_of(campaign).state == fsm.SWEEP_COMPLETED
    assert state.read_state(settings).state == fsm.SWEEP_COMPLETED


def test_whoever_starts_a_campaign_is_not_disturbed_by_a_look(
    freeze: Callable[..., Campaign],
) -> None:
    from pytest_wf.agent.control import locks

    campaign = freeze("a")
    state.reset(campaign.settings, fsm.SWEEP_RUNNING, "test")
    with locks.locked(campaign.lock_path):
        assert status.status_of(campaign).state == fsm.SWEEP_RUNNING


def test_the_long_poll_answers_at_once_on_news_and_waits_without(
    freeze: Callable[..., Campaign], perform: Callable[..., dict[str, Any]]
) -> None:
    campaign = freeze("a")
    body = perform("campaign", wait_s=5, seen="something else")
    began = time.monotonic()
    again = perform("campaign", wait_s=0.6, seen=body["seen"])
    assert again["seen"] == body["seen"]
    assert time.monotonic() - began > 0.3, "it did not wait for news"
    put(campaign.settings, "a")
    assert perform("campaign", wait_s=5, seen=body["seen"])["ok"] == 1


def test_rows_come_in_the_order_of_the_manifest(freeze: Callable[..., Campaign]) -> None:
    campaign = freeze("z", "a", "m")
    body = status.status_of(campaign)
    assert [(r.index, r.run_id) for r in body.rows] == [(0, "z"), (1, "a"), (2, "m")]
    assert body.counts()["total"] == body.counts()["missing_dir"] == 3


def test_a_summary_that_stands_already_is_not_written_anew(freeze: Callable[..., Campaign]) -> None:
    campaign = freeze("a")
    here = RowDir(campaign, campaign.rows[0])
    Path(here.path).mkdir(parents=True)
    result = {"state": "success", "attempt": 1, "duration_s": 0.5, "metrics": {"loss": 1.5}}
    here.end(result)
    written = os.stat(here.summary_path)
    here.end(result)
    again = os.stat(here.summary_path)
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_a_row_has_not_ended_while_its_runner_still_owes_the_result(
    freeze: Callable[..., Campaign],
) -> None:
    campaign = freeze("a")
    here = RowDir(campaign, campaign.rows[0])
    attempt = put(campaign.settings, "a").parent / "attempts" / "1"
    attempt.mkdir(parents=True)
    (attempt / "pid.json").write_text(json.dumps(process.identity(os.getpid())))
    assert one(campaign).state == "running"
    (attempt / "result.json").write_text("{}")
    assert one(campaign).state == "success"
    (attempt / "result.json").unlink()
    (attempt / "pid.json").unlink()
    assert one(campaign).state == "success", "its runner is gone, and had judged it before"
    assert dead_attempt.record(here, 1, None, [])["state"] == "success"


def test_a_campaign_of_another_version_is_refused_with_a_way_on(
    freeze: Callable[..., Campaign],
) -> None:
    campaign = freeze("a")
    older = {key: value for key, value in campaign.settings.items() if key != "WF_ENGINE"}
    campaign._replace(settings=Settings(older)).save()
    with pytest.raises(Refusal, match=r"campaign\.json on the pod .* incompatible") as refused:
        frozen_campaign.find(campaign.settings)
    assert "move the outputs directory away" in refused.value.remedy


def test_a_run_directory_that_may_not_be_read_is_unreadable_and_hides_no_other_row(
    freeze: Callable[..., Campaign], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = freeze("a", "b")
    for run_id in ("a", "b"):
        put(settings, run_id)
    lstat = os.lstat

    def locked(path: str) -> os.stat_result:
        if str(path).startswith(settings.run_dir("a")):
            raise PermissionError(13, "Permission denied", path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", locked)
    assert [row.state for row in status.status_of(campaign).rows] == ["unreadable", "success"]
