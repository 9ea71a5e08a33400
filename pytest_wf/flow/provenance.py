"""Provenance of fetched results, as an in-toto statement with SLSA provenance v1.

The controller makes the claim: SLSA build level 1. Nothing is isolated from the user who runs
it, and the statement says so; a signature only proves who made the claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pytest_wf import __version__
from pytest_wf.evidence.records import Signer
from pytest_wf.evidence.times import rfc3339
from pytest_wf.wire.files import BadJson, parse_json

if TYPE_CHECKING:
    from pytest_wf.flow.state import FlowState

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
#: Version of `externalParameters` and the other fields; a change of their meaning increases it.
BUILD_TYPE = "urn:pytest-wf:buildtype:flow:1"
_BUILDER = "urn:pytest-wf:controller"
_CLAIM = (
    "SLSA Build L1: this statement was made by the controller that the user runs, on the user's "
    "machine. Neither the controller nor the pod is isolated from that user."
)


def statement_of(flow: FlowState, signer: Signer | None) -> dict[str, Any] | None:
    """The statement on every file that the flow fetched and verified; None if there is none.

    A run that changed while it was fetched is named as unverified; its files are not subjects.
    """
    fetched = _fetched(flow)
    subjects = _subjects([run for run in fetched if run.get("whole") is True])
    if not subjects:
        return None
    unverified = sorted(str(run["run_id"]) for run in fetched if run.get("whole") is not True)
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _asked(flow),
                "internalParameters": {**_found(flow), "unverifiedRuns": unverified},
                "resolvedDependencies": _dependencies(flow),
            },
            "runDetails": {
                "builder": {
                    # the holder of the key is the builder; without a key the builder is unknown
                    "id": f"{_BUILDER}:key:{signer.key_id}" if signer else f"{_BUILDER}:unsigned",
                    "version": {"pytest-wf": __version__},
                },
                "metadata": {
                    "invocationId": flow.flow_id,
                    "startedOn": rfc3339(flow.started_at),
                    "finishedOn": rfc3339(datetime.now(timezone.utc)),
                },
                "byproducts": _byproducts(flow),
            },
        },
    }


def _subjects(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each file as ``<run_id>/<path>``, with the digest that the fetch compared."""
    found = [
        {"name": f"{run['run_id']}/{f['path']}", "digest": {"sha256": f["sha256"]}}
        for run in runs
        for f in run["files"]
    ]
    return sorted(found, key=lambda s: s["name"])


def _fetched(flow: FlowState) -> list[dict[str, Any]]:
    """The commit records of the runs that the flow fetched."""
    notes = [note for record in flow.phases.values() for note in record.notes]
    found = []
    for note in notes:
        if note.role == "fetch-record":
            with suppress(BadJson):  # its digest fails in `wf verify`
                found.append(parse_json(note.content or b""))
    return found


def _asked(flow: FlowState) -> dict[str, Any]:
    """The user's inputs. Config and CSV are in the flow's folder, with these digests."""
    project = flow.project
    rows = [row.run_id for row in project.rows]
    return {
        "config": {"sha256": project.config_raw_sha256},
        "manifest": {"sha256": project.manifest.sha256} if project.manifest else None,
        "options": flow.options,
        "rows": rows,
    }


def _found(flow: FlowState) -> dict[str, Any]:
    """The facts that the flow found on the pod."""
    probe, torch = _fact(flow, "P30", "probe"), _fact(flow, "P50", "torch")
    facts = probe if isinstance(probe, Mapping) else {}
    return {
        "slsaBuildLevel": 1,
        "claim": _CLAIM,
        "campaignId": flow.fact("P60", "campaign_id") or flow.fact("P80", "campaign_id"),
        "target": flow.binding.locked,
        "pod": {name: facts[name] for name in ("os", "kernel", "cpus", "gpus") if name in facts},
        "torch": dict(torch) if isinstance(torch, Mapping) else None,
    }


def _dependencies(flow: FlowState) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    sha, url = flow.fact("P50", "git_sha"), flow.config.repo_url
    if sha:
        named = {"uri": f"git+{url}@{sha}"} if "://" in url else {"name": url}
        found.append({**named, "digest": {"gitCommit": sha}})
    return found


def _byproducts(flow: FlowState) -> list[dict[str, Any]]:
    """Heads of the chains after the last verdict."""
    _, events = flow.store.events.state()
    heads = (("chain-head", flow.store.head), ("events-head", events))
    return [{"name": name, "digest": {"sha256": head}} for name, head in heads if head]


def _fact(flow: FlowState, code: str, name: str) -> object:
    record = flow.phases.get(code)
    return record.facts.get(name) if record else None
