"""Statuses of campaigns for tests."""

from __future__ import annotations

from typing import Any

from pytest_wf.wire import fsm
from pytest_wf.wire.rows import CampaignStatus, RowStatus
from pytest_wf.wire.states import SUPERVISOR_ALIVE


def campaign(*rows: RowStatus, **more: Any) -> CampaignStatus:
    """The status of a running campaign of `rows`; `more` are fields of its own."""
    return CampaignStatus(
        campaign_id="c-1",
        created_at="2026-01-01T00:00:00Z",
        flow_id="f-1",
        git_sha="a" * 40,
        dry_run=False,
        manifest_sha256="0" * 64,
        supervisor=SUPERVISOR_ALIVE,
        state=fsm.SWEEP_RUNNING,
        reason="",
        attach=None,
        rows=list(rows),
    )._replace(**more)
