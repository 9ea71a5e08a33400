"""A project: its root, its config, its rows, and the options of a flow."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_wf.config import dotenv
from pytest_wf.config.fleet import member_name
from pytest_wf.config.keys import Config
from pytest_wf.errors import InputError, Problem
from pytest_wf.project.baseline import BaselineFile
from pytest_wf.project.input_files import read_input
from pytest_wf.project.manifest import Manifest
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.rows import Row

#: Path of a project's canonical config.
CONFIG = Path("flows") / "workflow.env"
#: In place of the digest of a config that can no longer be read.
UNREADABLE = "unreadable"
#: The most rows that a suggested command may name.
_MOST_WORDS = 50


@dataclass(frozen=True)
class Options:
    """The flow options of the command line.

    `teardown` None means `WF_DEFAULT_TEARDOWN`. Relative paths are below the project's root.
    """

    provision: str = "auto"
    sweep: str = "start"
    wait: bool = False
    fetch: str = "none"
    teardown: str | None = None
    config: Path | None = None
    csv: Path | None = None
    reports: Path = Path("reports")
    #: The campaign that ``sweep=resume`` continues, whatever commit the config asks for now.
    campaign: str = ""
    #: Whether the first row is run in shortened form before a sweep starts.
    smoke: bool = False
    #: Whether to launch only those of the selected rows that are not good on the pod.
    last_failed: bool = False
    #: The number of pods; None for that of the config.
    pods: int | None = None
    #: The project's root relative to pytest's start directory; '' if it is that directory.
    root_from_here: str = ""

    @property
    def fetch_run(self) -> str | None:
        """The run that ``fetch=run:<run_id>`` names; None if it names none."""
        return self.fetch[4:] if self.fetch.startswith("run:") else None


@dataclass(frozen=True)
class Project:
    """A project with a valid config and CSV, and the options that it was loaded with."""

    root: Path
    config: Config
    config_path: Path
    #: The config's bytes as they were parsed.
    config_raw: bytes
    #: Whether the canonical config allows another config (`WF_ALLOW_OVERRIDE=1`).
    override_enabled: bool
    manifest: Manifest | None
    #: The selected rows, in launch order.
    rows: tuple[Row, ...]
    options: Options
    #: The baseline for expectations, if it exists and can be read.
    baseline: BaselineFile | None = None
    #: The provider that P10 rents from; '' if none is needed, or none is installed.
    renter: str = ""
    #: Environment variables that hold the providers' credentials.
    secret_env: tuple[str, ...] = ()
    #: The configs of the members, in order; empty with one pod, whose config is `config`.
    member_configs: tuple[Config, ...] = ()
    #: The member whose project it is; '' for the flow as a whole.
    member: str = ""

    @property
    def members(self) -> dict[str, Project]:
        """The project of each member, by the member's name; empty with one pod."""
        return {
            member_name(number): replace(
                self,
                config=replace(config, sweep_fail_fast=self.config.sweep_fail_fast),
                member_configs=(),
                member=member_name(number),
            )
            for number, config in enumerate(self.member_configs, start=1)
        }

    @property
    def rented_from(self) -> str:
        """The provider of the pod that this flow works on; '' for a machine that is not rented."""
        return self.config.target_provider or self.renter

    @property
    def config_raw_sha256(self) -> str:
        """Digest of the config's bytes as they were parsed."""
        return sha256_bytes(self.config_raw)

    @property
    def csv_path(self) -> Path | None:
        """The path of the sweep's CSV; None if none is named."""
        named = str(self.options.csv or "") or self.config.sweep_csv
        return self.root / named if named else None

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """All rows of the CSV; empty if there is none."""
        return self.manifest.rows if self.manifest is not None else ()

    @property
    def selected(self) -> list[str] | None:
        """The ids of the rows to launch, in order; None for all rows of the CSV in its order."""
        return None if self.rows == self.all_rows else [row.run_id for row in self.rows]

    @property
    def deselected(self) -> list[str]:
        """The ids of the CSV's rows that are not selected."""
        kept = {row.run_id for row in self.rows}
        return [row.run_id for row in self.all_rows if row.run_id not in kept]

    @property
    def selection_words(self) -> str:
        """The option that selects the same rows, such as ``-k "[a] or [b]"``.

        Empty for all rows, and if it would be too long to read.
        """
        left, kept = self.deselected, [row.run_id for row in self.rows]
        if not left or min(len(left), len(kept)) > _MOST_WORDS:
            return ""
        # the brackets match complete names: pytest compares parts of names
        if len(kept) <= len(left):
            words = " or ".join(f"[{run_id}]" for run_id in kept)
        else:
            words = " and ".join(f"not [{run_id}]" for run_id in left)
        return f'-k "{words}"'

    @property
    def teardown(self) -> str:
        """'keep' or 'delete', as requested or by default."""
        return self.options.teardown or self.config.wf_default_teardown

    @property
    def may_delete(self) -> bool:
        """Whether this flow may delete the pod, at its end or after a halt."""
        return "delete" in (self.teardown, self.config.wf_teardown_on_failure)

    @property
    def fetches_checkpoints(self) -> bool:
        """Whether a fetch includes checkpoints (`FETCH_INCLUDE_CHECKPOINTS`)."""
        asked = self.config.fetch_include_checkpoints
        return asked == "1" or (asked == "auto" and self.may_delete)


def find_root(start: Path) -> Path:
    """The nearest directory, from `start` upwards, that contains ``flows/workflow.env``.

    Raises InputError.
    """
    start = Path(os.path.abspath(start))
    for folder in (start, *start.parents):
        if os.path.lexists(folder / CONFIG):
            return folder
    problem = Problem(
        str(start),
        None,
        "",
        None,
        f"no {CONFIG} in this directory or any parent.",
        "Go into your project, or run `wf init` to make it one.",
    )
    raise InputError([problem])


def config_sha256_now(project: Project) -> str:
    """Digest of the active config's bytes as they are now; `UNREADABLE` if they are gone."""
    try:
        return sha256_bytes(read_input(project.config_path, "", dotenv.MAX_BYTES, links=False))
    except InputError:
        return UNREADABLE
