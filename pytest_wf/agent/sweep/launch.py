"""Start a campaign: check what it needs, freeze it, and launch its supervisor."""

import base64
import binascii
import os
import re
import shutil
import sys
from typing import Dict, List, Tuple

from pytest_wf.agent import forks, process
from pytest_wf.agent.control import clock, created_paths, frozen_campaign, journal, state
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.launches import Launch
from pytest_wf.agent.control.request import Args
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import mirror
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.setup import worktree
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.agent.sweep import snapshot
from pytest_wf.agent.sweep.cluster import queued
from pytest_wf.agent.wakeup import wake
from pytest_wf.wire import environment, fsm
from pytest_wf.wire.files import canonical_json, remove_file
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Malformed, Row, listed
from pytest_wf.wire.safe_text import excerpt
from pytest_wf.wire.trainer import arguments, entrypoint, template

#: How long a new supervisor may take until it has recorded its identity.
LAUNCH_S = 30.0
_GIT_TIMEOUT_S = 60.0


def lock_path(settings: Settings) -> str:
    """Path of the lock for starting, resuming or stopping a campaign; its folder is created."""
    created_paths.directory(settings, settings.campaigns)
    return frozen_campaign.lock_path(settings)


def refuse_without_means(settings: Settings, rows: List[Row]) -> None:
    """Raise Refusal 'launch' if the pod lacks GPUs, or rsync, that the campaign needs, or its
    Python cannot read the campaign's pattern."""
    try:
        re.compile(settings.log_pattern)
    except re.error as e:
        raise Refusal(
            "launch",
            "the pod's Python %d.%d cannot read METRICS_LOG_PATTERN: %s"
            % (*sys.version_info[:2], e),
            "Write it without what newer versions of Python alone know.",
        ) from None
    if mirror.is_used(settings) and shutil.which("rsync") is None:
        raise Refusal(
            "launch",
            "RUN_OUT_MODE=local_sync needs rsync, which the pod does not have",
            "Install it there, or set RUN_OUT_MODE=durable.",
        )
    wanted = [(row.gpus or settings.int("GPUS_PER_RUN"), row) for row in rows]
    if not any(count for count, _ in wanted):
        return
    capacity = executor_of(settings).capacity()
    short = [row.run_id for count, row in wanted if count > capacity]
    if short:
        raise Refusal(
            "launch",
            "the pod has %d GPUs, fewer than %s of row %s"
            % (
                capacity,
                "the column gpus" if any(row.gpus for row in rows) else "GPUS_PER_RUN",
                ", ".join(short[:10]),
            ),
            "Ask for fewer, or look at CUDA_VISIBLE_DEVICES.",
            {"gpus": capacity, "rows": short},
        )


def refuse_without_trainer(settings: Settings) -> None:
    workdir = os.path.normpath(os.path.join(settings.repo, settings["TRAIN_WORKDIR_REL"]))
    missing = []
    if not os.path.isdir(workdir):
        missing.append("the directory %s (TRAIN_WORKDIR_REL)" % workdir)
    if template.uses_launcher(settings) and not os.access(settings.venv_python, os.X_OK):
        missing.append("the interpreter %s" % settings.venv_python)
    script = os.path.join(workdir, settings["TRAIN_ENTRYPOINT"])
    is_script = not (
        settings["TRAIN_COMMAND_TEMPLATE"] or entrypoint.is_module(settings["TRAIN_ENTRYPOINT"])
    )
    if is_script and not os.path.isfile(script):
        missing.append("the script %s (TRAIN_ENTRYPOINT)" % script)
    if missing:
        raise Refusal(
            "launch",
            "the pod does not have %s" % " and ".join(missing),
            "Commit what is to be trained and run `wf checkout`, or correct the config.",
            {"missing": missing},
        )


def manifest_of(args: Args) -> Tuple[List[Row], bytes]:
    try:
        csv = base64.b64decode(str(args.get("manifest_csv", "")), validate=True)
        rows = [row._replace(adopted_from=None) for row in listed(args, "rows", Row.from_json)]
        if not rows:
            raise Malformed("there are no rows")
        seen: Dict[str, str] = {}
        for row in rows:
            if row.run_id.lower() in seen:
                raise Malformed("run id %s is used twice" % row.run_id)
            seen[row.run_id.lower()] = row.run_id
    except (ValueError, binascii.Error) as e:
        raise Refusal("manifest", "not a manifest: %s" % e) from None
    return sorted(rows, key=lambda row: row.index), csv


def require_own_names(settings: Settings, rows: List[Row]) -> None:
    """Refuse rows whose overrides name an argument that pytest-wf gives to their trainer."""
    found = [
        "row %s: %s" % (row.run_id, word)
        for row in rows
        for word, _ in arguments.given_again(settings, row, settings.out_dir(row.run_id))
    ]
    if found:
        raise Refusal(
            "manifest",
            "pytest-wf gives these arguments itself: %s" % ", ".join(found[:20]),
            "Take them out of the column overrides.",
        )


