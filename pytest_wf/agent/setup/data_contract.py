"""Data contracts: what a training reads is on the pod, and whole, before any row starts."""

import hashlib
import json
import os
import sys
from typing import Any, Dict, List

from pytest_wf.agent.control import created_paths
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import virtualenv
from pytest_wf.agent.setup.logged_step import Step, StepLog, run_step
from pytest_wf.wire.files import write_atomic, write_json
from pytest_wf.wire.messages import Refusal

_TIMEOUT_S = 3600
_SHOWN_CHARS = 500


def check_contracts(
    settings: Settings, log: StepLog, asked: Any, *, verify: bool
) -> List[Dict[str, Any]]:
    """Run the contracts in `asked`; what each one found, for the evidence.

    `asked` is ``{"contracts": [contract, …]}``, each one as `DataContract` of the controller
    gives it. With `verify` only those run that can look without a change. Raises Refusal
    'data' at the first that does not hold.
    """
    given = asked.get("contracts") if isinstance(asked, dict) else None
    contracts = [c for c in given or [] if isinstance(c, dict)]
    if verify:
        contracts = [c for c in contracts if c.get("verifies") is True]
    return [
        _check(settings, log, contract, number, verify) for number, contract in enumerate(contracts)
    ]


def _check(
    settings: Settings, log: StepLog, contract: Dict[str, Any], number: int, verify: bool
) -> Dict[str, Any]:
    name, program = str(contract.get("name")), str(contract.get("program") or "")
    text = program or str(contract.get("command"))
    done = run_step(
        log,
        _argv(settings, log, contract, number) if program else ["bash", "-c", text],
        timeout_s=float(contract.get("timeout_s") or _TIMEOUT_S),
        cwd=settings.repo,
        env=dict(virtualenv.venv_environment(settings), WF_DATA_VERIFY="1" if verify else "0"),
    )
    facts = _facts(done)
    said = facts if isinstance(facts, dict) else {}
    _record_created(settings, said.get("created"))
    if not done.ok:
        raise Refusal(
            "data",
            "the data contract '%s' does not hold: %s" % (name, said.get("message") or done.says()),
            str(
                said.get("remedy")
                or contract.get("remedy")
                or "Its output is in the log of the checkout."
            ),
            {"contract": name, "rc": done.returncode, "facts": facts, "log_tail": done.tail()},
        )
    return {
        "contract": name,
        "checked": said.get("checked") is not False,
        "sha256": hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
        "facts": facts,
    }


def _argv(settings: Settings, log: StepLog, contract: Dict[str, Any], number: int) -> List[str]:
    """The command line of a program, which is put beside the log with its arguments."""
    path = os.path.join(os.path.dirname(log.path), "data-contract-%d" % number)
    write_atomic(path + ".py", str(contract["program"]).encode("utf-8"))
    write_json(path + ".json", contract.get("arguments") or {})
    found = os.path.exists(settings.venv_python)
    python = settings.venv_python if found else sys.executable
    return [python, "-I", path + ".py", path + ".json"]


def _facts(done: Step) -> Any:
    """The last line: an object where it is JSON, else its text; None where there is none."""
    last = [line for line in done.tail(1) if line.strip()]
    try:
        return json.loads(last[0]) if last else None
    except ValueError:
        return last[0][:_SHOWN_CHARS]


def _record_created(settings: Settings, paths: Any) -> None:
    """Let a later deletion remove these files; anything but a regular file is left out."""
    for path in paths if isinstance(paths, list) else []:
        usable = isinstance(path, str) and os.path.isabs(path)
        if usable and os.path.isfile(path) and not os.path.islink(path):
            created_paths.record(settings, path)
