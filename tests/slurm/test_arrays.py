"""What a campaign asks of Slurm, and how Slurm's answers are read; nothing runs here."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.slurm import chunks, client, script
from pytest_wf.agent.run.slurm.client import Silent, gpus_in, parsed
from pytest_wf.agent.run.slurm.node_run import rendezvous, without_queue
from pytest_wf.agent.run.slurm.words import word_of
from pytest_wf.config import slurm
from pytest_wf.config.types import BadValue
from pytest_wf.wire.rows import Row
from tests.support.agent_pod import config_values
from tests.support.sweep_pod import freeze_campaign, make_row


@pytest.fixture
def campaign(tmp_path: Any) -> Any:
    """Makes a frozen campaign: ``campaign([row, …], WF_SLURM_TIME="5")``."""

    def make(rows: list[dict[str, Any]], **more: str) -> Any:
        keys = {"GPUS_PER_RUN": "1", "RUN_TIMEOUT_SECS": "0", "RUN_KILL_GRACE_SECS": "30"}
        values = {**config_values(tmp_path / "outputs", tmp_path), **keys, **more}
        numbered = [Row.from_json({**row, "index": i}) for i, row in enumerate(rows)]
        return freeze_campaign(Settings(values), numbered)

    return make


def test_rows_that_ask_for_the_same_share_arrays_of_a_limited_size(campaign: Any) -> None:
    rows = [make_row(f"r{i}", gpus=2 if i % 2 else None) for i in range(10)]
    found = campaign(rows)
    planned = chunks.planned(found, found.rows, 3, 7)
    assert [(c.number, c.shape.gpus, len(c.run_ids)) for c in planned] == [
        (7, 1, 3),
        (8, 1, 2),
        (9, 2, 3),
        (10, 2, 2),
    ]
    assert planned[0].name == f"wf-{found.campaign_id}.7"
    assert sorted(i for c in planned for i in c.run_ids) == sorted(r.run_id for r in found.rows)


def test_an_array_is_read_as_it_was_recorded_and_the_newest_one_has_the_row(campaign: Any) -> None:
    found = campaign([make_row("a"), make_row("b")])
    first = chunks.planned(found, found.rows, 10, 1)[0]._replace(job=5)
    second = chunks.planned(found, found.rows[:1], 10, 2)[0]
    for chunk in (first, second):
        chunk.save(found.folder)
    assert chunks.recorded(found.folder) == [first, second]
    assert chunks.places([first, second]) == {"a": (second, 0), "b": (first, 1)}


def test_a_time_out_becomes_a_time_limit_with_room_for_start_and_end(campaign: Any) -> None:
    found = campaign([make_row("a", timeout_s=600), make_row("b")], WF_SLURM_TIME="1-00")
    timed, free = chunks.planned(found, found.rows, 10, 1)
    assert "--time=13" in script.options(found, timed)
    assert "--time=1-00" in script.options(found, free)


def test_options_are_those_of_the_config_and_of_the_row(campaign: Any) -> None:
    found = campaign(
        [make_row("a", nodes=2, gpus=4)],
        WF_SLURM_ARGS="partition=gpu mem=8G",
        WF_SLURM_ARRAY_LIMIT="3",
    )
    options = script.options(found, chunks.planned(found, found.rows, 10, 1)[0])
    expected = {"--partition=gpu", "--mem=8G", "--gres=gpu:4", "--nodes=2", "--array=0-0%3"}
    assert expected <= set(options)
    assert "--requeue" in options


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", "pending"),
        ("SUSPENDED", "pending"),
        ("RUNNING", "running"),
        ("COMPLETING", "running"),
        ("A_NEW_WORD", "unknown"),
        ("COMPLETED", ""),
    ],
)
def test_a_word_of_slurm_is_a_state_or_unknown(word: str, state: str) -> None:
    assert word_of(word).state == state


@pytest.mark.parametrize(
    ("word", "state", "failure"),
    [
        ("CANCELLED", "stopped", "killed"),
        ("TIMEOUT", "timed_out", "timeout"),
        ("DEADLINE", "timed_out", "timeout"),
        ("OUT_OF_MEMORY", "failed", "oom"),
        ("NODE_FAIL", "failed", "preempted"),
        ("PREEMPTED", "failed", "preempted"),
        ("FAILED", "failed", "killed"),
    ],
)
def test_an_ended_job_without_a_result_is_judged_by_its_word(
    word: str, state: str, failure: str
) -> None:
    judged = word_of(word).judged
    assert judged is not None
    assert (judged["state"], judged["failure_class"]) == (state, failure)


def test_a_listing_is_read_and_anything_else_is_no_answer() -> None:
    task = parsed("12|3|PENDING|N/A|Resources|wf-c.1\n")[0]
    assert (task.array, task.index, task.state, task.ended_at) == (12, 3, "PENDING", None)
    assert parsed("12|3|FAILED|1700000000|None|wf-c.1")[0].ended_at == 1_700_000_000
    assert parsed("12|N/A|CANCELLED|1700000000|None|wf-c.1")[0].index == client.REST
    with pytest.raises(Silent):
        parsed("slurm_load_jobs error: Unable to contact slurm controller")


@pytest.mark.parametrize(
    ("gres", "count"),
    [("(null)", 0), ("gpu:2", 2), ("gpu:a100:4(S:0-1),shard:8", 4), ("gpu:h100:2,gpu:a100:2", 4)],
)
def test_gpus_are_counted_in_the_resources_of_a_node(gres: str, count: int) -> None:
    assert gpus_in(gres) == count


def test_a_client_gets_nothing_of_the_environment_that_slurm_would_keep() -> None:
    env = client.environ({"PATH": "/bin", "HOME": "/root", "HF_TOKEN": "s", "SBATCH_EXPORT": "ALL"})
    assert set(env) == {"PATH", "HOME", "LC_ALL", "SLURM_TIME_FORMAT"}


def test_a_trainer_sees_no_variable_of_the_queue() -> None:
    assert without_queue({"SLURM_PROCID": "0", "SLURMD_NODENAME": "n", "RUN_ID": "a"}) == {
        "RUN_ID": "a"
    }


def test_one_machine_holds_the_rendezvous_and_all_name_their_own_address() -> None:
    first = rendezvous(2, "127.0.0.1", 29500, "c.a.1", is_host=True)
    second = rendezvous(2, "127.0.0.1", 29500, "c.a.1", is_host=False)
    assert "--rdzv-conf=is_host=true" in first
    assert "--rdzv-conf=is_host=false" in second
    assert "--local-addr=127.0.0.1" in second


@pytest.mark.parametrize(
    "text", ["partition=gpu", "mem=64G cpus-per-task=8", "constraint=a100|h100"]
)
def test_options_of_the_closed_set_are_taken(text: str) -> None:
    assert slurm.ARGS.parse(text) == tuple(text.split())


@pytest.mark.parametrize("text", ["export=ALL", "partition", "mem=$(id)", "wrap=id", "qos=a;b"])
def test_other_options_are_refused(text: str) -> None:
    with pytest.raises(BadValue):
        slurm.ARGS.parse(text)


@pytest.mark.parametrize("text", ["30", "30:00", "12:00:00", "2-12", "2-12:30", "2-12:30:00"])
def test_a_time_limit_is_written_as_slurm_has_it(text: str) -> None:
    assert slurm.TIME.parse(text) == text


@pytest.mark.parametrize("text", ["unlimited", "1:99", "-5", "1d"])
def test_what_is_no_time_limit_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        slurm.TIME.parse(text)
