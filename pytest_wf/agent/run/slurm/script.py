"""The batch script and the options of a job array."""

import shlex
from typing import List

from pytest_wf.agent import process
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.slurm import chunks
from pytest_wf.agent.run.slurm.chunks import Chunk
from pytest_wf.wire.files import write_atomic

#: Seconds before its end at which a job is warned, besides the grace of its trainer.
_WARNING_S = 30


def write(campaign: Campaign, chunk: Chunk) -> str:
    """Write the script of an array; its path."""
    path = chunks.path_of(campaign.folder, chunk.number, "sh")
    write_atomic(path, _text(campaign, chunk).encode(), 0o700)
    return path


def options(campaign: Campaign, chunk: Chunk) -> List[str]:
    """The options of `sbatch` for an array."""
    settings, shape = campaign.settings, chunk.shape
    limit = settings.get("WF_SLURM_ARRAY_LIMIT", "")
    log = chunks.log_of(campaign.folder, chunk.number, "%a")
    found = [
        "--job-name=" + chunk.name,
        "--array=0-%d%s" % (len(chunk.run_ids) - 1, "%" + limit if limit else ""),
        "--chdir=" + campaign.folder,
        "--output=" + log.replace("%", "%%").replace("%%a", "%a"),
        "--open-mode=append",
        "--export=ALL",  # the small environment of sbatch itself
        "--requeue",
        "--nodes=%d" % shape.nodes,
        "--ntasks-per-node=1",
        *asked(settings),
    ]
    time = str(shape.minutes) if shape.minutes else settings.get("WF_SLURM_TIME", "")
    if time:
        found.append("--time=" + time)
    if shape.gpus:
        found.append("--gres=gpu:%d" % shape.gpus)
    found.append("--signal=B:USR1@%d" % _warned_s(settings, time))
    return found


def asked(settings: Settings) -> List[str]:
    """The user's own options: those of `WF_SLURM_ARGS`."""
    return ["--" + word for word in settings.get("WF_SLURM_ARGS", "").split()]


def partition_of(settings: Settings) -> str:
    """The partition that the user names; '' for the cluster's own choice."""
    named = [w.partition("=")[2] for w in asked(settings) if w.startswith("--partition=")]
    return named[-1] if named else ""


def _warned_s(settings: Settings, time: str) -> int:
    # a job of one minute would be warned before it has begun
    return 20 if time == "1" else int(settings.kill_grace_s) + _WARNING_S


def _text(campaign: Campaign, chunk: Chunk) -> str:
    settings = campaign.settings
    # a login shell: clusters define `module` in its start-up files
    lines = ["#!/bin/bash -l", "set -o pipefail"]
    argv = process.agent_argv("job", campaign.folder, str(chunk.number))
    lines.append("set -- " + " ".join(shlex.quote(word) for word in argv))
    secret_file = settings.get("WF_SLURM_SECRET_FILE", "")
    if secret_file:
        lines += [
            "set -a",
            ". %s || exit 1" % shlex.quote(secret_file),
            "set +a",
        ]
    setup = settings.get("WF_SLURM_SETUP_CMD", "").strip()
    if setup:
        lines += [
            setup,
            'status=$?; if [ "$status" != 0 ]; then',
            '    echo "WF_SLURM_SETUP_CMD ended with exit status $status"; exit "$status"',
            "fi",
        ]
    return "\n".join([*lines, 'exec "$@"', ""])
