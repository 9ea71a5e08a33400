"""What the pod lacks is named before anything is started there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.flow.operations.doctor import Verdict, judge_pod
from pytest_wf.flow.readiness.finding import ok, problem, warning
from pytest_wf.testing import commit_all
from tests.support.readiness import load, the_only, told

Configure = Callable[..., None]

GIB = 1 << 30


def place(path: str, **changes: Any) -> dict[str, Any]:
    """A folder with room."""
    room = {"foreign": False, "no_locks": "", "free_bytes": 50 * GIB, "free_inodes": 10**6}
    here = {"path": path, "at": "/mnt", "exists": True, "is_folder": True, "writable": True}
    return {**here, **room, "mount": "/mnt", "object_store": "", **changes}


KEYS = (
    "OPS_REMOTE_OUTPUTS_DIR",
    "OPS_REMOTE_REPO",
    "REMOTE_ENV_PATH",
    "WF_STATE_FILE",
    "HF_HOME",
    "DATA_DIR",
)


def facts(**changes: Any) -> dict[str, Any]:
    """A pod that lacks nothing."""
    good = {
        "os": "Linux",
        "kernel": "6.1",
        "python": "3.10.2",
        "tools": {"git": "2.40", "tmux": "3.3", "rsync": "3.2"},
        "missing": [],
        "apt": {},
        "venv": {},
        "start": {
            "plan": {"adopted": 2, "again": 1, "new": 3},
            "archive": {"runs": 1, "bytes": 2500},
            "git_sha": "a" * 40,
        },
        "torch": {"python": "python3", "torch": {"version": "2.5"}, "error": "", "unfit": ""},
        "visible_gpus": ["0", "1"],
        "gpus": [{"driver": "550.1"}, {"driver": "550.1"}],
        "gpu_users": "",
        "places": {key: place(f"/mnt/{key}") for key in KEYS},
        "repository": {"kind": "none"},
        "remote": {},
        "scripts": {},
        "unknown_files": [],
        "wandb_login": False,
        "unix_time_s": 1000.0,
    }
    return {**good, **changes}


STATE = {"state": "INIT", "campaign_id": None, "lease": None}


@pytest.fixture
def look(root: Path) -> Callable[..., list[tuple[str, str]]]:
    """What one check finds on a pod that differs from a good one by `changes`."""

    def find(check: str, *, state: Any = None, now: float = 1000.0, **changes: Any) -> Any:
        answer = facts(**changes)
        found = judge_pod(load(root), answer, {**STATE, **(state or {})}, now, now)
        return told(found, check)

    return find


def test_a_pod_that_lacks_nothing_has_no_problem(root: Path) -> None:
    found = judge_pod(load(root), facts(), STATE, 1000.0, 1000.0)
    assert {finding.status for finding in found} == {"ok"}


UNFIT = {"python": "python3", "torch": None, "error": "", "unfit": "torch cannot be imported"}
CLONE = {
    "kind": "clone",
    "head": "a" * 40,
    "origin": "bundle",
    "wanted_origin": "bundle",
    "unfinished": False,
}
NO_TORCH = {"python": "python3", "torch": None, "error": "", "unfit": ""}
NEED = {
    "name": "git",
    "required": True,
    "is_installed_by_p40": False,
    "remedy": "Install what is missing.",
}
UNFIT_VENV = {
    "kind": "venv",
    "message": "/r/.venv cannot be used: it is old",
    "remedy": "Set VENV_RECREATE=1.",
}
HELD = {
    "alive": True,
    "owner": {"user": "ada", "host": "desk", "flow_id": "f-1"},
    "since": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("check", "changes", "text"),
    [
        ("system", {"os": "Darwin"}, "a pod is a Linux machine"),
        ("prerequisites", {"missing": [NEED]}, "missing on the pod: git. Install what is missing."),
        ("torch", {"torch": UNFIT}, "torch cannot be imported (asked: python3)"),
        ("checkout", {"repository": {"kind": "other"}}, "contains other files, and is not a clone"),
        (
            "checkout",
            {"repository": {**CLONE, "origin": "https://elsewhere", "modified": []}},
            "is a clone of https://elsewhere, not of bundle",
        ),
        (
            "checkout",
            {"repository": {**CLONE, "head": "", "origin": "", "modified": []}},
            "is a clone of nothing that is known, not of bundle",
        ),
        (
            "checkout",
            {"repository": {**CLONE, "modified": ["train.py"]}},
            "are modified on the pod: train.py",
        ),
        (
            "remote-repository",
            {"remote": {"url": "https://x/y", "ok": False, "error": "it has no branch 'b'"}},
            "https://x/y from the pod: it has no branch 'b'",
        ),
        (
            "checkout",
            {"repository": {**CLONE, "modified": []}, "venv": UNFIT_VENV},
            "/r/.venv cannot be used: it is old. Set VENV_RECREATE=1",
        ),
        (
            "existing-runs",
            {"start": {"kind": "run-differs", "message": "a (commit)", "remedy": "Set a key."}},
            "a (commit). Set a key.",
        ),
        ("campaign", {"state": {"state": "SWEEP_RUNNING", "campaign_id": "c-1"}}, "SWEEP_RUNNING"),
        ("lease", {"state": {"lease": HELD}}, "held by ada@desk (flow f-1) since 2026"),
    ],
)
def test_what_a_flow_would_fail_of_is_a_problem(
    look: Any, check: str, changes: Any, text: str
) -> None:
    assert all(status == "ok" for status, _ in look(check))
    problems = [(status, said) for status, said in look(check, **changes) if status == "problem"]
    assert text in the_only(problems)[1]


def test_prerequisites_that_p40_installs_are_fine(look: Any) -> None:
    installed = {**NEED, "is_installed_by_p40": True}
    assert the_only(look("prerequisites", missing=[installed])) == (
        "ok",
        "git is missing; P40 installs it",
    )
    why = "git cannot be installed: the pod has no apt-get"
    apt = {"kind": "apt", "message": why, "remedy": "Use an image that has it."}
    found = look("prerequisites", missing=[NEED], apt=apt)
    assert [status for status, _ in found] == ["problem", "problem"]
    assert found[0][1] == f"AUTO_INSTALL_PREREQS: {why}. Use an image that has it."


def test_a_pod_without_tmux_is_a_warning(look: Any) -> None:
    need = {**NEED, "name": "tmux", "required": False}
    status, text = the_only(look("prerequisites", missing=[need]))
    assert (status, "attaching to a sweep is not possible" in text) == ("warning", True)


def test_a_script_that_has_yet_to_run_may_bring_what_is_missing(
    look: Any, configure: Configure
) -> None:
    configure(BOOTSTRAP_SCRIPT="/mnt/setup.sh")
    assert the_only(look("torch", torch=UNFIT))[0] == "warning"
    ran = {"state": "BOOTSTRAPPED"}
    assert the_only(look("torch", torch=UNFIT, state=ran))[0] == "problem"


def test_a_pod_without_gpus_is_a_problem_where_one_is_required(
    look: Any, configure: Configure
) -> None:
    assert the_only(look("gpus", visible_gpus=[], gpus=[]))[0] == "ok"
    configure(REQUIRE_GPU_TORCH="1")
    status, text = the_only(look("gpus", visible_gpus=[], gpus=[]))
    assert (status, "REQUIRE_GPU_TORCH is 1" in text) == ("problem", True)


def test_a_pod_with_fewer_gpus_than_a_row_wants_is_a_problem(
    look: Any, configure: Configure
) -> None:
    configure(GPUS_PER_RUN="2")
    assert the_only(look("gpus")) == ("ok", "the pod has 2 GPUs, driver 550.1")
    configure(GPUS_PER_RUN="3")
    assert the_only(look("gpus"))[1].startswith("the pod has 2 GPUs, driver 550.1; more are asked")


def test_the_gpus_of_a_cluster_are_those_of_its_nodes(look: Any, configure: Configure) -> None:
    configure(WF_ENGINE="slurm", REQUIRE_GPU_TORCH="1", GPUS_PER_RUN="4")
    nothing_here: dict[str, Any] = {"visible_gpus": [], "gpus": []}
    answer = the_only(look("gpus", slurm={"gpus": 4}, **nothing_here))
    assert answer == ("ok", "a node of the partition has 4 GPUs")
    status, text = the_only(look("gpus", slurm={"gpus": 2}, **nothing_here))
    assert (status, "more are asked for" in text) == ("problem", True)


def test_gpus_that_others_use_are_a_warning(look: Any) -> None:
    assert look("gpus", gpu_users="GPU 0: pid 7 (x) has 9 MiB")[1][0] == "warning"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"writable": False}, "cannot be written to by the login"),
        ({"free_bytes": 1 << 20}, "has 1 MiB free"),
        ({"free_inodes": 5}, "has room for 5 more files"),
        ({"object_store": "fuse.s3fs"}, "is on fuse.s3fs, an object store"),
        ({"no_locks": "No locks available"}, "without file locks (No locks available)"),
        ({"is_folder": False, "at": "/mnt/file"}, "/mnt/file is not a folder"),
        ({"is_folder": False, "at": "/mnt/outputs"}, "/mnt/outputs is not a folder"),
    ],
)
def test_a_folder_that_results_cannot_go_to_is_a_problem(
    look: Any, changes: Any, text: str
) -> None:
    places = {**facts()["places"], "OPS_REMOTE_OUTPUTS_DIR": place("/mnt/outputs", **changes)}
    status, said = look("pod-folders", places=places)[0]
    assert (status, text in said) == ("problem", True)


def test_a_root_that_cannot_be_written_is_one_problem_that_names_its_key(look: Any) -> None:
    closed = {
        key: place(one["path"], at="/mnt", writable=False) for key, one in facts()["places"].items()
    }
    found = [one for one in look("pod-folders", places=closed) if one[0] != "ok"]
    status, said = the_only(found)
    assert status == "problem"
    assert said.startswith("OPS_REMOTE_OUTPUTS_DIR, OPS_REMOTE_REPO, REMOTE_ENV_PATH, ")
    assert "/mnt cannot be written to by the login. " in said
    assert "set WF_POD_ROOT to another folder" in said


def test_a_config_of_somebody_else_on_the_pod_is_a_problem(look: Any) -> None:
    mine = place("/mnt/.bashrc", at="/mnt/.bashrc", is_folder=False, foreign=True)
    status, said = look("pod-folders", places={**facts()["places"], "REMOTE_ENV_PATH": mine})[0]
    assert (status, "/mnt/.bashrc exists, and pytest-wf did not make it" in said) == (
        "problem",
        True,
    )


def test_a_cache_that_cannot_be_written_is_a_warning(look: Any) -> None:
    places = {**facts()["places"], "HF_HOME": place("/mnt/hf", writable=False)}
    assert look("pod-folders", places=places)[0][0] == "warning"


def test_files_of_others_are_a_warning(look: Any) -> None:
    assert look("unknown-files") == []
    assert the_only(look("unknown-files", unknown_files=["x"]))[0] == "warning"


def test_little_room_for_results_is_a_warning(look: Any) -> None:
    places = {**facts()["places"], KEYS[0]: place("/mnt/outputs", free_bytes=GIB // 2)}
    assert the_only(look("pod-folders", places=places))[0] == "warning"


def test_a_volume_that_is_not_mounted_is_a_problem(look: Any, configure: Configure) -> None:
    assert look("volume") == []
    configure(LIUM_TARGET="some-pod", LIUM_VOLUME="id:fast-fox")
    assert the_only(look("volume")) == ("ok", "mounted at /mnt")
    places = {**facts()["places"], KEYS[0]: place("/mnt/outputs", mount="/")}
    assert the_only(look("volume", places=places))[0] == "problem"


def test_a_script_that_is_not_on_the_pod_is_a_problem(look: Any, configure: Configure) -> None:
    gone = {"path": "/mnt/setup.sh", "is_file": False, "readable": False}
    assert the_only(look("scripts", scripts={"BOOTSTRAP_SCRIPT": gone}))[0] == "problem"
    assert look("scripts", scripts={"WANDB_SETUP_SCRIPT": gone}) == []  # W&B is off
    configure(SWEEP_WANDB="1")
    assert the_only(look("scripts", scripts={"WANDB_SETUP_SCRIPT": gone}))[0] == "problem"


def test_a_script_in_the_checkout_is_missing_when_it_would_run(look: Any, root: Path) -> None:
    path = f"{load(root).config.ops_remote_repo}/setup.sh"
    gone = {"path": path, "is_file": False, "readable": False}
    text = the_only(look("scripts", scripts={"BOOTSTRAP_SCRIPT": gone}))[1]
    assert "P40 runs it before P50 checks the repository out" in text


def test_a_data_folder_that_is_missing_is_a_warning(look: Any, configure: Configure) -> None:
    assert look("data") == []
    configure(DATA_DIR="/mnt/data")
    assert the_only(look("data"))[0] == "ok"
    places = {**facts()["places"], "DATA_DIR": place("/mnt/data", exists=False)}
    assert the_only(look("data", places=places))[0] == "warning"
    configure(DOWNLOAD_FINEWEB="1")
    assert the_only(look("data", places=places))[0] == "ok"


def test_wandb_without_a_login_is_a_warning(look: Any, configure: Configure) -> None:
    configure(SWEEP_WANDB="1")
    assert the_only(look("wandb"))[0] == "warning"
    assert the_only(look("wandb", wandb_login=True))[0] == "ok"
    configure(WF_SECRET_ENV="WANDB_API_KEY")
    assert the_only(look("wandb"))[0] == "ok"


def test_clocks_that_differ_are_a_warning(look: Any) -> None:
    assert the_only(look("pod-clock", now=1030.0)) == ("ok", "-30 s")
    text = the_only(look("pod-clock", now=1300.0))[1]
    assert "the pod's clock is 300 s behind this machine's" in text


def test_a_lease_that_has_expired_holds_nothing(look: Any) -> None:
    assert the_only(look("lease", state={"lease": {**HELD, "alive": False}})) == ("ok", "not held")


@pytest.mark.parametrize("hostile", [None, 5, "x", [], {"x": 1}])
def test_an_answer_that_cannot_be_read_is_a_problem_and_nothing_worse(
    root: Path, hostile: Any
) -> None:
    for name in facts():
        found = judge_pod(load(root), facts(**{name: hostile}), STATE, 1000.0, 1000.0)
        assert all(finding.text for finding in found), name
    found = judge_pod(load(root), {}, {}, 1000.0, 1000.0)
    assert {finding.status for finding in found} == {"problem"}


@pytest.mark.parametrize(
    ("trainer", "requirements", "file"),
    [
        ("import os\nimport torch.nn as nn\n", "", "train/train.py"),
        ("from torch import nn\n", "", "train/train.py"),
        ("import transformers\n", "numpy\ntorch>=2\n", "requirements.txt"),
    ],
)
def test_a_pod_without_the_torch_that_the_commit_needs_is_a_warning(
    root: Path,
    look: Callable[..., list[tuple[str, str]]],
    configure: Configure,
    trainer: str,
    requirements: str,
    file: str,
) -> None:
    configure(CHECKOUT_INSTALL_CMD="pip install -r requirements.txt")
    (root / "train" / "train.py").write_text(trainer)
    (root / "requirements.txt").write_text(requirements)
    commit_all(root, "A trainer")

    status, text = the_only(look("torch", torch=NO_TORCH))

    assert (status, "Point REMOTE_PYTHON_BIN at" in text) == ("warning", True)
    assert text.startswith(f"python3 has no torch, and {file} needs it.")


def test_the_last_line_counts_the_problems_or_else_the_warnings() -> None:
    told = [ok("fine"), warning("odd"), warning("odder"), problem("wrong", "Correct it.")]
    ended = [Verdict("doctor", {}, findings=tuple(told[:count])) for count in (1, 2, 3, 4)]
    lines = [verdict.last_line for verdict in ended]
    assert lines == ["ready", "ready, with 1 warning", "ready, with 2 warnings", "1 problem"]


@pytest.mark.parametrize("requirements", ["torch-geometric\n", "torchmetrics\n", "# torch\n"])
def test_a_pod_without_torch_is_well_where_the_commit_names_none(
    root: Path,
    look: Callable[..., list[tuple[str, str]]],
    configure: Configure,
    requirements: str,
) -> None:
    configure(CHECKOUT_INSTALL_CMD="pip install -r requirements.txt")
    (root / "requirements.txt").write_text(requirements)
    commit_all(root, "A trainer")

    assert the_only(look("torch", torch=NO_TORCH))[0] == "ok"


def test_where_the_commit_is_unknown_a_pod_without_torch_is_well(
    look: Callable[..., list[tuple[str, str]]], configure: Configure
) -> None:
    configure(REPO_URL="https://example.org/trainer.git", CHECKOUT_BRANCH="main")

    assert the_only(look("torch", torch=NO_TORCH))[0] == "ok"
