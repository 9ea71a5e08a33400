"""The data contract: what a training reads is on the pod, and whole, before any row starts."""

import ast
import hashlib
import json
import os
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import virtualenv
from pytest_wf.agent.setup.fineweb import fetch_missing
from pytest_wf.agent.setup.logged_step import StepLog, run_step
from pytest_wf.agent.setup.shards import Shard, lacking, look
from pytest_wf.wire.messages import Refusal

#: The name of the contract that is built in; a project's own of this name takes its place.
BUILT_IN = "fineweb"
#: Data sets, as training configs name them, that are read from FineWeb shards.
FINEWEB = re.compile(r"(?i)fineweb(?:\d+b)?(?:-gpt2)?")

_SHOWN = 20
_MAX_CONFIG_BYTES = 1 << 20
_COMMAND_TIMEOUT_S = 3600
_ASSIGNED = re.compile(
    r"""(?m)^[ \t]*["']?dataset["']?[ \t]*(?::[ \t]*str[ \t]*)?[:=][ \t]*["']?([\w./-]+)"""
)


def keep_contracts(
    settings: Settings, log: StepLog, asked: Any, *, changes: bool
) -> List[Dict[str, Any]]:
    """Hold every data contract; what each one found, for the evidence.

    `asked` is ``{"trainings": [[config, dataset or ""], …], "contracts": [{name, command,
    timeout_s, remedy}, …]}``. Without `changes` nothing is downloaded and no command is run.
    Raises Refusal 'data' at the first that does not hold.
    """
    given = asked if isinstance(asked, dict) else {}
    own = [c for c in given.get("contracts") or [] if isinstance(c, dict)]
    found = []
    if BUILT_IN not in [contract.get("name") for contract in own]:
        trainings = [(str(t[0]), str(t[1])) for t in given.get("trainings") or []]
        found.append(fineweb(settings, log, trainings, downloads=changes))
    if changes:
        found += [_run_contract(settings, log, contract) for contract in own]
    return found


def fineweb(
    settings: Settings, log: StepLog, trainings: Sequence[Tuple[str, str]], *, downloads: bool
) -> Dict[str, Any]:
    """At least one whole shard to train on and one to validate on, where a training reads them.

    Missing ones are downloaded with DOWNLOAD_FINEWEB=1. Raises Refusal 'data'.
    """
    facts: Dict[str, Any] = {"contract": BUILT_IN}
    readers = sorted({c for c, named in trainings if _is_fineweb(settings, c, named)})
    facts["needed_by"] = readers[:_SHOWN]
    where = settings.get("DATA_DIR", "")
    if not readers or not where:
        why = "DATA_DIR is empty" if readers else "no training config names it"
        return dict(facts, checked=False, why=why)
    shards = look(where)
    missing = lacking(shards)
    facts["path"] = "present"
    if missing and downloads and settings.flag("DOWNLOAD_FINEWEB"):
        facts.update(fetch_missing(settings, log, where, missing))
        shards = look(where)
        missing = lacking(shards)
    bad = [shard for shard in shards if shard.why]
    facts.update(
        checked=True,
        folder=where,
        shards=[shard.as_json() for shard in shards if not shard.why][:_SHOWN],
        count=len(shards) - len(bad),
        tokens=sum(shard.tokens for shard in shards if not shard.why),
        bad=[shard.as_json() for shard in bad][:_SHOWN],
    )
    if missing:
        raise Refusal("data", _wanting(where, missing, bad, readers), _REMEDY, facts)
    return facts


_REMEDY = (
    "Put whole shards there, set DOWNLOAD_FINEWEB=1 to have one of each kind downloaded, or "
    "correct DATA_DIR."
)


def dataset_of(text: str, is_python: bool) -> str:
    """The data set that a training config names, '' where it names none. Nothing is executed."""
    if is_python:
        try:
            return _assigned(ast.parse(text))
        except (SyntaxError, ValueError, RecursionError):
            pass  # of a newer Python, say; its lines can still be read
    found = _ASSIGNED.findall(text)
    return str(found[-1]) if found else ""


def _assigned(module: ast.Module) -> str:
    name = ""
    for node in module.body:
        targets: Sequence[ast.expr] = ()
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        value = getattr(node, "value", None)
        named = any(isinstance(t, ast.Name) and t.id == "dataset" for t in targets)
        if named and isinstance(value, ast.Constant) and isinstance(value.value, str):
            name = value.value
    return name


def _is_fineweb(settings: Settings, config: str, named: str) -> bool:
    """By the row's override, else its config, else the default of the training script."""
    workdir = os.path.join(settings.repo, settings.get("TRAIN_WORKDIR_REL", ""))
    entrypoint = settings.get("TRAIN_ENTRYPOINT") or "train.py"
    for name in (config, entrypoint):
        if not named:
            text = _text(os.path.join(workdir, name))
            named = dataset_of(text, name.endswith(".py"))
    return FINEWEB.fullmatch(named.rstrip("/").rpartition("/")[2]) is not None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read(_MAX_CONFIG_BYTES)
    except OSError:
        return ""  # a config that is not there fails its row, with a message of the trainer's


def _wanting(where: str, missing: List[str], bad: List[Shard], readers: List[str]) -> str:
    said = "%s has no whole FineWeb shard to %s, which %s reads" % (
        where,
        " and none to ".join({"train": "train on", "val": "validate on"}[k] for k in missing),
        readers[0] + (" and %d more" % (len(readers) - 1) if len(readers) > 1 else ""),
    )
    for shard in bad[:3]:
        said += "; %s: %s" % (shard.name, shard.why)
    return said


def _run_contract(settings: Settings, log: StepLog, contract: Dict[str, Any]) -> Dict[str, Any]:
    """Run a project's own contract; its last line, where that is a JSON object, is its facts."""
    name, command = str(contract.get("name")), str(contract.get("command"))
    done = run_step(
        log,
        ["bash", "-c", command],
        timeout_s=float(contract.get("timeout_s") or _COMMAND_TIMEOUT_S),
        cwd=settings.repo,
        env=virtualenv.venv_environment(settings),
    )
    if not done.ok:
        raise Refusal(
            "data",
            "the data contract '%s' does not hold: %s" % (name, done.says()),
            str(contract.get("remedy") or "Its output is in the log of the checkout."),
            {"contract": name, "rc": done.returncode, "log_tail": done.tail()},
        )
    last: List[str] = [line for line in done.tail(1) if line.strip()]
    facts: Optional[Any] = None
    try:
        facts = json.loads(last[0]) if last else None
    except ValueError:
        facts = last[0][:500]
    digest = hashlib.sha256(command.encode("utf-8", "replace")).hexdigest()
    return {"contract": name, "checked": True, "command_sha256": digest, "facts": facts}
