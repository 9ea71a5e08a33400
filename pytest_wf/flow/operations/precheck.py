"""P00: what can be checked without a pod: consent, secrets, room on the local disk."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_wf.court.constitution import LAWS, VERSION
from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.rented_pods import has_consent, require_consent
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.secrets import secrets_of, signing_key_of
from pytest_wf.notify import sender
from pytest_wf.project.expectations import asks_for_baseline
from pytest_wf.project.project import Project

_MIN_FREE_BYTES = 64 * 1024 * 1024


def precheck(project: Project, *, interactive: bool, environ: Mapping[str, str]) -> Result:
    """Check what can change after config and CSV were validated.

    That is consent, secrets in the environment, and room on the local disk. Raises
    OperationFailed for the first that is missing.
    """
    config = project.config
    if config.wf_constitution_version != VERSION:
        raise OperationFailed(
            "constitution-version",
            f"WF_CONSTITUTION_VERSION is {config.wf_constitution_version}; this release enforces "
            f"version {VERSION}.",
            f"Write WF_CONSTITUTION_VERSION={VERSION}, or install the release that fits.",
        )
    if config.target_provider and project.teardown == "delete":
        require_consent(project, interactive=interactive, to="deleting a rented pod")
    secrets_of(project, environ)
    key = signing_key_of(project)
    sender.require(config, environ)
    folder = _nearest_existing(project.root / config.wf_flow_evidence_dir)
    free = shutil.disk_usage(folder).free
    if free < _MIN_FREE_BYTES:
        raise OperationFailed(
            "local-disk",
            f"{folder} has {free // 2**20} MiB free; evidence needs at least "
            f"{_MIN_FREE_BYTES // 2**20} MiB.",
            "Make room, or point WF_FLOW_EVIDENCE_DIR elsewhere.",
        )
    # copies, so that the flow's folder can be verified after the project has changed
    artifacts = [ArtifactNote("config", "workflow.env", content=project.config_raw)]
    if project.manifest is not None:
        artifacts.append(ArtifactNote("manifest-source", "sweep.csv", content=project.manifest.raw))
    facts: dict[str, Any] = {}
    if project.baseline is not None and compares_with_baseline(project):
        raw = project.baseline.raw
        artifacts.append(ArtifactNote("baseline", "baseline.json", content=raw))
        facts["baseline_sha256"] = project.baseline.sha256
    return Result(
        "precheck",
        {
            **facts,
            "config_sha256": project.config_raw_sha256,
            "override_enabled": project.override_enabled,
            "constitution_version": VERSION,
            "laws": sorted(LAWS),
            "interactive": interactive,
            "consent": has_consent(project),
            "rows": len(project.rows),
            "local_free_bytes": free,
            "signing_key": key.signer.key_id if key else None,
            "clock": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        artifacts=tuple(artifacts),
    )


def compares_with_baseline(project: Project) -> bool:
    """Whether rows may be compared with the baseline; a snapshot's rows are not known yet."""
    is_snapshot = project.options.sweep == "skip"
    return is_snapshot or asks_for_baseline(project.config, project.rows)


def _nearest_existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise OperationFailed(
            "local-disk",
            f"{folder} cannot be written to.",
            "Point WF_FLOW_EVIDENCE_DIR and --wf-reports to a folder of your own.",
        )
    return folder
