"""Types of the keys for Slurm: the options of `sbatch` that a config may set."""

from __future__ import annotations

import re

from pytest_wf.config.types import BadValue, Kind, or_empty, words

#: Options of `sbatch` that a config may set; pytest-wf sets others itself.
OPTIONS = (
    "account",
    "constraint",
    "cpus-per-task",
    "exclude",
    "mem",
    "nodelist",
    "partition",
    "qos",
    "reservation",
)
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:@&|*+\[\]-]*", re.ASCII)
#: The format of `sbatch --time`, without words such as UNLIMITED.
_TIME = re.compile(r"(?:[0-9]+(?::[0-5]?[0-9]){0,2}|[0-9]+-[0-9]+(?::[0-5]?[0-9]){0,2})", re.ASCII)


def _option(text: str) -> str:
    name, is_set, value = text.partition("=")
    known = ", ".join(OPTIONS)
    if name not in OPTIONS or not is_set:
        raise BadValue(
            f"{text!r} is not an option that may be set here.", f"Write name=value: {known}."
        )
    if not _VALUE.fullmatch(value):
        remedy = "Use letters, digits and _ . , : @ & | * + [ ] -."
        raise BadValue(f"{value!r} is not a value of {name}.", remedy)
    return text


def _time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise BadValue(
            "not a time limit of Slurm.", "Write minutes, hours:minutes:seconds or days-hours."
        )
    return text


ARGS = words("sbatch options as `name=value`, separated by blanks", Kind("sbatch option", _option))
TIME = or_empty(Kind("time limit of Slurm, such as `2-12:00:00`", _time))
