"""Data contracts: the data that a training reads is on the pod, complete, before any row starts."""

import json
import os
import sys
from typing import Any, Dict, List

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import created_data, virtualenv
from pytest_wf.agent.setup.logged_step import BASH, Step, StepLog, run_step
from pytest_wf.wire.files import (
    canonical_json,
    parse_json,
    sha256_bytes,
    write_atomic,
    write_json,
)
from pytest_wf.wire.messages import Refusal

_TIMEOUT_S = 3600
_SHOWN_CHARS = 500


def check_contracts(
    settings: Settings, log: StepLog, asked: Any, *, verify: bool
) -> List[Dict[str, Any]]:
    """Run the contracts in `asked`; the facts that each one found, for the evidence.

    `asked` is ``{"contracts": [contract, …]}``, each one in the form of the controller's
    `DataContract`. With `verify` only those run that change nothing. Raises Refusal 'data' at the
    first that does not hold.
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
    name = str(contract.get("name"))
    text = str(contract.get("program") or contract.get("command"))
    done = _run(settings, log, contract, number, verify)
    facts = _facts(done)
    said = facts if isinstance(facts, dict) else {}
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
        "sha256": sha256_bytes(text.encode("utf-8", "replace")),
        "arguments_sha256": sha256_bytes(canonical_json(contract.get("arguments") or {})),
        "facts": facts,
    }


def _run(
    settings: Settings, log: StepLog, contract: Dict[str, Any], number: int, verify: bool
) -> Step:
    """Run it, and record the files that it made, however it ended."""
    command = [*BASH, "-c", str(contract.get("command"))]
    argv = _argv(settings, log, contract, number) if contract.get("program") else command
    created = "" if verify else created_data.begin(settings, contract.get("creates"))
    env = {"WF_DATA_VERIFY": "1" if verify else "0", "WF_DATA_CREATED": created}
    try:
        return run_step(
            log,
            argv,
            timeout_s=float(contract.get("timeout_s") or _TIMEOUT_S),
            cwd=settings.repo,
            env=dict(virtualenv.venv_environment(settings), **env),
        )
    finally:
        if not verify:
            created_data.settle(settings)


def _argv(settings: Settings, log: StepLog, contract: Dict[str, Any], number: int) -> List[str]:
    """The command line of a program, which is put beside the log with its arguments."""
    path = os.path.join(os.path.dirname(log.path), "data-contract-%d" % number)
    write_atomic(path + ".py", str(contract["program"]).encode("utf-8"), 0o600)
    write_json(path + ".json", contract.get("arguments") or {}, 0o600)
    found = os.path.exists(settings.venv_python)
    python = settings.venv_python if found else sys.executable
    return [python, "-I", path + ".py", path + ".json"]


def _facts(done: Step) -> Any:
    """The last line that is a JSON object, else the text of the last line; None without lines."""
    lines = [line for line in done.output.split("\n") if line.strip()]
    for line in reversed(lines):
        if line.lstrip().startswith("{"):
            try:
                found = parse_json(line.encode("utf-8"))
                json.dumps(found, ensure_ascii=False).encode("utf-8")  # no half of a surrogate pair
                return found
            except ValueError:
                continue
    return lines[-1][:_SHOWN_CHARS] if lines else None
