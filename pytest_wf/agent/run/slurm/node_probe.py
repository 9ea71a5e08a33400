"""A short job with facts about a compute node, and whether it shares the login node's disk."""

import json
import os
import platform
import shutil
import sys
from typing import Any, BinaryIO, Dict, List

from pytest_wf.agent import process
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.slurm import client, script
from pytest_wf.agent.run.slurm.client import Silent
from pytest_wf.wire.messages import Refusal

#: Seconds to wait for a free node; without one, each job checks its node itself.
WITHIN_S = 30


def ask(settings: Settings) -> Dict[str, Any]:
    """Facts about a node; or the reason, if none was free.

    Raises Refusal 'prerequisites' if it lacks what jobs need, or has another disk.
    """
    path = os.path.join(settings.control, "nonce-%s" % os.urandom(8).hex())
    nonce = os.urandom(16).hex()
    with open(path, "w", encoding="ascii") as f:
        f.write(nonce)
    options = ["--job-name=wf-probe", "--time=2", *script.asked(settings)]
    argv = process.agent_argv("probe-node", path, settings.venv_python)
    try:
        said = client.run_on_node(options, argv, WITHIN_S)
        facts = json.loads(said.strip().splitlines()[-1])
        wrong = _wrong(facts, nonce, path, settings)
    except (Silent, ValueError, LookupError, TypeError) as e:
        return {"probed": False, "why": str(e)}
    finally:
        for name in (path, path + ".back"):
            if os.path.exists(name):
                os.unlink(name)
    if wrong:
        raise Refusal(
            "prerequisites",
            "node %s: %s" % (facts.get("node"), "; ".join(wrong)),
            "Put OPS_REMOTE_REPO, OPS_REMOTE_OUTPUTS_DIR and the Python of REMOTE_PYTHON_BIN on a "
            "disk that all nodes share, or name other nodes in WF_SLURM_ARGS.",
            {"compute": facts},
        )
    return {"probed": True, **facts}


def _wrong(facts: Dict[str, Any], nonce: str, path: str, settings: Settings) -> List[str]:
    wrong = []
    if facts["nonce"] != nonce or not os.path.exists(path + ".back"):
        wrong.append("%s is not the folder that the login node has" % settings.control)
    if facts["git"] is None:
        wrong.append("git is missing")
    if not facts["venv"]:
        wrong.append("%s cannot be run" % settings.venv_python)
    return wrong


def probe_main(words: List[str], _stdin: BinaryIO) -> int:
    """``probe-node NONCE_FILE PYTHON``: prints the facts about this node, as JSON."""
    path, python = words
    try:
        with open(path, encoding="ascii") as f:
            nonce = f.read()
        with open(path + ".back", "w", encoding="ascii") as f:
            f.write(nonce)
    except OSError:
        nonce = ""
    facts = {
        "node": os.environ.get("SLURMD_NODENAME") or platform.node(),
        "nonce": nonce,
        "python": platform.python_version(),
        "git": shutil.which("git"),
        "venv": process.output([python, "-I", "-c", "pass"], 60).ok,
    }
    print(json.dumps(facts))
    sys.stdout.flush()
    return 0
