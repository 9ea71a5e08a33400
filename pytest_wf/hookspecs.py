"""Hooks of pytest-wf, for authors of plugins.

Implement a hook in a `conftest.py` or in a pytest plugin, under its own name. `wf` commands
also ask for providers and data contracts: those of a project's `conftest.py`, and of packages
that register a module under the entry point group ``pytest_wf``. The built-in providers use
the same hooks.

A phase needs no hook: it is a test function with a mark.

    @pytest.mark.phase("P55", command="warm-cache", needs="CHECKED_OUT")
    def test_tokenizer_cache_is_warm(wf_pod): ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pytest_wf.config.keys import Config
    from pytest_wf.court.contract import Contract
    from pytest_wf.evidence.records import Check, Evidence
    from pytest_wf.pods.base import Provider
    from pytest_wf.project.data_contract import DataContract
    from pytest_wf.wire.rows import Row

__all__ = [
    "pytest_wf_audit",
    "pytest_wf_check",
    "pytest_wf_data_contracts",
    "pytest_wf_providers",
    "pytest_wf_record",
]

hookspec = pluggy.HookspecMarker("pytest")


@hookspec
def pytest_wf_providers() -> Sequence[Provider]:
    """Providers of pods. P20 asks each in turn whether a target is its own.

    A provider declares its config keys, resolves its own targets and connects to them
    (`pytest_wf.pods.base.Provider`). A provider that rents derives from
    `pytest_wf.pods.rental.provider.RentalProvider`. P10 asks the one that WF_PROVIDER names;
    without it, the only one whose keys the config sets.
    """


@hookspec
def pytest_wf_check(evidence: Evidence, contract: Contract) -> Sequence[Check]:
    """Further checks for the deterministic layer of the court, at the end of every phase.

    A check that is not ok fails the phase, and so does a hook that raises.
    """


@hookspec
def pytest_wf_audit(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A further auditor, in this process, besides the one of `WF_SUBAGENT_VALIDATOR_CMD`.

    It gets the same document as that auditor and answers in the same form: ``verdict`` pass,
    fail or unverified, ``violated_laws``, ``evidence_refs``, ``remediation``. None abstains. Any
    other answer than a pass halts the flow, and so does a hook that raises.
    """


@hookspec
def pytest_wf_data_contracts(config: Config, rows: Sequence[Row]) -> Sequence[DataContract]:
    """Conditions on the data on the pod that must hold before a row of `rows` may start.

    Each contract is a command or a program that runs on the pod at the end of P50, in the
    repository. Status 0 means that it holds; any other halts the flow, with the contract's
    own message and remedy (`pytest_wf.project.data_contract.DataContract`).

        def pytest_wf_data_contracts(config, rows):
            check = 'sha256sum --check --quiet "$DATA_DIR/SHA256SUMS"'
            return [DataContract("books", check, remedy="Run `make data` on the pod.")]

    A check that is not in the repository is sent as a program's source, with its arguments:

        def pytest_wf_data_contracts(config, rows):
            source = Path(__file__).with_name("count_books.py").read_text()
            return [DataContract("books", program=source, arguments={"at_least": 3})]

    The files that a contract downloads or makes are deleted with the rest of the flow if
    `creates` lists them and the contract writes the name of each file, just before making it, into
    the file that WF_DATA_CREATED names. They are deleted even if the contract is killed in between.
    A file that existed before the contract ran is never deleted.

        def pytest_wf_data_contracts(config, rows):
            books = f"{config.data_dir}/books.txt"
            get = 'echo "$DATA_DIR/books.txt" >> "$WF_DATA_CREATED"; make "$DATA_DIR/books.txt"'
            return [DataContract("books", get, creates=[books])]

    The contract on FineWeb shards is the built-in plugin `pytest_wf.contrib.fineweb`. A
    contract of yours with the name 'fineweb' replaces it: of two contracts with one name, the one
    whose plugin was registered later counts. Two with one name from one plugin are an error.
    """


@hookspec
def pytest_wf_record(kind: str, record: Mapping[str, Any], path: Path) -> None:
    """Called after each record was written, redacted, to `path`: a sink for evidence.

    `kind` is 'start', 'evidence', 'deterministic', 'constitutional', 'verdict',
    'summary' or 'views'. If a sink raises, the terminal reports it; the files are unaffected.
    """
