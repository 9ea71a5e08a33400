"""P00: the local checks, which contact no pod, and copies of config and CSV for the flow."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_wf.config.keys import CONSTITUTION_VERSION
from pytest_wf.court.constitution import LAWS
from pytest_wf.flow.consent import has_consent
from pytest_wf.flow.readiness.commit_checks import COMMIT_CHECKS, Checkout
from pytest_wf.flow.readiness.finding import WARNING, Finding, demand_ready, run_checks
from pytest_wf.flow.readiness.local_checks import LOCAL_CHECKS, Controller, nearest_existing
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.secrets import signing_key_of
from pytest_wf.pods.base import Provider
from pytest_wf.project.project import Project


def local_findings(controller: Controller) -> list[Finding]:
    """Findings without a pod: on this machine, and on the commit that a pod gets."""
    checkout = Checkout(controller.project)
    return [*run_checks(LOCAL_CHECKS, controller), *run_checks(COMMIT_CHECKS, checkout)]


def precheck(
    project: Project,
    providers: Sequence[Provider],
    *,
    interactive: bool,
    environ: Mapping[str, str],
) -> Result:
    """Check conditions that can change after config and CSV were validated.

    Raises OperationFailed with all problems at once; its kind is the first one's.
    """
    findings = local_findings(Controller(project, providers, interactive, environ))
    demand_ready(findings)
    key = signing_key_of(project)
    folder = nearest_existing(project.root / project.config.wf_flow_evidence_dir)
    # copies, so that the flow's folder can be verified after the project has changed
    artifacts = [ArtifactNote("config", "workflow.env", content=project.config_raw)]
    if project.manifest is not None:
        artifacts.append(ArtifactNote("manifest-source", "sweep.csv", content=project.manifest.raw))
    facts: dict[str, Any] = {}
    if project.baseline is not None:
        raw = project.baseline.raw
        artifacts.append(ArtifactNote("baseline", "baseline.json", content=raw))
        facts["baseline_sha256"] = project.baseline.sha256
    return Result(
        "precheck",
        {
            **facts,
            "config_sha256": project.config_raw_sha256,
            "override_enabled": project.override_enabled,
            "constitution_version": CONSTITUTION_VERSION,
            "laws": sorted(LAWS),
            "interactive": interactive,
            "consent": has_consent(project),
            "rows": len(project.rows),
            "local_free_bytes": shutil.disk_usage(folder).free,
            "signing_key": key.signer.key_id if key else None,
            "clock": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "checks": [finding.as_json() for finding in findings],
            "warnings": [f.sentence for f in findings if f.status == WARNING],
        },
        artifacts=tuple(artifacts),
    )
