"""The core phases: a module each, with its contract and its postconditions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pytest_wf.court.contract import Contract
from pytest_wf.court.core_phase import CorePhase
from pytest_wf.court.phases import (
    p00_precheck,
    p10_provision,
    p20_target_bind,
    p30_pod_ready,
    p40_bootstrap,
    p50_checkout,
    p60_sweep,
    p70_monitor,
    p80_fetch,
    p90_teardown,
    p99_summary,
)

__all__ = ["CONTRACTS", "CORE_PHASES"]

CORE_PHASES: Mapping[str, CorePhase] = MappingProxyType(
    {
        module.PHASE.contract.code: module.PHASE
        for module in (
            p00_precheck,
            p10_provision,
            p20_target_bind,
            p30_pod_ready,
            p40_bootstrap,
            p50_checkout,
            p60_sweep,
            p70_monitor,
            p80_fetch,
            p90_teardown,
            p99_summary,
        )
    }
)

CONTRACTS: Mapping[str, Contract] = MappingProxyType(
    {code: phase.contract for code, phase in CORE_PHASES.items()}
)
