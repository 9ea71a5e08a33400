"""Checks of the pod, on the facts from its agent; they send no request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_wf.config.keys import prefix_of
from pytest_wf.flow.readiness.commit_checks import content_elsewhere, file_that_needs_torch
from pytest_wf.flow.readiness.finding import Finding, ReadinessCheck, ok, problem, warning
from pytest_wf.flow.readiness.local_checks import MIN_FREE_BYTES, MIN_FREE_INODES, gpu_findings
from pytest_wf.flow.readiness.start_plan import plan_line
from pytest_wf.project.project import Project
from pytest_wf.wire import fsm

_LITTLE_BYTES = 1 << 30
#: A larger clock difference is a warning: tokens and certificates have times.
_CLOCK_TOLERANCE_S = 60.0
#: The keys of paths that every flow writes to.
_FILES = ("REMOTE_ENV_PATH", "WF_STATE_FILE")
_WRITTEN = ("OPS_REMOTE_OUTPUTS_DIR", "OPS_REMOTE_REPO", *_FILES)
_OTHER_ROOT = (
    "Correct that, or set WF_POD_ROOT to another folder, such as one in the login's home, and "
    "begin these paths with ${WF_POD_ROOT}/."
)


@dataclass(frozen=True)
class Pod:
    """The pod as its agent described it. All of `facts` and `state` comes from the pod."""

    project: Project
    #: The answer of the operation `readiness`.
    facts: Mapping[str, Any]
    #: The answer of the operation `state`.
    state: Mapping[str, Any]
    #: The pod's clock minus this machine's, in seconds.
    clock_offset_s: float = 0.0

    @property
    def may_be_brought(self) -> bool:
        """Whether BOOTSTRAP_SCRIPT has not run yet, and may install what is missing."""
        is_new = self.state["state"] in (fsm.INIT, fsm.POD_READY, fsm.POD_TERMINATED)
        return bool(self.project.config.bootstrap_script) and is_new

    def lacks(self, text: str, remedy: str, kind: str) -> Finding:
        """A problem, or a warning if BOOTSTRAP_SCRIPT may fix it."""
        if self.may_be_brought:
            return warning(text, f"{remedy} BOOTSTRAP_SCRIPT has not run yet and may install it.")
        return problem(text, remedy, kind)


def _system(pod: Pod) -> Iterator[Finding]:
    os_name = str(pod.facts["os"])
    if os_name.lower() != "linux":
        yield problem(
            f"the pod runs {os_name}; a pod is a Linux machine.",
            "Point OPS_DEFAULT_HOST at a Linux host.",
            "not-a-pod",
        )
    else:
        yield ok(f"{os_name} {pod.facts['kernel']}, python {pod.facts['python']}")


def _prerequisites(pod: Pod) -> Iterator[Finding]:
    facts = pod.facts
    missing, apt = facts["missing"], facts["apt"]
    if apt:
        yield problem(f"AUTO_INSTALL_PREREQS: {apt['message']}.", apt["remedy"], apt["kind"])
    for need in missing:
        name = str(need["name"])
        if need["is_installed_by_p40"]:
            yield ok(f"{name} is missing; P40 installs it")
        elif need["required"]:
            yield pod.lacks(f"missing on the pod: {name}.", need["remedy"], "prerequisites")
        else:
            text = "the pod has no tmux: attaching to a sweep is not possible."
            text = text if name == "tmux" else f"the pod has no {name}; the flow works without it."
            yield warning(text, "Install it there if you want it.")
    if not missing:
        tools = " ".join(f"{k} {v}" for k, v in sorted(facts["tools"].items()) if v)
        yield ok(tools)


def _torch(pod: Pod) -> Iterator[Finding]:
    found = pod.facts["torch"]
    if found["unfit"]:
        text = f"{found['unfit']} (asked: {found['python']})"
        remedy = (
            "Point REMOTE_PYTHON_BIN at a python that has it, or set REQUIRE_GPU_TORCH=0 without "
            "a GPU and TRAIN_LAUNCHER=python without torch."
        )
        yield pod.lacks(text, remedy, "torch")
    elif found["torch"]:
        yield ok(f"torch {found['torch']['version']} of {found['python']}")
    elif file := file_that_needs_torch(pod.project):
        yield warning(
            f"{found['python']} has no torch, and {file} needs it.",
            "Point REMOTE_PYTHON_BIN at the Python on the pod that has torch and the trainer's "
            "libraries.",
        )
    else:
        yield ok("none; TRAIN_LAUNCHER and REQUIRE_GPU_TORCH need none")


def _gpus(pod: Pod) -> Iterator[Finding]:
    config, facts = pod.project.config, pod.facts
    if config.wf_engine == "slurm":
        # the rows run on other machines than the one that answers
        most = int(facts["slurm"]["gpus"])
        yield from gpu_findings(pod.project, most, f"a node of the partition has {most} GPUs")
        return
    names = facts["visible_gpus"]
    if config.require_gpu_torch and not names:
        yield problem(
            "the pod has no GPU that is visible, and REQUIRE_GPU_TORCH is 1.",
            "Use a pod with a GPU, look at CUDA_VISIBLE_DEVICES, or set REQUIRE_GPU_TORCH=0.",
            "torch",
        )
        return
    drivers = sorted({str(gpu["driver"]) for gpu in facts["gpus"]})
    told = f"the pod has {len(names)} GPUs" + f", driver {' '.join(drivers)}" * bool(drivers)
    yield from gpu_findings(pod.project, len(names), told)
    if facts["gpu_users"]:
        yield warning(
            f"in use already: {facts['gpu_users']}.", "End that, or expect less memory and speed."
        )


def _folders(pod: Pod) -> Iterator[Finding]:
    places = pod.facts["places"]
    used = [*_WRITTEN, *["RUN_OUT_LOCAL_ROOT"] * (pod.project.config.run_out_mode == "local_sync")]
    # the keys of the same trouble at the same place are one problem: most paths have one root
    keys_of: dict[str, list[str]] = {}
    for key in used:
        trouble = _trouble(places[key], key not in _FILES)
        if trouble:
            keys_of.setdefault(f"{places[key]['at']} {trouble}", []).append(key)
    for told, keys in keys_of.items():
        remedy = f"Correct that, or {keys[0]}." if len(keys) == 1 else _OTHER_ROOT
        yield problem(f"{', '.join(keys)}: {told}.", remedy, "pod-disk")
    cache = places.get("HF_HOME")
    told = f"{cache['at']} {_trouble(cache)}" if cache and _trouble(cache) else ""
    if told and told not in keys_of:
        yield warning(f"HF_HOME: {told}.", "Correct that, or HF_HOME.")
    outputs = places["OPS_REMOTE_OUTPUTS_DIR"]
    free = outputs["free_bytes"]
    if MIN_FREE_BYTES <= free < _LITTLE_BYTES:
        yield warning(
            f"{outputs['at']} has {free >> 20} MiB free for results.", "Free room before the sweep."
        )
    else:
        yield ok(f"{free >> 30} GiB free at {outputs['at']}")


def _trouble(place: Mapping[str, Any], is_for_files: bool = True) -> str:
    """Why nothing can be written to a path; a folder if `is_for_files`."""
    inodes = place["free_inodes"]
    if place["foreign"]:
        return "exists, and pytest-wf did not make it"
    if not place["is_folder"] and (place["at"] != place["path"] or is_for_files):
        return "is not a folder"
    if not place["writable"]:
        return "cannot be written to by the login"
    if place["object_store"]:
        return f"is on {place['object_store']}, an object store, which cannot hold control files"
    if place["no_locks"]:
        return f"is on a file system without file locks ({place['no_locks']})"
    if place["free_bytes"] < MIN_FREE_BYTES:
        return f"has {place['free_bytes'] >> 20} MiB free"
    if inodes is not None and inodes < MIN_FREE_INODES:
        return f"has room for {inodes} more files"
    return ""


def _volume(pod: Pod) -> Iterator[Finding]:
    """A configured volume is mounted where results are written."""
    project = pod.project
    key = f"{prefix_of(project.rented_from)}VOLUME" if project.rented_from else ""
    if not key or not project.config.provided.get(key):
        return
    outputs = pod.facts["places"]["OPS_REMOTE_OUTPUTS_DIR"]
    if outputs["mount"] == "/":
        yield problem(
            f"{key} is set, and {outputs['path']} is on the pod's own disk.",
            "Check the pod's mounts, and set OPS_REMOTE_OUTPUTS_DIR to a folder of the volume.",
            "volume",
        )
    else:
        yield ok(f"mounted at {outputs['mount']}")


def _remote_repository(pod: Pod) -> Iterator[Finding]:
    remote = pod.facts["remote"]
    if not remote:
        return
    if remote["ok"]:
        yield ok(f"the pod can read {remote['url']}")
    else:
        yield problem(
            f"{remote['url']} from the pod: {remote['error']}.",
            "Correct REPO_URL, CHECKOUT_BRANCH or CHECKOUT_PR; a private repository travels with "
            "CHECKOUT_VIA=bundle.",
            "clone",
        )


def _checkout(pod: Pod) -> Iterator[Finding]:
    config, found = pod.project.config, pod.facts["repository"]
    path, kind = config.ops_remote_repo, found["kind"]
    elsewhere = "Point OPS_REMOTE_REPO elsewhere, or move what is there away."
    if kind == "none":
        yield ok(f"{path} is free")
    elif kind == "other":
        yield problem(
            f"{path} on the pod contains other files, and is not a clone.", elsewhere, "clone"
        )
    elif found["origin"] != found["wanted_origin"] and not found["unfinished"]:
        text = f"{path} on the pod is a clone of {found['origin'] or 'nothing that is known'}"
        yield problem(f"{text}, not of {found['wanted_origin']}.", elsewhere, "clone")
    elif found["modified"] and not config.checkout_force_clean:
        yield problem(
            f"tracked files of {path} are modified on the pod: {', '.join(found['modified'][:5])}.",
            "Commit or revert them there, or set CHECKOUT_FORCE_CLEAN=1 to discard the changes.",
            "dirty-checkout",
        )
    elif venv := pod.facts["venv"]:
        yield problem(f"{venv['message']}.", venv["remedy"], venv["kind"])
    else:
        yield ok(f"{path} is at {found['head'][:12] or 'no commit yet'}")


def _content(pod: Pod) -> Iterator[Finding]:
    found = pod.facts["repository"]
    if found["kind"] == "clone":
        yield from content_elsewhere(found["empty_submodules"], found["lfs"])


def _scripts(pod: Pod) -> Iterator[Finding]:
    config = pod.project.config
    uses_wandb = config.sweep_wandb or config.run_wandb_setup
    for key, script in pod.facts["scripts"].items():
        if key == "WANDB_SETUP_SCRIPT" and not uses_wandb:
            continue
        if script["is_file"] and script["readable"]:
            yield ok(f"{key}: {script['path']}")
            continue
        inside = f"{script['path']}/".startswith(f"{config.ops_remote_repo}/")
        why = " P40 runs it before P50 checks the repository out." if inside else ""
        yield problem(
            f"{key}: the pod has no file {script['path']} that can be read.{why}",
            f"Put it there, correct its path, or empty {key}.",
            "helper-script",
        )


def _data(pod: Pod) -> Iterator[Finding]:
    config, place = pod.project.config, pod.facts["places"].get("DATA_DIR")
    if not config.data_dir or place is None:
        return
    if place["exists"]:
        yield ok(f"{place['path']} exists; P50 checks its contents")
    elif config.download_fineweb:
        yield ok(f"{place['path']} does not exist; P50 downloads FineWeb into it")
    else:
        yield warning(
            f"DATA_DIR: the pod has no {place['path']}.",
            "Put the data there, or correct DATA_DIR, unless a command of yours makes it.",
        )


def _wandb(pod: Pod) -> Iterator[Finding]:
    config = pod.project.config
    if not config.sweep_wandb:
        return
    brought = "WANDB_API_KEY" in config.wf_secret_env or config.wandb_setup_script
    if brought or pod.facts["wandb_login"]:
        yield ok("a login is provided for")
    else:
        yield warning(
            "SWEEP_WANDB is 1, and nothing provides a W&B login on the pod: runs are kept offline.",
            "Name WANDB_API_KEY in WF_SECRET_ENV, or set WANDB_SETUP_SCRIPT; or upload the fetched "
            "runs with `wandb sync`.",
        )


def _pod_clock(pod: Pod) -> Iterator[Finding]:
    offset = pod.clock_offset_s
    if abs(offset) > _CLOCK_TOLERANCE_S:
        which = "ahead of" if offset > 0 else "behind"
        yield warning(
            f"the pod's clock is {abs(offset):.0f} s {which} this machine's.",
            "Set the wrong one: times in logs and evidence differ by as much.",
        )
    else:
        yield ok(f"{offset:+.0f} s")


def _lease(pod: Pod) -> Iterator[Finding]:
    held = pod.state["lease"]
    if not held or not held["alive"]:
        yield ok("not held")
        return
    owner = held["owner"]
    who = f"{owner.get('user', '?')}@{owner.get('host', '?')} (flow {owner.get('flow_id') or '?'})"
    yield problem(
        f"the pod is held by {who} since {held['since']}.",
        "Wait until that flow ends, or end it there with Ctrl-C: a sweep goes on without it.",
        "lease-held",
    )


def _campaign(pod: Pod) -> Iterator[Finding]:
    state, campaign = pod.state["state"], pod.state["campaign_id"]
    latest = f", latest campaign {campaign}" if campaign else ""
    if state in (fsm.SWEEP_RUNNING, fsm.ARTIFACTS_FETCHING):
        yield problem(
            f"the pod is in {state}{latest}; no sweep can be started meanwhile.",
            "Continue it with `--wf-sweep=resume`, or end it with `wf sweep-stop`.",
            "sweep-running",
        )
    else:
        yield ok(f"{state}{latest}")


def _existing_runs(pod: Pod) -> Iterator[Finding]:
    """The effect of a start on the runs on the pod, as P60 plans it."""
    start = pod.facts["start"]
    if "plan" in start:
        is_known = start["git_sha"] or not start["plan"]["adopted"]
        unknown = "" if is_known else "; other code is not seen before P50 has brought the commit"
        yield ok(plan_line(start) + unknown)
    elif pod.state["state"] != fsm.SWEEP_RUNNING:
        yield problem(f"{start['message']}.", start["remedy"], start["kind"])


def _unknown_files(pod: Pod) -> Iterator[Finding]:
    names = [str(name) for name in pod.facts["unknown_files"]]
    outputs = pod.project.config.ops_remote_outputs_dir
    if names:
        yield warning(
            f"not made by a flow: {', '.join(names[:5])} in {outputs}.",
            "They stay as they are.",
        )


#: Besides these there is `connection`, which gets the facts: without it the others wait.
POD_CHECKS: tuple[ReadinessCheck[Pod], ...] = (
    ReadinessCheck("system", "the pod is a Linux machine", _system),
    ReadinessCheck(
        "prerequisites",
        "git, bash, rsync and `REMOTE_PYTHON_BIN` with venv are there as far as they are needed, "
        "or P40 installs them",
        _prerequisites,
    ),
    ReadinessCheck(
        "torch",
        "`REMOTE_PYTHON_BIN` has the torch that `REQUIRE_GPU_TORCH` and `TRAIN_LAUNCHER` need; "
        "without one, the trainer and what is installed need none (a warning)",
        _torch,
    ),
    ReadinessCheck(
        "gpus", "there are as many GPUs as the rows need, and no one else uses them", _gpus
    ),
    ReadinessCheck(
        "pod-folders",
        "the folders of the config can be written, with 64 MiB and 1,000 files to spare, and files "
        "there locked where that is needed",
        _folders,
    ),
    ReadinessCheck("volume", "a configured volume is mounted where results go", _volume),
    ReadinessCheck(
        "remote-repository",
        "the pod can read `REPO_URL`, and it has `CHECKOUT_BRANCH` or `CHECKOUT_PR`",
        _remote_repository,
    ),
    ReadinessCheck(
        "checkout",
        "`OPS_REMOTE_REPO` is free, or a clean clone of `REPO_URL` with an environment of ours",
        _checkout,
    ),
    ReadinessCheck(
        "checkout-content",
        "the clone there has no empty submodule and no pointer of Git LFS (a warning)",
        _content,
    ),
    ReadinessCheck("scripts", "`BOOTSTRAP_SCRIPT` and `WANDB_SETUP_SCRIPT` are there", _scripts),
    ReadinessCheck("data", "`DATA_DIR` is there (a warning)", _data),
    ReadinessCheck("wandb", "`SWEEP_WANDB=1` finds a login (a warning)", _wandb),
    ReadinessCheck(
        "pod-clock",
        "the pod's clock and this machine's differ by 60 s at most (a warning)",
        _pod_clock,
    ),
    ReadinessCheck("lease", "no other flow holds the pod", _lease),
    ReadinessCheck("campaign", "no sweep is running there", _campaign),
    ReadinessCheck(
        "existing-runs",
        "no run there keeps a row from starting; says how many a start adopts",
        _existing_runs,
    ),
    ReadinessCheck(
        "unknown-files",
        "nothing but a flow's own is in `OPS_REMOTE_OUTPUTS_DIR` (a warning)",
        _unknown_files,
    ),
)
