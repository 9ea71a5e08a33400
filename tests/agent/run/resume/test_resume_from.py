"""A further attempt of a row gets the checkpoint that the one before it left."""

from __future__ import annotations

import json
from typing import Any

from tests.support.sweep_pod import make_row

#: Counts to 6 and saves each second step; the second save is cut off by SIGKILL where `dies` says.
TRAINER = """
import signal, zipfile
was = os.environ["RESUME_FROM"]
print("from", was or "the beginning", flush=True)
first = json.loads(zipfile.ZipFile(was).read("step")) if was else 0
for step in range(first + 1, 7):
    with open(out / "metrics.jsonl", "a") as f:
        f.write(json.dumps({"step": step, "loss": 1 / step}) + chr(10))
    if step % 2 == 0:
        with zipfile.ZipFile(out / f"ckpt_{step}.pt", "w") as f:
            f.writestr("step", str(step))
    if step == 5 and not was:
        (out / "ckpt_6.pt").write_bytes((out / "ckpt_4.pt").read_bytes()[:-10])
        DIES
"""


def test_a_killed_row_goes_on_from_its_last_whole_checkpoint(pod_with: Any) -> None:
    pod = pod_with(RUN_RETRY_ON="killed")
    pod.trainer(TRAINER.replace("DIES", "os.kill(os.getpid(), signal.SIGKILL)"))
    row = pod.run_to_end(make_row("a"))["a"]
    assert (row["state"], row["attempts"]) == ("success", 2), row
    assert "from the beginning" in pod.log("a", 1)
    assert f"from {pod.outputs}/a/out/ckpt_4.pt" in pod.log("a", 2)
    assert row["resumed_from"] == pod.summary("a")["resumed_from"] == "out/ckpt_4.pt"
    assert pod.read("a/attempts/1/result.json")["resumed_from"] is None
    assert row["metrics"]["step"] == 6


def test_a_resume_goes_on_from_the_local_copy_and_trains_a_good_row_anew(
    pod_with: Any, tmp_path: Any
) -> None:
    local = tmp_path / "local"
    pod = pod_with(RUN_OUT_MODE="local_sync", RUN_OUT_LOCAL_ROOT=str(local), RUN_RETRIES="0")
    pod.trainer(TRAINER.replace("DIES", "sys.exit(1)"))
    assert pod.run_to_end(make_row("a"))["a"]["state"] == "failed"
    pod.resume()
    row = pod.ended()["rows"][0]
    assert (row["state"], row["resumed_from"]) == ("success", "out/ckpt_4.pt")
    assert f"from {local}/a/ckpt_4.pt" in pod.log("a")
    pod.resume_with(again=["a"])
    pod.ended()
    assert "from the beginning" in pod.log("a", 3)
    pod.resume()
    row = pod.ended()["rows"][0]
    assert (row["attempts"], row["resumed_from"]) == (4, "out/ckpt_4.pt")


def test_an_option_of_the_template_is_there_only_with_a_checkpoint(pod_with: Any) -> None:
    template = '"$VENV_PYTHON" train.py ${RESUME_FROM:+--from "$RESUME_FROM"} --seed=$SEED; false'
    pod = pod_with(TRAIN_COMMAND_TEMPLATE=template)
    pod.trainer("(out / \"it's 1.ckpt\").write_text('x')\nprint(json.dumps(sys.argv[1:]))\n")
    pod.run_to_end(make_row("a"))
    pod.resume()
    pod.ended()
    words = [json.loads(pod.log("a", number).partition(" ")[2]) for number in (1, 2)]
    assert words == [["--seed=1"], ["--from", f"{pod.outputs}/a/out/it's 1.ckpt", "--seed=1"]]
