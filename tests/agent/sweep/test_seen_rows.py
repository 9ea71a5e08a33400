"""A look at a large campaign reads and sends what changed, and hides nothing of a full one."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_wf.agent import folder_watch
from pytest_wf.agent.control import frozen_campaign, launches
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.run_dir import RowDir
from pytest_wf.agent.sweep import status
from pytest_wf.agent.sweep.rows import changed_rows, seen_rows
from pytest_wf.agent.sweep.rows.row_status import row_status
from pytest_wf.wire.rows import Row, RunResult
from pytest_wf.wire.states import SUPERVISOR_ALIVE
from tests.support.sweep_pod import CAMPAIGN, freeze_campaign, make_row

RUN_IDS = ("a", "b", "c")


def freeze_rows(settings: Settings) -> Campaign:
    rows = [Row.from_json({**make_row(name), "index": i}) for i, name in enumerate(RUN_IDS)]
    return freeze_campaign(settings, rows)


@pytest.fixture(autouse=True)
def time_alone_makes_no_look_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no row be read because a test took long."""
    monkeypatch.setattr(seen_rows, "FULL_LOOK_S", 3600.0)
    monkeypatch.setattr(status, "MAX_WAIT_S", 60.0)


@pytest.fixture
def campaign(settings: Settings) -> Campaign:
    """A campaign of three rows that have not begun."""
    return freeze_rows(settings)


def begin(campaign: Campaign, run_id: str, **status_fields: Any) -> None:
    """Give the row an attempt that a living supervisor carries, with what its runner shows."""
    attempt = Path(campaign.settings.run_dir(run_id), "attempts", "1")
    attempt.mkdir(parents=True, exist_ok=True)
    (attempt / "status.json").write_text(json.dumps(status_fields))


def end(campaign: Campaign, run_id: str, state: str = "success") -> None:
    """Write the row's summary."""
    folder = Path(campaign.settings.run_dir(run_id))
    folder.mkdir(parents=True, exist_ok=True)
    ended = RunResult(
        run_id, state, state == "success", 1, CAMPAIGN, "a" * 40, "config/a.py", 1, ""
    )
    (folder / "summary.json").write_text(json.dumps(ended.as_json()))


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["run_id"] for row in rows]


def test_an_answer_has_the_rows_that_changed_and_counts_all(
    campaign: Campaign, perform: Callable[..., dict[str, Any]]
) -> None:
    first = perform("campaign", changes=True)
    assert (ids(first["rows"]), first["since"]) == (list(RUN_IDS), "")
    end(campaign, "b")
    second = perform("campaign", changes=True, seen=first["seen"])
    assert (ids(second["rows"]), second["since"]) == (["b"], first["seen"])
    assert (second["total"], second["ok"]) == (3, 1)
    third = perform("campaign", changes=True, seen=second["seen"])
    assert (third["rows"], third["since"]) == ([], second["seen"])


def test_an_answer_that_was_lost_is_made_up_for(
    campaign: Campaign, perform: Callable[..., dict[str, Any]]
) -> None:
    first = perform("campaign", changes=True)
    end(campaign, "a")
    perform("campaign", changes=True, seen=first["seen"])
    end(campaign, "c")
    assert ids(perform("campaign", changes=True, seen=first["seen"])["rows"]) == ["a", "c"]


@pytest.mark.parametrize("seen", ["", "another version", None, 7, ["x"]])
def test_of_a_version_that_is_not_known_all_rows_are_sent(
    campaign: Campaign, perform: Callable[..., dict[str, Any]], seen: Any
) -> None:
    answer = perform("campaign", changes=True, seen=seen)
    assert (ids(answer["rows"]), answer["since"]) == (list(RUN_IDS), "")


def test_who_does_not_ask_for_changes_gets_all_rows(
    campaign: Campaign, perform: Callable[..., dict[str, Any]]
) -> None:
    first = perform("campaign")
    assert ids(perform("campaign", seen=first["seen"])["rows"]) == list(RUN_IDS)


def test_rates_alone_are_no_news_and_are_sent_with_the_next_answer(campaign: Campaign) -> None:
    begin(campaign, "a", progress={"step": 1})
    rows = seen_rows.SeenRows(campaign)
    first = status._look(campaign, rows).seen
    begin(campaign, "a", progress={"step": 2})
    second = status._look(campaign, rows).seen
    assert second != first
    assert not rows.is_news(first, second)
    assert [row.progress for row in rows.changes_since(first) or ()] == [{"step": 2}]
    end(campaign, "a")
    assert rows.is_news(second, status._look(campaign, rows).seen)


