"""The tmux window of a sweep: it shows the logs, and does nothing else."""

import os
from typing import Dict, List, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.wire import ids

_TIMEOUT_S = 10.0
#: An option that is set on our sessions alone.
_OURS = "@pytest-wf"


def show(campaign: Campaign, log: str) -> None:
    """Make ``live.log`` a link to the log of the attempt that began last. Raises OSError."""
    live = _live(campaign)
    os.symlink(log, live + ".new")
    os.replace(live + ".new", live)


def open_window(campaign: Campaign) -> Optional[Dict[str, str]]:
    """``{socket, session}`` of a new window; None if there is no tmux. Raises OSError."""
    server, session = _server(campaign), campaign.settings["SWEEP_TMUX_SESSION"]
    # a link from the start: tail gives up on a name that turns into one
    show(campaign, os.devnull)
    watch = ["tail", "-q", "-n", "100", "-F", "-s", "0.5", "--max-unchanged-stats=1"]
    watch += ["--pid=%d" % os.getpid(), campaign.log_path, _live(campaign)]
    # the secrets are not in this process's environment, so tmux gets none
    close_window(campaign)
    new = [*server, "new-session", "-d", "-s", session, "-n", "sweep", *watch]
    new += [";", "set-option", "-t", "=%s:" % session, _OURS, "1"]
    is_open = process.output(new, _TIMEOUT_S).ok
    return {"socket": server[2], "session": session} if is_open else None


def close_window(campaign: Campaign) -> None:
    """End the window, if there is one.

    `tail` ends with its supervisor by itself, except in a container whose first process is not an
    init: there no process reaps the supervisor.
    """
    server, session = _server(campaign), "=" + campaign.settings["SWEEP_TMUX_SESSION"]
    found = process.output([*server, "show-options", "-qv", "-t", session + ":", _OURS], _TIMEOUT_S)
    # a session of that name that is not ours stays
    if found.stdout.strip():
        process.output([*server, "kill-session", "-t", session], _TIMEOUT_S)


def _server(campaign: Campaign) -> List[str]:
    return ["tmux", "-L", ids.tmux_socket(campaign.settings.outputs)]


def _live(campaign: Campaign) -> str:
    return os.path.join(campaign.folder, "live.log")
