"""Input of a court: the evidence, the contract, and what the court observed by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_wf.court.contract import Contract
from pytest_wf.evidence.records import Evidence


@dataclass(frozen=True)
class World:
    """What the court observed by itself, independently of the evidence that it judges."""

    config_sha256_at_start: str
    #: None if the config file cannot be read any more.
    config_sha256_now: str | None
    #: The target that P20 locked; None before, or if P20 did not get that far.
    locked_target: str | None = None
    #: Digests of the local artifacts as the court found them; None for a missing one.
    artifacts_found: Mapping[str, str | None] = field(default_factory=dict)
    #: Local JSON artifacts that are not valid JSON, with the reason.
    unreadable: Mapping[str, str] = field(default_factory=dict)
    #: The pod's state as the court read it; None if it could not, or need not.
    fsm_now: str | None = None
    #: The flow's options by their short names (provision, sweep, wait,
    #: fetch, teardown), and teardown_on_failure, expect_git_sha, require_gpu_torch ('0', '1'),
    #: expect (WF_EXPECT).
    policy: Mapping[str, str] = field(default_factory=dict)
    #: Laws and check names that an earlier phase has already failed for. P90 and P99 record
    #: them without failing again.
    known_violations: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One phase, as its court judges it."""

    evidence: Evidence
    contract: Contract
    world: World
