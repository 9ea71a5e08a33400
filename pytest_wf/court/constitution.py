"""The laws, as data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Law(NamedTuple):
    """One law: its number, its name, and the text that an auditor is given."""

    id: int
    title: str
    text: str


LAWS: Mapping[int, Law] = MappingProxyType(
    {
        law.id: law
        for law in (
            Law(
                1,
                "Canonical config",
                "The active config is the project's flows/workflow.env. Another one is legal only "
                "where the canonical file says WF_ALLOW_OVERRIDE=1. Path, SHA-256 and override "
                "flag are recorded, and the hash is the same at every phase of a flow.",
            ),
            Law(
                2,
                "One lifecycle command",
                "The lifecycle is run by one canonical command; its phases come in the order of "
                "their codes and none is left out.",
            ),
            Law(
                3,
                "Target immutability",
                "A flow resolves one target, explicitly or by binding the pod that it rented, and "
                "never works on another one.",
            ),
            Law(
                4,
                "Noninteractive safety",
                "Without a terminal nothing may prompt or wait on stdin; a command that would "
                "need consent fails at once unless consent is explicit.",
            ),
            Law(
                5,
                "Phase contracts",
                "Each phase declares what it may do and does nothing else: its commands, "
                "preconditions, postconditions, artifacts and legal states.",
            ),
            Law(
                6,
                "Provenance and evidence",
                "Each phase leaves machine-readable evidence with its times, config, target, "
                "commit and artifacts, and no secret.",
            ),
            Law(
                7,
                "Destruction is explicit",
                "Pods and results are kept by default. Deletion is opted into, and touches only "
                "the pod that this flow bound and the paths that it made.",
            ),
            Law(
                8,
                "Docs mirror behaviour",
                "The documented lifecycle order, keys, teardown semantics and artifacts are those "
                "of the code.",
            ),
            Law(
                9,
                "Phase-end court",
                "A phase passes only if the deterministic validator and the auditor both say "
                "pass. Anything else halts the flow. Nothing is retried in silence.",
            ),
        )
    }
)