def test_a_row_that_has_ended_is_read_once(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(campaign, "a")
    rows = seen_rows.SeenRows(campaign)
    rows.look(SUPERVISOR_ALIVE)
    read: list[str] = []
    one = row_status

    def counted(here: RowDir, supervisor: str, exists: bool, word: Any) -> Any:
        read.append(here.row.run_id)
        return one(here, supervisor, exists, word)

    monkeypatch.setattr(seen_rows, "row_status", counted)
    begin(campaign, "b")
    rows.look(SUPERVISOR_ALIVE)
    rows.look(SUPERVISOR_ALIVE)
    assert read == ["b", "b"], "a has ended, and c has no directory"


def test_of_rows_that_a_supervisor_names_only_those_are_read(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_rows.name_row(campaign, "a")
    begin(campaign, "a")
    begin(campaign, "c")  # not named: found with the next look at every row
    rows = seen_rows.SeenRows(campaign)
    rows.look(SUPERVISOR_ALIVE)
    end(campaign, "a")
    end(campaign, "c")
    (folder := Path(campaign.settings.run_dir("b"))).mkdir()
    for run_id in ("c", "b", "unknown"):
        changed_rows.name_row(campaign, run_id)
    with open(Path(campaign.folder) / changed_rows.NAME, "a") as f:
        f.write("hal")  # half a line
    rows.look(SUPERVISOR_ALIVE)
    assert [row.state for row in rows.statuses] == ["success", "pending", "success"]
    folder.rmdir()
    read: list[str] = []
    monkeypatch.setattr(rows, "_read", lambda place, *_: read.append(RUN_IDS[place]))
    rows.look(SUPERVISOR_ALIVE)
    assert read == [], "none is at work, and none was named"


def test_the_start_of_a_row_is_sent_with_the_rates_and_its_end_at_once(campaign: Campaign) -> None:
    rows = seen_rows.SeenRows(campaign)
    first = status._look(campaign, rows).seen
    begin(campaign, "a")
    with_start = status._look(campaign, rows).seen
    # without a process that works on it, it is lost: that is news
    assert rows.is_news(first, with_start)
    assert not seen_rows._can_wait(rows.statuses[0], rows.statuses[1])
    begun = rows.statuses[1]._replace(state="running", attempts=1)
    assert seen_rows._can_wait(rows.statuses[1], begun)
    assert not seen_rows._can_wait(begun, begun._replace(state="success"))


def test_a_poll_answers_as_soon_as_a_row_that_was_named_has_ended(
    campaign: Campaign, perform: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "LOOK_S", 60.0)
    first = perform("campaign", changes=True)
    looks = 0
    look = status._look

    def looked(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 1:
            # behind the look: only the watch can tell of it
            Path(campaign.folder, "supervisor.log").write_text("what is not watched wakes no one")
            found = look(*args)
            end(campaign, "b")
            changed_rows.name_row(campaign, "b")
            return found
        return look(*args)

    monkeypatch.setattr(status, "_look", looked)
    answer = perform("campaign", changes=True, seen=first["seen"], wait_s=60)
    assert (ids(answer["rows"]), answer["ok"], looks) == (["b"], 1, 2)


def test_a_poll_looks_now_and_then_where_nothing_can_be_watched(
    campaign: Campaign, perform: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_watch, "_watched", lambda folder: -1)
    first = perform("campaign", changes=True)
    writer = threading.Timer(0.05, lambda: end(campaign, "b"))
    writer.start()
    answer = perform("campaign", changes=True, seen=first["seen"], wait_s=60)
    writer.join()
    assert ids(answer["rows"]) == ["b"]


def test_another_launch_and_time_make_it_read_every_row_again(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(campaign, "a")
    rows = seen_rows.SeenRows(campaign)
    rows.look(SUPERVISOR_ALIVE)
    shutil.rmtree(campaign.settings.run_dir("a"))
    launches.Launch(("a",)).record(campaign.folder)
    rows.look(SUPERVISOR_ALIVE)
    assert [row.state for row in rows.statuses] == ["pending", "not_selected", "not_selected"]
    end(campaign, "a")
    rows.look(SUPERVISOR_ALIVE)
    shutil.rmtree(campaign.settings.run_dir("a"))
    rows.look(SUPERVISOR_ALIVE)
    assert rows.statuses[0].state == "success"
    monkeypatch.setattr(rows, "_full_at", 0.0)
    rows.look(SUPERVISOR_ALIVE)
    assert rows.statuses[0].state == "pending"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.sampled_from(RUN_IDS), st.integers(0, 3)),
        st.tuples(st.just("end"), st.sampled_from(RUN_IDS), st.sampled_from(["success", "failed"])),
        st.tuples(st.just("ask"), st.booleans(), st.none()),
    ),
    max_size=14,
)


@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_changes_add_up_to_what_a_full_answer_says(
    settings: Settings, perform: Callable[..., dict[str, Any]], steps: list[tuple[str, Any, Any]]
) -> None:
    """Rows begin and end as they do; the asker may lose any answer."""
    shutil.rmtree(settings.outputs, ignore_errors=True)
    Path(settings.campaigns).mkdir(parents=True)
    frozen_campaign._loaded.clear()
    campaign = freeze_rows(settings)
    ended: set[str] = set()
    answer = perform("campaign", changes=True)
    held, seen = {row["run_id"]: row for row in answer["rows"]}, answer["seen"]
    for what, first, second in [*steps, ("ask", True, None)]:
        if what == "ask":
            answer = perform("campaign", changes=True, seen=seen)
            if first:
                held.update((row["run_id"], row) for row in answer["rows"])
                seen = answer["seen"]
        elif first not in ended:
            if what == "begin":
                begin(campaign, first, progress={"step": second})
            else:
                end(campaign, first, second)
                ended.add(first)
    whole = [row.as_json() for row in status.status_of(campaign).rows]
    assert json.loads(json.dumps(whole)) == [held[run_id] for run_id in RUN_IDS]
