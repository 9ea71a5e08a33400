"""The core phases: one module each, with its contract and its postconditions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pytest_wf.court.contract import Contract
from pytest_wf.court.core_phase import CorePhase
from pytest_wf.court.phases.p00_precheck import PHASE as P00
from pytest_wf.court.phases.p10_provision import PHASE as P10
from pytest_wf.court.phases.p20_target_bind import PHASE as P20
from pytest_wf.court.phases.p30_pod_ready import PHASE as P30
from pytest_wf.court.phases.p40_bootstrap import PHASE as P40
from pytest_wf.court.phases.p50_checkout import PHASE as P50
from pytest_wf.court.phases.p60_sweep import PHASE as P60
from pytest_wf.court.phases.p70_monitor import PHASE as P70
from pytest_wf.court.phases.p80_fetch import PHASE as P80
from pytest_wf.court.phases.p90_teardown import PHASE as P90
from pytest_wf.court.phases.p99_summary import PHASE as P99

__all__ = ["CONTRACTS", "CORE_PHASES"]

_PHASES = (P00, P10, P20, P30, P40, P50, P60, P70, P80, P90, P99)

CORE_PHASES: Mapping[str, CorePhase] = MappingProxyType(
    {phase.contract.code: phase for phase in _PHASES}
)

CONTRACTS: Mapping[str, Contract] = MappingProxyType(
    {code: phase.contract for code, phase in CORE_PHASES.items()}
)
