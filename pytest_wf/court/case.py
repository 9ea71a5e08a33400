"""What a court looks at: the evidence, the contract, and what it learnt by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_wf.court.contract import Contract
from pytest_wf.evidence.records import Evidence


@dataclass(frozen=True)
class World:
    """What the court learnt itself, not from the evidence that it judges."""

    config_sha256_at_start: str
    #: None where the config file cannot be read any more.
    config_sha256_now: str | None
    #: The target that P20 locked; None before, or where P20 never came to it.
    locked_target: str | None = None
    #: Digests of the local artifacts as the court found them; None for one that is missing.
    artifacts_found: Mapping[str, str | None] = field(default_factory=dict)
    #: Local JSON artifacts that are no JSON, with the reason.
    unreadable: Mapping[str, str] = field(default_factory=dict)
    #: The pod's state as the court read it; None where it could not, or need not.
    fsm_now: str | None = None
    #: What was asked for: the flow's options by their short names (provision, sweep, wait,
    #: fetch, teardown), and teardown_on_failure, expect_git_sha, require_gpu_torch ('0', '1'),
    #: expect (WF_EXPECT).
    policy: Mapping[str, str] = field(default_factory=dict)
    #: Laws and check names that an earlier phase has already failed for. P90 and P99 note
    #: them without failing again.
    known_violations: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One phase before its court."""

    evidence: Evidence
    contract: Contract
    world: World
