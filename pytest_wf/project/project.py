"""A project on disk: its config, its sweep CSV, and the options of a flow."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pytest_wf.config import dotenv, reader
from pytest_wf.config.dotenv import Reading
from pytest_wf.config.fleet import Part, member_name
from pytest_wf.config.keys import Config
from pytest_wf.config.problems import nearest
from pytest_wf.errors import InputError, Problem
from pytest_wf.pods.base import Provider
from pytest_wf.pods.provider_choice import all_keys, find_renter
from pytest_wf.project import command, manifest
from pytest_wf.project.baseline import BaselineFile, read_baseline
from pytest_wf.project.expectations import asks_for_baseline, missing_baselines
from pytest_wf.project.local_places import local_problems
from pytest_wf.project.manifest import Manifest
from pytest_wf.wire import ids
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.rows import Row

#: Path of a project's canonical config.
CONFIG = Path("flows") / "workflow.env"
#: In place of the digest of a config that can no longer be read.
UNREADABLE = "unreadable"
#: An option that starts or resumes the sweep, without a selection after it.
_AGAIN = re.compile(r"--wf-sweep=(?:start|resume)(?! -k)\b")
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

    def selecting(self, text: str) -> str:
        """`text` with the selection added to each option that starts or resumes the sweep."""
        words = self.selection_words
        return _AGAIN.sub(lambda option: f"{option[0]} {words}", text) if words else text

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


def load_project(
    root: Path,
    options: Options,
    environ: Mapping[str, str],
    providers: Sequence[Provider] = (),
    *,
    reads_csv: bool = True,
) -> Project:
    """Read and check all inputs of a flow. Contacts nothing, writes nothing.

    The config may have the keys of the core and those of `providers`. Of `environ` only
    ``WORKFLOW_CONFIG`` is used. With `reads_csv` False the sweep's CSV is not read, for commands
    that do not need it. Raises InputError with all problems of options, config and CSV together.
    """
    root = Path(os.path.abspath(root))
    problems = _option_problems(root, options)
    keys = all_keys(providers)
    try:
        active = _active_config(root, options, environ, [key.name for key in keys])
    except InputError as e:
        raise InputError([*problems, *e.problems]) from None
    origin = active.reading.problems.origin
    config: Config | None = None
    member_configs: list[Config] = []
    sweep: Manifest | None = None
    rows: tuple[Row, ...] = ()
    try:
        load = partial(
            reader.load,
            active.reading,
            project_dir=str(root),
            keys=keys,
            needs_csv=options.sweep != "skip" and options.csv is None,
            needs_target=options.provision == "skip",
        )
        config = load(part=Part(options.pods))
        if config.wf_pods > 1:
            parts = [Part(options.pods, k) for k in range(1, config.wf_pods + 1)]
            member_configs = [load(part=part) for part in parts]
    except InputError as e:
        problems.extend(e.problems)
    if reads_csv:
        sweep, rows = _sweep(root, options, config, active.reading, problems)
    baseline: BaselineFile | None = None
    renter: Provider | None = None
    if config is not None:
        problems.extend(_conflicts(options, config, origin))
        problems.extend(command.template_problems(config, origin))
        problems.extend(command.smoke_problems(config, origin, is_asked=options.smoke))
        all_rows = sweep.rows if sweep is not None else ()
        if reads_csv and options.sweep != "skip":
            csv = _shown(root / (options.csv or config.sweep_csv), root)
            problems.extend(command.row_problems(all_rows, config.values, csv))
        problems.extend(_unknown_retrain(config, all_rows, origin) if sweep is not None else ())
        problems.extend(local_problems(root, config, options.reports, all_rows, origin))
        is_needed = options.provision != "skip" and not config.target
        try:
            if is_needed or config.wf_provider:
                renter = find_renter(config, providers, origin)
        except InputError as e:
            problems.extend(e.problems)
        needed = reads_csv and asks_for_baseline(config, rows)
        try:
            baseline = read_baseline(root)
        except InputError as e:
            problems.extend(e.problems if needed else ())
            needed = False
        if needed:
            csv = _shown(root / (options.csv or config.sweep_csv), root)
            problems.extend(
                missing_baselines(config, rows, baseline, config_origin=origin, csv_origin=csv)
            )
    if config is None or problems:
        raise InputError(problems)
    return Project(
        root,
        config,
        active.path,
        active.raw,
        active.override_enabled,
        sweep,
        rows,
        options,
        baseline,
        renter=renter.name if renter and is_needed else "",
        secret_env=tuple(name for p in providers for name in p.secret_env),
        member_configs=tuple(member_configs),
    )


def config_sha256_now(project: Project) -> str:
    """Digest of the active config's bytes as they are now; `UNREADABLE` if they are gone."""
    try:
        return sha256_bytes(_content(project.config_path, "", dotenv.MAX_BYTES, links=False))
    except InputError:
        return UNREADABLE


