"""Rows that share a pod: which GPUs there are, who has which, and whether they are free."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import gpus
from pytest_wf.agent.run.gpus import Gpus
from pytest_wf.errors import OperationFailed
from pytest_wf.wire import fsm
from pytest_wf.wire.files import read_json
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    MakeRow = Callable[..., dict[str, Any]]

#: Notes when it ran and on what, by a clock that all rows share. A row named in MEET goes on
#: until another one has run at the same time, or all others are over.
NOTING = """
def names(folder):
    return set(os.listdir(outputs / folder))

me = os.environ['RUN_ID']
for folder in ('begun', 'over'):
    (outputs / folder).mkdir(exist_ok=True)
began = time.monotonic()
over = names('over')
(outputs / 'begun' / me).touch()
while me in MEET and not names('begun') - over - {me} and len(names('over')) < ROWS - 1:
    time.sleep(0.01)
(outputs / 'over' / me).touch()
note = {'run_id': me, 'gpus': os.environ.get('CUDA_VISIBLE_DEVICES', ''),
        'nproc': os.environ['NPROC_PER_NODE'], 'began': began, 'ended': time.monotonic()}
with open(outputs / 'notes', 'a') as f: f.write(json.dumps(note) + '\\n')
"""


def noting(rows: int = 0, meet: Sequence[str] = ()) -> str:
    """A trainer that notes when it ran; rows in `meet` wait for one another."""
    return f"MEET, ROWS = {meet!r}, {rows}\n{NOTING}"


SMI = """#!{python}
import pathlib, sys
here = pathlib.Path(__file__).parent
fields = sys.argv[1].split("=")[1].split(",")
kind = "apps" if "compute-apps" in sys.argv[1] else "gpus"
with (here / "asked").open("a") as f: f.write(kind + "\\n")
for line in (here / kind).read_text().splitlines():
    print(", ".join(dict(part.split("=") for part in line.split())[f] for f in fields))
"""


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of two GPUs as nvidia-smi shows it; `apps` in its folder lists who uses them."""
    folder = tmp_path / "smi"
    folder.mkdir()
    tool = folder / "nvidia-smi"
    tool.write_text(SMI.format(python=sys.executable))
    tool.chmod(0o755)
    (folder / "gpus").write_text(
        "index=0 uuid=GPU-aaaa memory.used=3\nindex=1 uuid=GPU-bbbb memory.used=3\n"
    )
    (folder / "apps").write_text("")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "_idle", {})
    return folder


