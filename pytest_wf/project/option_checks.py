"""Checks of the flow options, alone and against the config."""

from __future__ import annotations

from pathlib import Path

from pytest_wf.config.keys import Config
from pytest_wf.errors import Problem
from pytest_wf.project.project import Options
from pytest_wf.wire import ids


def option_problems(root: Path, options: Options) -> list[Problem]:
    """Options without a legal value, or that contradict each other."""
    found = []
    choices = {
        "provision": (options.provision, ("auto", "skip")),
        "sweep": (options.sweep, ("start", "resume", "skip")),
        "teardown": (options.teardown or "keep", ("keep", "delete")),
    }
    for name, (value, legal) in choices.items():
        if value not in legal:
            remedy = f"Write {' or '.join(legal)}."
            found.append(option_problem(name, value, "not a legal value.", remedy))
    run = options.fetch_run
    if run is None and options.fetch not in ("none", "all"):
        remedy = "Write none, all or run:<run_id>."
        found.append(option_problem("fetch", options.fetch, "not a legal value.", remedy))
    elif run is not None and not ids.is_id(run):
        remedy = "Write run:<run_id> with an id of the CSV."
        found.append(option_problem("fetch", options.fetch, "not a run id.", remedy))
    if options.campaign and not ids.is_id(options.campaign):
        remedy = "Write an id such as `wf sweep-status` shows."
        found.append(option_problem("campaign", options.campaign, "not a campaign's id.", remedy))
    elif options.campaign and options.sweep != "resume":
        remedy = "Add --wf-sweep=resume, or leave it out."
        reason = "names a campaign to continue, and nothing is resumed."
        found.append(option_problem("campaign", options.campaign, reason, remedy))
    if options.smoke and options.sweep != "start":
        reason = "runs before a sweep starts, and none is started."
        remedy = "Leave it out, or set --wf-sweep=start."
        found.append(Problem("command line", None, "--wf-smoke", None, reason, remedy))
    if not str(root).isprintable():
        reason = "the project's path contains characters that cannot be shown."
        found.append(Problem(ascii(str(root)), None, "", None, reason, "Rename the directory."))
    return found


def conflicts(options: Options, config: Config, origin: str) -> list[Problem]:
    """Contradictions between config and options."""
    found = []
    unawaited = not options.wait and options.sweep != "skip"
    teardown = options.teardown or config.wf_default_teardown
    if teardown == "delete" and unawaited and not config.wf_delete_unfetched:
        reason = "deletes a pod without waiting for its sweep, and the results with it."
        remedy = "Add --wf-wait=true, or set WF_DELETE_UNFETCHED=1 to lose the results."
        if options.teardown:
            found.append(option_problem("teardown", "delete", reason, remedy))
        else:
            key = "WF_DEFAULT_TEARDOWN"
            found.append(Problem(origin, config.source(key), key, "delete", reason, remedy))
    may_lose = config.wf_delete_checkpoints or config.wf_delete_unfetched
    may_delete = "delete" in (teardown, config.wf_teardown_on_failure)
    if may_delete and config.fetch_include_checkpoints == "0" and not may_lose:
        key = "FETCH_INCLUDE_CHECKPOINTS"
        reason = "leaves checkpoints on a pod that this flow may delete with them."
        remedy = "Write auto, or set WF_DELETE_CHECKPOINTS=1 to lose them."
        found.append(Problem(origin, config.source(key), key, "0", reason, remedy))
    return found


def option_problem(name: str, value: str, reason: str, remedy: str) -> Problem:
    """A mistake in the option ``--wf-<name>``."""
    return Problem("command line", None, f"--wf-{name}", value, reason, remedy)