@dataclass(frozen=True)
class _ConfigFile:
    """A config file, and its parsed lines."""

    path: Path
    raw: bytes
    reading: Reading
    #: Whether the canonical config allows another one.
    override_enabled: bool = False


def _read_config(path: Path, origin: str, names: Collection[str]) -> _ConfigFile:
    raw = _content(path, origin, dotenv.MAX_BYTES, links=False)
    return _ConfigFile(path, raw, dotenv.read_entries(raw, origin, names))


def _active_config(
    root: Path, options: Options, environ: Mapping[str, str], names: Collection[str]
) -> _ConfigFile:
    """The config to use: the canonical one, or another that it allows; `names` are its keys.

    Raises InputError.
    """
    canonical = _read_config(root / CONFIG, str(CONFIG), names)
    entry = canonical.reading.entries.get("WF_ALLOW_OVERRIDE")
    allowed = entry is not None and entry.text == "1"
    named = str(options.config or "") or environ.get("WORKFLOW_CONFIG", "")
    other = root / named
    path = canonical.path
    if not named or os.path.normpath(other) == str(path) or _same_file(other, path):
        return replace(canonical, override_enabled=allowed)
    if allowed:
        path = Path(os.path.normpath(other))
        return replace(_read_config(path, _shown(path, root), names), override_enabled=True)
    door = "--wf-config" if options.config else "WORKFLOW_CONFIG"
    problem = Problem(
        str(CONFIG),
        entry.line if entry else None,
        door,
        named,
        "another config is refused.",
        f"Set WF_ALLOW_OVERRIDE=1 in {CONFIG} to allow it, or leave {door} out.",
    )
    raise InputError([problem])


def _sweep(
    root: Path,
    options: Options,
    config: Config | None,
    reading: Reading,
    problems: list[Problem],
) -> tuple[Manifest | None, tuple[Row, ...]]:
    """The sweep's CSV and the selected rows; its mistakes are added to `problems`.

    If the config has other mistakes, the CSV that it plainly names is still checked.
    """
    named = str(options.csv or "")
    if not named and config is not None:
        named = config.sweep_csv
    elif not named:
        entry = reading.entries.get("SWEEP_CSV")
        named = entry.text if entry and "$" not in entry.text else ""
    path = root / named
    if not named or (options.sweep == "skip" and not os.path.lexists(path)):
        return None, ()
    shown = _shown(path, root)
    try:
        sweep = manifest.read(_content(path, shown, manifest.MAX_BYTES, links=True), shown)
    except InputError as e:
        problems.extend(e.problems)
        return None, ()
    if config is None:
        return sweep, ()
    problems.extend(_rows_of_a_cluster(sweep.rows, config, shown))
    if options.smoke and config.wf_engine == "slurm":
        remedy = "Leave it out, and select one row by -k for a first try."
        problems.append(_option("smoke", "1", "not possible with WF_ENGINE=slurm.", remedy))
    try:
        rows = manifest.select(
            sweep.rows,
            config.sweep_match,
            config.sweep_start_at,
            config.sweep_limit,
            origin=reading.problems.origin,
            lines=config.lines,
        )
    except InputError as e:
        problems.extend(e.problems)
        return sweep, ()
    return sweep, rows


def _rows_of_a_cluster(rows: Sequence[Row], config: Config, origin: str) -> list[Problem]:
    """Rows that only a cluster can train, although a pod is to train them."""
    if config.wf_engine == "pod":
        reason, most = "a pod is one machine.", 0
        remedy = "Leave the column nodes out, or set WF_ENGINE=slurm."
    elif config.train_launcher != "torchrun":
        reason, most = f"TRAIN_LAUNCHER={config.train_launcher} starts one machine.", 1
        remedy = "Set TRAIN_LAUNCHER=torchrun, which starts its processes on several."
    else:
        return []
    return [
        Problem(origin, row.line, "nodes", str(row.nodes), reason, remedy)
        for row in rows
        if (row.nodes or 0) > most
    ]


