"""Loading a project: its config, its sweep CSV and its baseline, with all mistakes at once."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pytest_wf.config import dotenv, reader
from pytest_wf.config.dotenv import Reading
from pytest_wf.config.fleet import Part
from pytest_wf.config.keys import Config
from pytest_wf.config.problems import nearest
from pytest_wf.errors import InputError, Problem
from pytest_wf.pods.base import Provider
from pytest_wf.pods.provider_choice import all_keys, find_renter
from pytest_wf.project import command, manifest
from pytest_wf.project.baseline import BaselineFile, read_baseline
from pytest_wf.project.expectations import asks_for_baseline, missing_baselines
from pytest_wf.project.input_files import read_input, shown_path
from pytest_wf.project.local_places import local_problems
from pytest_wf.project.manifest import Manifest
from pytest_wf.project.option_checks import conflicts, option_problem, option_problems
from pytest_wf.project.project import CONFIG, Options, Project
from pytest_wf.wire.rows import Row


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
    problems = option_problems(root, options)
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
        problems.extend(conflicts(options, config, origin))
        problems.extend(command.template_problems(config, origin))
        problems.extend(command.smoke_problems(config, origin, is_asked=options.smoke))
        all_rows = sweep.rows if sweep is not None else ()
        if reads_csv and options.sweep != "skip":
            csv = shown_path(root / (options.csv or config.sweep_csv), root)
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
            csv = shown_path(root / (options.csv or config.sweep_csv), root)
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


@dataclass(frozen=True)
class _ConfigFile:
    """A config file, and its parsed lines."""

    path: Path
    raw: bytes
    reading: Reading
    #: Whether the canonical config allows another one.
    override_enabled: bool = False


def _read_config(path: Path, origin: str, names: Collection[str]) -> _ConfigFile:
    raw = read_input(path, origin, dotenv.MAX_BYTES, links=False)
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
        return replace(_read_config(path, shown_path(path, root), names), override_enabled=True)
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
    shown = shown_path(path, root)
    try:
        sweep = manifest.read(read_input(path, shown, manifest.MAX_BYTES, links=True), shown)
    except InputError as e:
        problems.extend(e.problems)
        return None, ()
    if config is None:
        return sweep, ()
    problems.extend(_rows_of_a_cluster(sweep.rows, config, shown))
    if options.smoke and config.wf_engine == "slurm":
        remedy = "Leave it out, and select one row by -k for a first try."
        problems.append(option_problem("smoke", "1", "not possible with WF_ENGINE=slurm.", remedy))
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
