"""The provenance of a flow's results: code, machine, user, cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_wf.console.installation import installation_line
from pytest_wf.court.next_command import flow_command
from pytest_wf.evidence.records import FlowStart, FlowSummary
from pytest_wf.report.folder import Folder, PhaseFiles
from pytest_wf.report.rows import gpus_of
from pytest_wf.wire.safe_text import readable

#: A title, and pairs of a name and a value.
Group = tuple[str, tuple[tuple[str, str], ...]]

_UNKNOWN = "not known"


def provenance_of(folder: Folder) -> tuple[Group, ...]:
    """Groups of names and values; unknown values say so."""
    groups: list[tuple[str, list[tuple[str, object]]]] = [
        ("Code", _code(folder)),
        ("Asked", _asked(folder)),
        ("Pod", _pod(folder)),
        ("Controller", _controller(folder.start)),
        ("Chain", _chain(folder)),
    ]
    return tuple((title, tuple((k, _shown(v)) for k, v in rows)) for title, rows in groups)


def _code(folder: Folder) -> list[tuple[str, object]]:
    return [
        ("Repository", folder.last("repo_url")),
        ("Commit", folder.last("git_sha")),
        ("Branch", _branch(folder)),
        ("Campaign", folder.last("campaign_id")),
        ("Manifest SHA-256", folder.fact("P60", "manifest_sha256")),
    ]


def _branch(folder: Folder) -> str | None:
    """The requested branch or change request, or that there was none."""
    branch, change = folder.fact("P50", "branch"), folder.fact("P50", "pr")
    if branch is None or branch:
        return str(branch) if branch else None
    return f"change request {change}" if change else "none asked for: HEAD, or the pinned commit"


def _asked(folder: Folder) -> list[tuple[str, object]]:
    start = folder.start
    if start is None:
        return []
    return [
        ("Config", start.active_config_path),
        ("Config SHA-256", start.active_config_sha256),
        ("Override", "yes" if start.override_enabled else "no"),
        ("Sweep CSV", start.csv_path or "none"),
        ("CSV SHA-256", start.csv_sha256 or "none"),
        ("Command", flow_command({**start.options, "root": ""})),
        ("Court", "enforced" if start.court_enforced else "not enforced"),
        ("Auditor", start.auditor),
    ]


def _pod(folder: Folder) -> list[tuple[str, object]]:
    probe = folder.fact("P30", "probe")
    facts = probe if isinstance(probe, dict) else {}
    torch = folder.fact("P50", "torch")
    memory = facts.get("memory_bytes")
    return [
        ("Target", folder.last("resolved_target")),
        ("Chosen", folder.last("target_source")),
        ("System", " ".join(str(facts[k]) for k in ("os", "kernel") if k in facts)),
        ("GPUs", gpus_of(folder)),
        ("CPUs", facts.get("cpus")),
        ("Memory", f"{memory / 2**30:.0f} GiB" if isinstance(memory, int) else None),
        ("Python", folder.fact("P50", "python") or facts.get("python")),
        ("torch", torch.get("version") if isinstance(torch, dict) else _none_if_asked(folder)),
        ("Installed", _installed(folder)),
        (
            "State at the end" if folder.summary is not None else "Last known state",
            folder.last("fsm_after"),
        ),
        ("Teardown", folder.last("teardown_mode")),
        ("Cost", _cost(folder)),
        *_estimate(folder),
    ]


def _none_if_asked(folder: Folder) -> str | None:
    """'none' if the checkout found no torch; None without a checkout."""
    return "none" if "torch" in _checkout(folder) else None


def _installed(folder: Folder) -> str | None:
    """What the checkout installed; unknown without a checkout."""
    facts = _checkout(folder)
    return installation_line(facts) or ("nothing" if "installed" in facts else None)


def _checkout(folder: Folder) -> Mapping[str, Any]:
    evidence = folder.phases.get("P50", PhaseFiles()).evidence
    return evidence.facts if evidence is not None else {}


def _cost(folder: Folder) -> str | None:
    summary = folder.summary
    cost = summary.cost_usd if summary is not None else None
    rate = summary.usd_per_hour if summary is not None else None
    if rate is None:
        known = folder.fact("P90", "usd_per_hour")
        rate = float(known) if isinstance(known, (int, float)) else None
    said = [f"{cost:.2f} USD"] if cost is not None else []
    if rate is not None:
        said.append(f"{rate:.2f} USD an hour")
    if not said and folder.last("transport") in ("local", "ssh"):
        return "none that is known: no pod was rented"
    return ", ".join(said) or None


def _estimate(folder: Folder) -> list[tuple[str, object]]:
    """The estimated cost of the sweep before it ended, if its pod has a price."""
    for code in ("P70", "P60"):
        found = folder.fact(code, "estimate")
        line = found.get("line") if isinstance(found, dict) else None
        if isinstance(line, str):
            return [("Estimate", line.removeprefix("estimate: "))]
    return []


def _controller(start: FlowStart | None) -> list[tuple[str, object]]:
    if start is None:
        return []
    return [
        ("Host", f"{start.user}@{start.host}" if start.user else start.host),
        ("Platform", start.platform),
        ("Python", start.python),
        ("pytest-wf", start.harness_version),
        ("Project", start.project_dir),
    ]


def _chain(folder: Folder) -> list[tuple[str, object]]:
    summary = folder.summary
    return [
        ("Head", summary.chain_head if summary is not None else None),
        ("Summary's digest", summary.digest if summary is not None else None),
        ("Signed by key", _signer(summary)),
        ("Folder", str(folder.path)),
    ]


def _signer(summary: FlowSummary | None) -> str | None:
    if summary is None:
        return None
    return summary.signed_by.key_id if summary.signed_by is not None else "not signed"


def _shown(value: object) -> str:
    return readable(str(value)) if value not in (None, "") else _UNKNOWN
