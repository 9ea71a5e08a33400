"""A complete project in which to test your own phases, providers and auditors.

`write_project` makes a project on the local pod, with a git repository and a trainer that
needs only the standard library. Nothing in it is mocked.

    def test_my_phase(pytester):
        write_project(pytester.path)
        (pytester.path / "flows" / "test_mine.py").write_text(MY_PHASE)
        result = pytester.runpytest_subprocess("flows/", "--wf-flow")
        result.assert_outcomes(passed=13)

`LoopbackLium` is a Lium account on 127.0.0.1 whose pods are real SSH servers, and which
misbehaves on demand; docs/extending/testing.md shows a flow on it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_wf.loopback import Behaviour, Fault, LoopbackLium, Node, SshdPods
from pytest_wf.project.scaffold import template
from pytest_wf.wire import environment

__all__ = [
    "TRAINER",
    "Behaviour",
    "Fault",
    "LoopbackLium",
    "Node",
    "SshdPods",
    "commit_all",
    "write_project",
]

#: A trainer that is called like nanoGPT's: ``train.py <config> key=value …``. Keys: steps, sleep
#: (seconds a step), exit (exit status), wait_for (a file that must appear first).
TRAINER = """\
import json, os, sys, time

settings = dict(word.split("=", 1) for word in sys.argv[2:])
out = settings["out_dir"]
os.makedirs(out, exist_ok=True)
with open(os.path.join(out, "argv.json"), "a") as f:
    f.write(json.dumps(sys.argv[1:]) + "\\n")
print("training", os.environ["RUN_ID"], "seed", settings["seed"], flush=True)
while settings.get("wait_for") and not os.path.exists(settings["wait_for"]):
    time.sleep(0.02)
for step in range(int(settings.get("steps", "3"))):
    loss = 3.0 / (step + 1)
    print("step %d: train loss %.4f, val loss %.4f" % (step, loss, loss), flush=True)
    with open(os.path.join(out, "metrics.jsonl"), "a") as f:
        f.write(json.dumps({"step": step, "train_loss": loss}) + "\\n")
    time.sleep(float(settings.get("sleep", "0")))
status = int(settings.get("exit", "0"))
if status:
    print("the trainer gives up on purpose", file=sys.stderr, flush=True)
sys.exit(status)
"""

_CONFIG = {
    "OPS_DEFAULT_HOST": "local",
    "OPS_REMOTE_REPO": "${WF_POD_ROOT}/repo",
    "OPS_REMOTE_OUTPUTS_DIR": "${WF_POD_ROOT}/outputs",
    "REPO_URL": ".",
    "REQUIRE_GPU_TORCH": "0",
    "SWEEP_CSV": "flows/sweep.csv",
    "TRAIN_WORKDIR_REL": "train",
    "TRAIN_LAUNCHER": "python",
    "WF_FLOW_WAIT_INTERVAL_SECS": "1",
}


def write_project(
    root: Path,
    *,
    config: Mapping[str, str] | None = None,
    rows: Sequence[str] = ("one,default.py,1,,", "two,default.py,2,,"),
    trainer: str = TRAINER,
) -> Path:
    """Write a project into `root`, commit it, and return `root`.

    `config` adds keys to flows/workflow.env or replaces them; a key with the value '' is
    left out. `rows` are lines of the sweep CSV, header left out.
    """
    files = {
        "conftest.py": "",
        "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
        ".gitignore": "reports/\n.wf/\n__pycache__/\n.pytest_cache/\n",
        "flows/workflow.env": _env({**_CONFIG, **(config or {})}),
        "flows/sweep.csv": "\n".join(["run_id,config,seed,overrides,notes", *rows, ""]),
        "flows/test_lifecycle.py": template("test_lifecycle.py").decode(),
        "train/train.py": trainer,
        "train/default.py": "",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    _git(root, "init", "--quiet", "--initial-branch=main")
    commit_all(root, "A project to try things in")
    return root


def commit_all(root: Path, message: str) -> str:
    """Commit everything in `root`, and return the new commit's SHA."""
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--allow-empty", "--message", message)
    return _git(root, "rev-parse", "HEAD").strip()


def _env(keys: Mapping[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in keys.items() if value != "")


def _git(root: Path, *words: str) -> str:
    person = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Tester"), ("EMAIL", "tester@example.invalid"))
    }
    done = subprocess.run(
        ["git", "-c", "commit.gpgsign=false", "-C", str(root), *words],
        env=environment.of_git({**person, "GIT_CONFIG_NOSYSTEM": "1"}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout
