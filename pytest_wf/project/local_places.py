"""Checks the paths on this machine that a flow writes to: distinct, and not the user's.

They are checked when the plan is made, before any row is trained.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_wf.config.keys import Config
from pytest_wf.config.places import why_unfit
from pytest_wf.errors import Problem
from pytest_wf.evidence.fetch_record import holds_record
from pytest_wf.wire import user
from pytest_wf.wire.ownership import CHECKLIST, NotOurs, is_foreign_file, is_within
from pytest_wf.wire.rows import Row

REPORTS = "--wf-reports"
_CHECKLIST = "WF_CHECKLIST_PATH"
_EVIDENCE = "WF_FLOW_EVIDENCE_DIR"
_RUNS = "LOCAL_ARTIFACTS_DIR"
#: Folders of a project that a flow must not write to: git's, the state folder, the phases.
_TAKEN = (".git", ".wf", "flows")


def local_problems(
    root: Path, config: Config, reports: Path, rows: Sequence[Row], origin: str
) -> list[Problem]:
    """A problem for every local path in `config` that a flow may not write to."""
    written = {
        _EVIDENCE: config.wf_flow_evidence_dir,
        _RUNS: config.local_artifacts_dir,
        _CHECKLIST: config.wf_checklist_path,
        REPORTS: str(reports),
    }
    places = {key: os.path.realpath(root / value) for key, value in written.items()}

    def problem(key: str, reason: str, remedy: str) -> Problem:
        if key == REPORTS:
            return Problem("command line", None, key, written[key], reason, remedy)
        return Problem(origin, config.source(key), key, written[key], reason, remedy)

    found = [
        problem(key, f"{why}.", "Name a place of this project's own, such as one below reports/.")
        for key in places
        if (why := _why_unfit(root, key, written[key], places[key]))
    ]
    found += [problem(key, why, "Name a place outside of it.") for key, why in _nested(places)]
    if config.is_local:
        found += [
            Problem(origin, config.source(key), key, value, why, "Name a place of the pod's own.")
            for key, value, why in _on_this_pod(root, places, config)
        ]
    found += [
        problem(key, f"{NotOurs(path).message}.", "Move it away, or name another place.")
        for key, path in _foreign(root, places, config, rows)
    ]
    return found


def _why_unfit(root: Path, key: str, written: str, place: str) -> str:
    home = os.path.realpath(user.home())
    inside = os.path.relpath(place, os.path.realpath(root)).split(os.sep)
    if written.startswith("~"):
        return "'~' is not expanded here"
    if why := why_unfit(place):
        return why
    if is_within(home, place):
        return "your home itself, or a folder above it"
    if ".git" in inside or (key != _CHECKLIST and key != REPORTS and inside[0] in _TAKEN):
        return f"within {inside[0] if inside[0] in _TAKEN else '.git'}/, which holds something else"
    if key in (_EVIDENCE, _RUNS) and is_within(os.path.realpath(root), place):
        return "the project itself, or a folder above it"
    return ""


def _nested(places: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Keys whose path is inside another's, with the reason."""
    reports = places[REPORTS]
    views = [os.path.join(reports, name) for name in ("junit.xml", "report.html", "allure-results")]
    for key in (_EVIDENCE, _RUNS, _CHECKLIST):
        for view in views:
            if is_within(places[key], view) or places[key] + ".last" == view:
                yield key, f"the place of {os.path.basename(view)}, a report of each flow."
    evidence, runs, checklist = places[_EVIDENCE], places[_RUNS], places[_CHECKLIST]
    if evidence == runs:
        yield _EVIDENCE, f"the same as {_RUNS}."
    elif is_within(evidence, runs):
        yield _EVIDENCE, f"within {_RUNS}."
    elif is_within(runs, evidence):
        yield _RUNS, f"within {_EVIDENCE}."
    for key in (_EVIDENCE, _RUNS):
        if is_within(checklist, places[key]):
            yield _CHECKLIST, f"within {key}."


def _on_this_pod(
    root: Path, places: dict[str, str], config: Config
) -> Iterator[tuple[str, str, str]]:
    """Keys and values of paths of the embedded pod that conflict with the project's, and why."""
    for key in ("OPS_REMOTE_REPO", "OPS_REMOTE_OUTPUTS_DIR"):
        value = config.values[key]
        place = os.path.realpath(value)
        if is_within(os.path.realpath(root), place):
            yield key, value, "the project itself, or a folder above it."
        for other in (_EVIDENCE, _RUNS):
            if is_within(place, places[other]) or is_within(places[other], place):
                yield key, value, f"it contains {other}, or the reverse."


def _foreign(
    root: Path, places: dict[str, str], config: Config, rows: Sequence[Row]
) -> Iterator[tuple[str, str]]:
    """Files and folders that this product did not make and a flow would replace."""
    checklist = str(root / config.wf_checklist_path)
    for path in (checklist, checklist + ".last"):
        if is_foreign_file(path, CHECKLIST):
            yield _CHECKLIST, path
    for row in rows:
        place = Path(places[_RUNS]) / row.run_id
        if os.path.lexists(place) and not holds_record(place):
            yield _RUNS, str(place)
