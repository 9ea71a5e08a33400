"""The metrics of runs whose trainers write files of their own, attempt by attempt."""

from __future__ import annotations

import json
from typing import Any

from tests.support.sweep_pod import make_row

#: Fails once after its first checkpoint, and prints and writes what two libraries do.
TRAINER = """
import json
number = len(list(out.glob("checkpoint-*"))) + 1
def state(step, loss):
    history = [{"step": step, "epoch": step / 10, "loss": loss, "eval_loss": loss + 1}]
    folder = out / f"checkpoint-{number}"
    folder.mkdir()
    body = {"global_step": step, "epoch": step / 10, "max_steps": 20, "log_history": history}
    (folder / "trainer_state.json").write_text(json.dumps(body))
table = out / "lightning_logs" / "version_0" / "metrics.csv"
if number == 1:
    table.parent.mkdir(parents=True)
    table.write_text("step,acc\\n1,0.99\\n")
    state(10, 0.1)
    sys.exit("NCCL error")
print("step 5: loss 3.5, lr 0.25", flush=True)
with table.open("a") as file:
    file.write("2,0.5\\n")
state(20, 1.5)
"""


def test_each_metric_of_the_last_attempt_has_its_source(pod: Any) -> None:
    pod.trainer(TRAINER)
    row = pod.run_to_end(make_row("a"))["a"]
    assert (row["state"], row["attempts"]) == ("success", 2), row
    assert row["sources"] == {
        "loss": "trainer_state.json",
        "eval_loss": "trainer_state.json",
        "epoch": "trainer_state.json",
        "acc": "lightning_logs/version_0/metrics.csv",
        "lr": "log",
    }
    assert row["metrics"] == {
        "step": 20,
        "loss": 1.5,
        "eval_loss": 2.5,
        "epoch": 2.0,
        "acc": 0.5,
        "lr": 0.25,
    }
    assert (row["extremes"]["loss"]["min"], row["extremes"]["acc"]["max"]) == (1.5, 0.5)
    assert row["notes"] == []
    lines = (pod.outputs / "a" / "metrics.jsonl").read_text().splitlines()
    read = {(one["attempt"], one["source"]) for one in map(json.loads, lines)}
    files = ("trainer_state.json", "lightning_logs/version_0/metrics.csv")
    assert read == {(n, source) for n in (1, 2) for source in files} | {(2, "log")}
    found = pod.read("a/attempts/2/found_before.json")
    assert sorted(found) == ["checkpoint-1/trainer_state.json", files[1]]