def _option_problems(root: Path, options: Options) -> list[Problem]:
    found = []
    choices = {
        "provision": (options.provision, ("auto", "skip")),
        "sweep": (options.sweep, ("start", "resume", "skip")),
        "teardown": (options.teardown or "keep", ("keep", "delete")),
    }
    for name, (value, legal) in choices.items():
        if value not in legal:
            found.append(_option(name, value, "not a legal value.", f"Write {' or '.join(legal)}."))
    run = options.fetch_run
    if run is None and options.fetch not in ("none", "all"):
        remedy = "Write none, all or run:<run_id>."
        found.append(_option("fetch", options.fetch, "not a legal value.", remedy))
    elif run is not None and not ids.is_id(run):
        remedy = "Write run:<run_id> with an id of the CSV."
        found.append(_option("fetch", options.fetch, "not a run id.", remedy))
    if options.campaign and not ids.is_id(options.campaign):
        remedy = "Write an id such as `wf sweep-status` shows."
        found.append(_option("campaign", options.campaign, "not a campaign's id.", remedy))
    elif options.campaign and options.sweep != "resume":
        remedy = "Add --wf-sweep=resume, or leave it out."
        reason = "names a campaign to continue, and nothing is resumed."
        found.append(_option("campaign", options.campaign, reason, remedy))
    if options.smoke and options.sweep != "start":
        reason = "runs before a sweep starts, and none is started."
        remedy = "Leave it out, or start with --wf-sweep=start."
        found.append(Problem("command line", None, "--wf-smoke", None, reason, remedy))
    if not str(root).isprintable():
        reason = "the project's path contains characters that cannot be shown."
        found.append(Problem(ascii(str(root)), None, "", None, reason, "Rename the directory."))
    return found


def _option(name: str, value: str, reason: str, remedy: str) -> Problem:
    return Problem("command line", None, f"--wf-{name}", value, reason, remedy)


def _conflicts(options: Options, config: Config, origin: str) -> list[Problem]:
    """Contradictions between config and options."""
    found = []
    unawaited = not options.wait and options.sweep != "skip"
    teardown = options.teardown or config.wf_default_teardown
    if teardown == "delete" and unawaited and not config.wf_delete_unfetched:
        reason = "deletes a pod without waiting for its sweep, and the results with it."
        remedy = "Add --wf-wait=true, or set WF_DELETE_UNFETCHED=1 to lose the results."
        if options.teardown:
            found.append(_option("teardown", "delete", reason, remedy))
        else:
            key = "WF_DEFAULT_TEARDOWN"
            found.append(Problem(origin, config.source(key), key, "delete", reason, remedy))
    may_lose = config.wf_delete_checkpoints or config.wf_delete_unfetched
    may_delete = "delete" in (teardown, config.wf_teardown_on_failure)
    if may_delete and config.fetch_include_checkpoints == "0" and not may_lose:
        key = "FETCH_INCLUDE_CHECKPOINTS"
        reason = "leaves checkpoints on a pod that this flow may delete with them."
        remedy = "Write auto, or set WF_DELETE_CHECKPOINTS=1 to lose them."
        found.append(Problem(origin, config.source(key), key, "0", reason, remedy))
    return found


def _unknown_retrain(config: Config, rows: Sequence[Row], origin: str) -> list[Problem]:
    """The names in SWEEP_RETRAIN that are not rows of the CSV."""
    run_ids = [row.run_id for row in rows]
    key = "SWEEP_RETRAIN"
    return [
        Problem(
            origin,
            config.source(key),
            key,
            name,
            "no row of the sweep has this run_id.",
            nearest(name, run_ids) + "Write run ids of the CSV, separated by blanks.",
        )
        for name in config.sweep_retrain
        if name not in run_ids
    ]


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _shown(path: Path, root: Path) -> str:
    """`path` for messages: relative if it is below the project's root."""
    plain = os.path.normpath(path)
    inside = plain.startswith(f"{root}{os.sep}")
    return os.path.relpath(plain, root) if inside else plain


def _content(path: Path, origin: str, max_bytes: int, *, links: bool) -> bytes:
    """The bytes of a regular file, one more than `max_bytes` at most. Raises InputError."""

    def refuse(reason: str, remedy: str) -> InputError:
        return InputError([Problem(origin, None, "", None, reason, remedy)])

    if not links and path.is_symlink():
        raise refuse("a symbolic link.", "Put the file itself here.")
    try:
        # without O_NONBLOCK, opening a FIFO would wait for a writer
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise refuse("not a regular file.", "Put a plain text file here.")
            return _read_up_to(fd, max_bytes + 1)
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise refuse("no such file.", "Write it, or run `wf init` for one to start from.") from None
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else str(e)
        raise refuse(f"cannot be read: {why}.", "Check its path and permissions.") from None


def _read_up_to(fd: int, most: int) -> bytes:
    pieces = []
    while most > 0:
        piece = os.read(fd, most)
        if not piece:
            break
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)
