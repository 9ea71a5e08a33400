"""The files beside Allure's results: categories, environment, executor, and a config that
makes Allure 3 use the categories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pytest_wf.wire.failures import CLASSES, EXPECT
from pytest_wf.wire.files import write_atomic
from pytest_wf.wire.states import ROW_FAILED

Category = dict[str, Any]

_CI = (
    # the variable that marks the CI, its type, and the variables with a build's name and number
    ("GITHUB_ACTIONS", "github", "GITHUB_WORKFLOW", "GITHUB_RUN_NUMBER"),
    ("GITLAB_CI", "gitlab", "CI_JOB_NAME", "CI_PIPELINE_IID"),
    ("JENKINS_URL", "jenkins", "JOB_NAME", "BUILD_NUMBER"),
)


def categories() -> list[Category]:
    """One category for each class of failed rows, and one for each way in which a flow fails.

    The first that matches counts. Allure 2 matches a pattern against the whole message, and
    Allure 3 anywhere in it.
    """
    row = rf"[\s\S]*\brow \S+ ({'|'.join(sorted(ROW_FAILED))})\b"
    bad = ["failed", "broken"]
    found = [
        _category(f"Rows failed: {name}", rf"{row}, class {name}\b[\s\S]*", bad)
        for name in (*CLASSES, EXPECT)
    ]
    return [
        *found,
        _category("Rows failed: no class", rf"{row}[\s\S]*", bad),
        _category("Interrupted", r"[\s\S]*\binterrupted\b[\s\S]*", bad),
        _category("Court could not be sure", r"[\s\S]*\bconstitutional unverified\b[\s\S]*", bad),
        _category("Phases that failed", r"[\s\S]*\bP\d\d [^\n]*: code \d{3}\b[\s\S]*", bad),
        _category("Halted", r"[\s\S]*\bhalted by P\d\d\b[\s\S]*", ["skipped"]),
        _category(
            "Rows whose end is not known", r"[\s\S]*\bits end is not known\b[\s\S]*", ["skipped"]
        ),
        _category("Rows not awaited", r"[\s\S]*\blaunched, not awaited\b[\s\S]*", ["skipped"]),
    ]


def environment(
    evidence: Mapping[str, Any], summary: Mapping[str, Any], of_best: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the flow, from the evidence of its last phase and its summary.

    `of_best` are the parameters of the best row.
    """
    price, best = summary.get("usd_per_hour"), summary.get("best")
    known = "".join(f", {name} {value}" for name, value in of_best.items())
    facts = {
        "Flow": evidence.get("flow_id"),
        "Target": evidence.get("resolved_target"),
        "Transport": evidence.get("transport"),
        "Repository": evidence.get("repo_url"),
        "Commit": evidence.get("git_sha"),
        "Config SHA-256": evidence.get("active_config_sha256"),
        "Campaign": evidence.get("campaign_id"),
        "Best row": best and f"{best['run_id']}: {best['metric']} {best['value']:g}{known}",
        "Teardown": evidence.get("teardown_mode"),
        "Pod price": None if price is None else f"{price} USD an hour",
        "pytest-wf": evidence.get("harness_version"),
    }
    return {name: str(value) for name, value in facts.items() if value}


def executor(environ: Mapping[str, str]) -> dict[str, str]:
    """The CI build that ran the flow; empty if the environment shows none."""
    for variable, kind, name, number in _CI:
        if not environ.get(variable):
            continue
        url = environ.get("CI_JOB_URL") or environ.get("BUILD_URL", "")
        if kind == "github":
            place = (environ.get("GITHUB_SERVER_URL"), environ.get("GITHUB_REPOSITORY"))
            url = f"{place[0]}/{place[1]}/actions/runs/{environ.get('GITHUB_RUN_ID')}"
        found = {
            "name": environ.get(name, kind),
            "type": kind,
            "buildName": f"{environ.get(name, kind)} #{environ.get(number, '')}",
            "buildOrder": environ.get(number, ""),
            "buildUrl": url,
        }
        return {key: value for key, value in found.items() if value}
    return {}


def commit_url(repo_url: str, git_sha: str) -> str:
    """The page of a commit; empty if the address of the repository does not show it."""
    url = repo_url.removesuffix("/").removesuffix(".git")
    if url.startswith("git@") and ":" in url:
        host, _, path = url.removeprefix("git@").partition(":")
        url = f"https://{host}/{path}"
    if not url.startswith("https://") or not git_sha:
        return ""
    part = "-/commit" if "gitlab" in url.split("/")[2] else "commit"
    return f"{quote(url, safe=':/')}/{part}/{git_sha}"


def write_files(folder: Path, files: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write `files` into `folder`: text unchanged, anything else as JSON.

    With `overwrite` false, existing files are kept: the folder is the user's own.
    """
    for name, content in files.items():
        path = folder / name
        if path.exists() and not overwrite:
            continue
        text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
        write_atomic(str(path), text.encode())


def as_properties(facts: Mapping[str, str]) -> str:
    """`facts` as a Java properties file, in ASCII."""
    return "".join(f"{_escaped(k)}={_escaped(v, value=True)}\n" for k, v in facts.items())


def _escaped(text: str, *, value: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    for steering in "" if value else " =:#!":
        escaped = escaped.replace(steering, "\\" + steering)
    units = escaped.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    return "".join(chr(code) if code < 0x80 else f"\\u{code:04x}" for code in codes)


def _category(name: str, pattern: str, statuses: list[str]) -> Category:
    return {"name": name, "messageRegex": pattern, "matchedStatuses": statuses}
