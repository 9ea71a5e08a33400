"""Problems with the command of the rows, found before any pod is contacted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_wf.agent.control.settings import Settings
from pytest_wf.config import formats
from pytest_wf.config.keys import Config
from pytest_wf.config.problems import Problems, nearest
from pytest_wf.errors import Problem
from pytest_wf.wire.rows import Row
from pytest_wf.wire.trainer import arguments, template, variables

_TEMPLATE = "TRAIN_COMMAND_TEMPLATE"
_SMOKE = "SMOKE_OVERRIDES"


def row_problems(rows: Sequence[Row], values: Mapping[str, str], origin: str) -> list[Problem]:
    """Problems of rows with the command that the config's `values` give them.

    These are overrides of arguments that pytest-wf sets itself, and a missing config if
    the command needs one. `origin` names the CSV.
    """
    problems = Problems(origin)
    settings = Settings(values)
    without = [row for row in rows if not row.config]
    if not template.requires(values, "CONFIG"):
        without = []
    elif len(without) == len(rows) > 1:
        problems.add(without[0].line, "config", "", _NO_CONFIGS, formats.PATH_REMEDY)
        without = []
    for row in without:
        problems.add(row.line, "config", "", _NO_CONFIG, formats.PATH_REMEDY)
    for row in rows:
        out_dir = settings.out_dir(row.run_id)
        for word, name in arguments.given_again(values, row, out_dir):
            reason = f"{name} is set by pytest-wf on this row's command."
            problems.add(row.line, "overrides", word, reason, _INSTEAD.get(name, _ELSEWHERE))
    return problems.sorted()


def template_problems(config: Config, origin: str) -> list[Problem]:
    """Variables of TRAIN_COMMAND_TEMPLATE that no row has; `origin` is the config's file."""
    command = config.train_command_template
    known = (*variables.NAMES, *config.wf_secret_env)
    return [
        Problem(
            origin,
            config.source(_TEMPLATE),
            _TEMPLATE,
            f"${name}",
            "not a variable that a row has.",
            f"{nearest(name, known)}Run `wf keys {_TEMPLATE}` for the list; write ${{{name}:-}} "
            "if the pod's own environment may have it.",
        )
        for name in template.unknown(command, frozenset(config.wf_secret_env))
    ]


def smoke_problems(config: Config, origin: str, *, is_asked: bool) -> list[Problem]:
    """Problems with SMOKE_OVERRIDES, and with a smoke run if one `is_asked` for."""
    source = config.source(_SMOKE)
    short = Row(0, "smoke", "", 0, "", config.smoke_overrides)
    settings = Settings(config.values)
    found = [
        Problem(
            origin,
            source,
            _SMOKE,
            word,
            f"{name} is set by pytest-wf on each row's command.",
            "Write an override that ends training early, such as max_iters=5.",
        )
        for word, name in arguments.given_again(config.values, short, settings.out_dir("smoke"))
    ]
    if is_asked and not config.smoke_overrides:
        reason = "is empty, and --wf-smoke would train a whole row."
        remedy = "Write an override that ends training early, such as max_iters=5."
        found.append(Problem(origin, source, _SMOKE, None, reason, remedy))
    limit = config.wf_phase_timeout_secs
    if is_asked and 0 < limit <= config.smoke_timeout_secs:
        key, value = "SMOKE_TIMEOUT_SECS", str(config.smoke_timeout_secs)
        reason = f"is not within P60's own limit, WF_PHASE_TIMEOUT_SECS={limit}."
        remedy = "Write fewer seconds, or raise that limit."
        found.append(Problem(origin, config.source(key), key, value, reason, remedy))
    if is_asked and config.sweep_dry_run:
        reason = "runs nothing, and --wf-smoke runs a row."
        key = "SWEEP_DRY_RUN"
        remedy = "Leave one of them out."
        found.append(Problem(origin, config.source(key), key, "1", reason, remedy))
    return found


_NO_CONFIG = "not a path below TRAIN_WORKDIR_REL, and the row's command uses it."
_NO_CONFIGS = "no row has a config, and the rows' command uses it."
_INSTEAD = {
    "seed": "Write it in the column seed.",
    "config": "Write it in the column config.",
    "out_dir": "Take it out: results are read from the path that pytest-wf sets.",
    "data_dir": "Take it out, and set DATA_DIR in the config.",
}
_ELSEWHERE = "Take it out, and set SWEEP_WANDB, WANDB_PROJECT or WANDB_GROUP in the config."
