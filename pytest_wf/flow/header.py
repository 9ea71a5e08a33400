"""The header that every flow and every `wf` command prints: one key for each line."""

from __future__ import annotations

from pytest_wf.config.keys import CONSTITUTION_VERSION
from pytest_wf.project.project import Project


def header_lines(project: Project | None, *, mode: str, flow_id: str) -> list[str]:
    """Header lines for `mode` 'flow' or 'primitive'; part of the terminal contract.

    Without a project the lines are the same, and the project's own values are empty.
    """
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
    return [f"{key}={value}" for key, value in facts.items()]


def _known(project: Project) -> dict[str, object]:
    config = project.config
    transport = project.rented_from or ("local" if config.is_local else "ssh")
    return {
        "active_config_path": project.config_path,
        "active_config_sha256": project.config_raw_sha256,
        "override_enabled": int(project.override_enabled),
        "resolved_target": config.target,
        "target_source": "explicit" if config.target else "unresolved",
        "transport": transport,
        "remote_env_path": config.remote_env_path,
        "fsm_state_file": config.wf_state_file,
    }
