"""The header that every flow and every `wf` command prints, for programs and for people."""

from __future__ import annotations

import os

from pytest_wf import __version__
from pytest_wf.config.keys import CONSTITUTION_VERSION
from pytest_wf.project.project import Project


def header_lines(project: Project | None, *, mode: str, flow_id: str) -> list[str]:
    """Header lines for `mode` 'flow' or 'primitive', one key each: part of the terminal contract.

    Without a project the lines are the same, with empty values for the project's own.
    """
    return [f"{key}={value}" for key, value in _facts(project, mode, flow_id).items()]


def header_line(project: Project | None, *, mode: str, flow_id: str) -> str:
    """The facts of the header in one line for people."""
    facts = _facts(project, mode, flow_id)
    if project is None:
        return f"pytest-wf {__version__}, {mode}, no project here"
    path = os.path.relpath(str(facts["active_config_path"]))
    override = " (override)" if facts["override_enabled"] else ""
    target = facts["resolved_target"] or "a pod to be rented"
    return (
        f"pytest-wf {__version__}, {path} {str(facts['active_config_sha256'])[:12]}{override}, "
        f"{mode}, {facts['transport']}, target {target}"
    )


def _facts(project: Project | None, mode: str, flow_id: str) -> dict[str, object]:
    facts: dict[str, object] = {
        "WF_CONSTITUTION_VERSION": CONSTITUTION_VERSION,
        "active_config_path": "",
        "active_config_sha256": "",
        "override_enabled": 0,
        "resolved_target": "",
        "target_source": "unresolved",
        "mode": mode,
        "transport": "",
        "remote_env_path": "",
        "fsm_state_file": "",
        "flow_id": flow_id,
    }
    if project is not None:
        facts.update(_known(project))
    return facts


def _known(project: Project) -> dict[str, object]:
    config = project.config
    transport = project.rented_from or ("local" if config.is_local else "ssh")
    return {
        "active_config_path": project.config_path,
        "active_config_sha256": project.config_raw_sha256,
        "override_enabled": int(project.override_enabled),
        "resolved_target": config.target,
        **{f"resolved_target.{name}": one.config.target for name, one in project.members.items()},
        "target_source": "explicit" if config.target else "unresolved",
        "transport": transport,
        "remote_env_path": config.remote_env_path,
        "fsm_state_file": config.wf_state_file,
    }