def commit_of(settings: Settings, args: Args) -> str:
    """The commit that the campaign trains: the requested one, or the one that is checked out."""
    asked = args.get("git_sha")
    if isinstance(asked, str) and asked:
        return asked
    argv = ["git", "-C", settings.repo, "rev-parse", "--verify", "HEAD^{commit}"]
    found = process.output(argv, _GIT_TIMEOUT_S, env=environment.of_git())
    if found.code is None:
        raise Refusal("launch", "git does not run: %s" % found.stderr, "Run `wf bootstrap`.")
    if not found.ok:
        raise Refusal(
            "launch",
            "%s has no commit: %s" % (settings.repo, excerpt(found.stderr)),
            "Run `wf checkout`.",
        )
    return found.stdout.strip()


def secrets_of(args: Args) -> Dict[str, str]:
    found = args.get("secrets") or {}
    if not isinstance(found, dict) or not all(
        isinstance(k, str) and isinstance(v, str) and "\0" not in v for k, v in found.items()
    ):
        raise Refusal("agent-broken", "the secrets are not strings by name")
    return dict(found)


def record(campaign: Campaign, taken: Launch, flow_id: str) -> Launch:
    """Record what a launch takes, before it begins; the launch as recorded."""
    return taken._replace(created_at=clock.now(), flow_id=flow_id).record(campaign.folder)


def extend(campaign: Campaign, taken: Launch) -> bool:
    """Wait until the living supervisor has taken on a recorded launch; False if it ended first.

    Raises Refusal 'sweep-running' if it takes no more rows.
    """
    queue = queued.queue_of(campaign)
    if queue is not None:
        queued.submit(campaign, queue)
        return True

    def is_settled() -> bool:
        return has_taken() or not frozen_campaign.is_supervised(campaign)

    wake(frozen_campaign.supervisor_of(campaign))

    def has_taken() -> bool:
        number = frozen_campaign.supervisor_of(campaign).get("launch")
        return isinstance(number, int) and number >= taken.number

    if not journal.wait_until(is_settled, LAUNCH_S, 0.01):
        raise Refusal(
            "sweep-running",
            "the sweep of campaign %s takes no more rows: it ends with those that run now"
            % campaign.campaign_id,
            "Wait for its end with `wf sweep-watch`, or end it with `wf sweep-stop`; then resume.",
            {"campaign_id": campaign.campaign_id},
        )
    return has_taken()


def tree_of(campaign: Campaign) -> str:
    """The campaign's working tree, created if it is missing. Raises Refusal."""
    log = StepLog(os.path.join(campaign.folder, "tree.log"))
    return worktree.make(campaign.settings, log, campaign.campaign_id, campaign.git_sha)


def launch(campaign: Campaign, secrets: Dict[str, str], command: str) -> None:
    """Set the pod to SWEEP_RUNNING, then start the supervisor.

    If this is interrupted between the two, the status says stalled and a resume starts the
    supervisor. Raises Refusal 'launch' if it did not start.
    """
    queue = None if campaign.dry_run else queued.queue_of(campaign)
    if command == "sweep-start" and queue is None and frozen_campaign.supervisor_of(campaign):
        return  # launched before; its status says how it is
    move(campaign, command, fsm.SWEEP_RUNNING, "campaign %s runs" % campaign.campaign_id)
    if queue is not None:
        queued.submit(campaign, queue)
        return
    remove_file(os.path.join(campaign.folder, "supervisor.json"))
    spawned = forks.start(
        ("queue", campaign.folder),
        log_path=campaign.log_path,
        stdin=canonical_json({"secrets": secrets}) + b"\n",
    )

    def has_begun() -> bool:
        return bool(frozen_campaign.supervisor_of(campaign)) or not process.is_alive(spawned)

    journal.wait_until(has_begun, LAUNCH_S, 0.01)
    if not frozen_campaign.supervisor_of(campaign):
        process.kill_tree("", spawned, 1.0)
        if not snapshot.take(campaign).running:
            move(campaign, "sweep-end", fsm.SWEEP_STALLED, "the supervisor did not start")
        raise Refusal(
            "launch",
            "the supervisor of campaign %s did not start: %s"
            % (campaign.campaign_id, _tail(campaign.log_path)),
            "Look at %s on the pod, then resume with `--wf-sweep=resume`." % campaign.log_path,
        )


def move(campaign: Campaign, command: str, to: str, reason: str) -> None:
    if state.read_state(campaign.settings).state != to:
        state.move(campaign.settings, command, to, reason, campaign.flow_id)


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as f:
            return excerpt(f.read().decode("utf-8", "replace")) or "no output"
    except OSError as e:
        return str(e)
