"""The config files of a repository, and the values in Hydra's."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_wf.project.trainers.options import Option, assigned
from pytest_wf.project.trainers.repository import Repository
from pytest_wf.project.trainers.script import Script, calls, dotted

#: A path that a cell of the CSV accepts.
_CELL = re.compile(r"[\w.][\w./+-]*", re.ASCII)
#: An entry of a defaults list.
_DEFAULT = re.compile(r"^\s*-\s*(?:optional\s+|override\s+)?/?([\w/]+)\s*:\s*(\S+)", re.M)
#: Parts of other configs, such as those in `_base_/`.
_HIDDEN = re.compile(r"(^|/)[._]")
_FOLDERS = re.compile(r"(^|/)(configs?|conf|cfgs?|experiments?|recipes)(/|$)")
#: A file beside a script that is a config by its name.
_NAMES = re.compile(r"(^|[_-])(config|conf|cfg|train|hparams|params)")


def found_in(repository: Repository, folder: str, endings: tuple[str, ...]) -> tuple[str, ...]:
    """Config files that a script in `folder` may read, relative to it; those for training first."""
    found = []
    for path in repository.files:
        below = posixpath.relpath(path, folder or ".")
        place, name = posixpath.split(below)
        is_near = not below.startswith("..") and below.count("/") <= 2
        is_config = _FOLDERS.search(place) if place else _NAMES.search(name)
        is_code = name.endswith(".py") and not place
        if (
            is_near
            and is_config
            and name.endswith(endings)
            and not is_code
            and not _HIDDEN.search(below)
        ):
            found.append(below)
    found = [path for path in found if _CELL.fullmatch(path)]
    return tuple(sorted(found, key=lambda path: ("train" not in path, path.count("/"), path)))


def values_in(repository: Repository, path: str) -> dict[str, object]:
    """The plain values that a Python or YAML config sets, by dotted name; {} for other files."""
    if path.endswith((".yaml", ".yml")):
        return {key: _scalar(value) for key, value in _values(repository.text(path))}
    script = repository.script(path) if path.endswith(".py") else None
    return dict(assigned(script)) if script else {}


@dataclass(frozen=True)
class HydraConfig:
    """The contents of a Hydra application's primary config."""

    #: Its values and those of its default groups, as arguments.
    options: tuple[Option, ...] = ()
    #: The choices of the group `experiment`.
    experiments: tuple[str, ...] = ()
    #: How to choose one: `experiment`, or `+experiment` if the defaults have none.
    experiment: str = "experiment"


def of_hydra(repository: Repository, script: Script) -> HydraConfig:
    """The primary config of `script`, parsed by its indentation, without a YAML library."""
    folder, name = _decorated(script)
    place = posixpath.normpath(posixpath.join(script.folder, folder))
    path = posixpath.join(place, name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if not folder or not name or not repository.has(path):
        return HydraConfig()
    text = repository.text(path)
    values = dict(_values(text))
    defaults = dict(_DEFAULT.findall(text))
    for group, choice in defaults.items():
        chosen = posixpath.join(place, group, f"{choice.removesuffix('.yaml')}.yaml")
        for key, value in _values(repository.text(chosen)) if repository.has(chosen) else ():
            values.setdefault(f"{group.replace('/', '.')}.{key}", value)
    group = f"{place}/experiment/"
    files = (p for p in repository.files if p.startswith(group) and p.endswith(".yaml"))
    experiments = [path.removeprefix(group).removesuffix(".yaml") for path in files]
    return HydraConfig(
        tuple(Option(key, _scalar(values[key])) for key in sorted(values, key=len)),
        tuple(name for name in experiments if _CELL.fullmatch(name)),
        "experiment" if "experiment" in defaults else "+experiment",
    )


def of_omegaconf(repository: Repository, script: Script) -> tuple[Option, ...]:
    """The values of the file that a script loads by a fixed name, as arguments."""
    for call in calls(script.tree):
        if f".{dotted(call.func)}".endswith(".OmegaConf.load"):
            for node in call.args[:1]:
                path = str(node.value) if isinstance(node, ast.Constant) else ""
                text = repository.text(path) if repository.has(path) else ""
                return tuple(Option(key, _scalar(value)) for key, value in _values(text))
    return ()


def _decorated(script: Script) -> tuple[str, str]:
    """`config_path` and `config_name` of `@hydra.main`."""
    for call in calls(script.tree):
        if dotted(call.func) == "hydra.main":
            named = {k.arg: k.value for k in call.keywords}
            values = [named.get(key) for key in ("config_path", "config_name")]
            folder, name = (v.value if isinstance(v, ast.Constant) else None for v in values)
            return str(folder or ""), str(name or "")
    return "", ""


def _values(text: str) -> Iterator[tuple[str, str]]:
    """The scalars of a YAML mapping, by dotted name."""
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = re.match(r"( *)([\w-]+):(?:\s+(.*?))?\s*(?:#.*)?$", line)
        if found is None:
            continue
        indent = len(found[1])
        above = [(i, key) for i, key in above if i < indent]
        name = ".".join([*(key for _, key in above), found[2]])
        if found[3]:
            yield name, found[3]
        else:
            above.append((indent, found[2]))


def _scalar(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text