def notes(pod: Any) -> list[dict[str, Any]]:
    """What the rows noted, in the order in which they ended."""
    return [json.loads(line) for line in (pod.outputs / "notes").read_text().splitlines()]


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows ran at the same time."""
    return bool(one["began"] < other["ended"] and other["began"] < one["ended"])


def test_eight_rows_on_four_gpus_run_two_at_a_time_and_never_on_the_same_gpu(
    pod_with: Any, record_property: Callable[[str, object], None]
) -> None:
    pod = pod_with(CUDA_VISIBLE_DEVICES="0,1,2,3", GPUS_PER_RUN="2", NPROC_PER_NODE="")
    names = [f"r{i}" for i in range(8)]
    pod.trainer(noting(len(names), names))
    rows = pod.run_to_end(*[make_row(name) for name in names])
    assert all(row["ok"] for row in rows.values())
    assert pod.status()["state"] == fsm.SWEEP_COMPLETED
    ran = notes(pod)
    assert {note["gpus"] for note in ran} == {"0,1", "2,3"}
    assert {note["nproc"] for note in ran} == {"2"}
    pairs = [(one, other) for one in ran for other in ran if one is not other]
    together = [(one, other) for one, other in pairs if overlap(one, other)]
    assert all(one["gpus"] != other["gpus"] for one, other in together)
    alone = {note["run_id"] for note in ran} - {one["run_id"] for one, _ in together}
    assert len(alone) <= 1, "a last one may be"
    at_once = max(sum(n["began"] <= at["began"] < n["ended"] for n in ran) for at in ran)
    assert at_once == 2
    whole = max(note["ended"] for note in ran) - min(note["began"] for note in ran)
    record_property("of_sequential", round(whole / sum(n["ended"] - n["began"] for n in ran), 3))


def test_a_row_may_ask_for_more_gpus_than_the_others_and_is_not_overtaken(pod_with: Any) -> None:
    pod = pod_with(CUDA_VISIBLE_DEVICES="0,1,2", GPUS_PER_RUN="1", NPROC_PER_NODE="")
    pod.trainer(noting(4, ["b", "c"]))
    pod.run_to_end(make_row("a"), make_row("big", gpus=3), make_row("b"), make_row("c"))
    by_id = {note["run_id"]: note for note in notes(pod)}
    assert by_id["big"]["nproc"] == "3"
    assert by_id["big"]["began"] > by_id["a"]["ended"]
    assert not any(overlap(by_id["big"], by_id[other]) for other in "abc")
    assert overlap(by_id["b"], by_id["c"])
    assert by_id["b"]["began"] > by_id["big"]["ended"]


@pytest.mark.parametrize(
    ("keys", "row", "named"),
    [
        ({"GPUS_PER_RUN": "3"}, {}, "GPUS_PER_RUN"),
        ({}, {"gpus": 4}, "the column gpus"),
    ],
)
def test_more_gpus_than_there_are_stop_the_start(
    pod_with: Any, keys: dict[str, str], row: dict[str, Any], named: str
) -> None:
    pod = pod_with(CUDA_VISIBLE_DEVICES="0,1", **keys)
    with pytest.raises(OperationFailed, match=f"has 2 GPUs, fewer than {named} of row a"):
        pod.start(make_row("a", **row))


def test_several_living_rows_are_adopted_with_their_gpus(pod_with: Any) -> None:
    pod = pod_with(CUDA_VISIBLE_DEVICES="0,1", GPUS_PER_RUN="1")
    pod.trainer(
        "with open(outputs / 'begun', 'a') as f:\n"
        "    f.write(os.environ['RUN_ID'] + ' ' + os.environ['CUDA_VISIBLE_DEVICES'] + '\\n')\n"
        "while not (outputs / 'go').exists(): time.sleep(0.02)\n"
    )
    begun = pod.outputs / "begun"
    pod.start(*[make_row(name) for name in "abc"])
    until(lambda: begun.exists() and len(begun.read_text().split("\n")) == 3, "two rows run")
    pod.kill_supervisor()
    pod.resume()
    log = Path(pod.settings.campaigns) / pod.status()["campaign_id"] / "supervisor.log"
    until(lambda: log.read_text().count("supervisor ") >= 2, "another one carries them")
    assert [pod.rows()[name]["state"] for name in "abc"] == ["running", "running", "pending"]
    (pod.outputs / "go").touch()
    assert pod.ended()["ok"] == 3
    assert sorted(begun.read_text().splitlines())[:2] == ["a 0", "b 1"]
    assert [row["attempts"] for row in pod.rows().values()] == [1, 1, 1]


def test_stop_ends_all_rows_that_are_at_work(pod_with: Any) -> None:
    pod = pod_with(CUDA_VISIBLE_DEVICES="0,1", GPUS_PER_RUN="1")
    pod.trainer("while True: time.sleep(0.1)\n")
    pod.start(*[make_row(name) for name in "abc"])
    until(lambda: pod.cookie_holders("a") and pod.cookie_holders("b"), "two rows run")
    stopped = pod.client.request("campaign-stop")
    assert (stopped["leftovers"], stopped["state"]) == ([], fsm.SWEEP_STALLED)
    assert not pod.cookie_holders("a") and not pod.cookie_holders("b")
    assert [row["state"] for row in pod.rows().values()] == ["stopped", "stopped", "pending"]


def test_rows_at_work_end_when_another_fails_fast(pod_with: Any) -> None:
    pod = pod_with(CUDA_VISIBLE_DEVICES="0,1", GPUS_PER_RUN="1", SWEEP_FAIL_FAST="1")
    pod.trainer(
        "other = outputs / 'b' / 'out' / 'up'\n"
        "if os.environ['RUN_ID'] == 'a':\n"
        "    while not other.exists(): time.sleep(0.02)\n    sys.exit(1)\n"
        "(out / 'up').touch()\n"
        "while not (outputs / 'a' / 'summary.json').exists(): time.sleep(0.02)\n"
    )
    rows = pod.run_to_end(*[make_row(name) for name in "abc"])
    assert [row["state"] for row in rows.values()] == ["failed", "success", "pending"]


@pytest.mark.fault("P16")
def test_a_row_waits_until_nobody_else_holds_its_gpu(
    smi: Path, pod_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = "gpu_uuid=GPU-bbbb pid=4711 used_memory=30000 process_name=notebook\n"
    (smi / "apps").write_text(users)
    pod = pod_with(GPUS_PER_RUN="1", NPROC_PER_NODE="")
    pod.trainer(
        "while not (outputs / 'b').exists(): time.sleep(0.02)  # a keeps its GPU until then\n"
        + noting()
    )
    pod.start(make_row("a"), make_row("b"))
    said = until(lambda: "waits" in pod.status()["reason"] and pod.status()["reason"], "b waits")
    assert said == "waits for GPU 1: pid 4711 (notebook) has 30000 MiB"
    assert pod.rows()["b"]["state"] == "pending"
    (smi / "apps").write_text("")
    assert pod.ended()["ok"] == 2
    assert {note["run_id"]: note["gpus"] for note in notes(pod)} == {"a": "0", "b": "1"}
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in (pod.outputs / "b" / "command.sh").read_text()
    assert read_json(str(pod.outputs / "b/attempts/1/pid.json"))["gpus"] == ["1"]


@pytest.mark.fault("P16")
def test_memory_in_use_counts_also_where_its_user_is_not_listed(smi: Path) -> None:
    (smi / "gpus").write_text(
        "index=0 uuid=GPU-aaaa memory.used=3\nindex=1 uuid=GPU-bbbb memory.used=40000\n"
    )
    assert gpus.users_of(["0"]) == ""
    assert gpus.users_of(["GPU-bb"]) == "GPU 1: 40000 MiB are in use by an unknown process"


def test_a_gpu_that_shows_no_more_memory_than_without_a_process_is_asked_about_once(
    smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> list[str]:
        monkeypatch.setattr(gpus, "_last", {})  # the answer before is old
        assert gpus.users_of(["0", "1"]) == ""
        return (smi / "asked").read_text().split()

    assert asked() == ["gpus", "apps"]
    assert asked() == ["gpus", "apps", "gpus"]
    (smi / "gpus").write_text(
        "index=0 uuid=GPU-aaaa memory.used=3\nindex=1 uuid=GPU-bbbb memory.used=300\n"
    )
    (smi / "apps").write_text("gpu_uuid=GPU-bbbb pid=7 used_memory=297 process_name=small\n")
    monkeypatch.setattr(gpus, "_last", {})
    assert gpus.users_of(["0", "1"]) == "GPU 1: pid 7 (small) has 297 MiB"


def test_a_sweep_asks_once_for_the_gpus_and_once_before_each_row(smi: Path, pod_with: Any) -> None:
    pod = pod_with(GPUS_PER_RUN="1", NPROC_PER_NODE="")
    pod.run_to_end(*[make_row(name) for name in "abcd"], selected=["a", "b", "c", "d"])
    asked = (smi / "asked").read_text().split()
    # the start and the sweep each ask which there are; what they hear is soon too old for a row
    assert asked.count("gpus") <= 2 + 4
    assert asked.count("apps") <= 1, "what is idle is known from the first row on"


def test_gpus_are_told_by_the_config_then_the_pod_then_nvidia_smi(smi: Path) -> None:
    config = Settings({"CUDA_VISIBLE_DEVICES": "3,GPU-ab"})
    nothing = Settings({"CUDA_VISIBLE_DEVICES": ""})
    assert gpus.detect(config, {"CUDA_VISIBLE_DEVICES": "1"}).names == ["3", "GPU-ab"]
    assert gpus.detect(nothing, {"CUDA_VISIBLE_DEVICES": "1, 2,-1,0"}).names == ["1", "2"]
    assert gpus.detect(nothing, {"CUDA_VISIBLE_DEVICES": ""}).names == [], "hidden on purpose"
    assert gpus.detect(nothing, {}) == Gpus(["0", "1"], "nvidia-smi")


def test_where_nvidia_smi_is_absent_torch_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "repo" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 3\n")
    python.chmod(0o755)
    settings = Settings({"OPS_REMOTE_REPO": str(tmp_path / "repo"), "CUDA_VISIBLE_DEVICES": ""})
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpus, "_NODES", (str(tmp_path),))
    assert gpus.detect(settings, {}) == Gpus(["0", "1", "2"], "torch")
    monkeypatch.setattr(gpus, "_NODES", ())
    assert gpus.detect(settings, {}) == Gpus([], ""), "no device, so no torch is imported"
