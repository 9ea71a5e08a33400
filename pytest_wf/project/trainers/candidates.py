"""Finds the script of a repository that trains, and its family."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pytest_wf.project.trainers import options
from pytest_wf.project.trainers.families import BY_NAME, FAMILIES, Family
from pytest_wf.project.trainers.options import Option
from pytest_wf.project.trainers.repository import BY_NAME_ALONE, Repository, likeliness
from pytest_wf.project.trainers.script import Script

_DISTRIBUTED = frozenset("LOCAL_RANK DistributedDataParallel init_process_group FSDP".split())
#: Words that occur in a script that trains.
_TRAINING = frozenset(
    "backward fit train optimizer SGD Adam AdamW Trainer LightningCLI train_step loss".split()
)


#: The largest difference in points between scripts of a collection.
_MARGIN = 50


@dataclass(frozen=True)
class Candidate:
    """A script that may be the trainer."""

    repository: Repository
    script: Script
    family: Family
    #: The sign of its family in the script.
    sign: str
    #: How likely it is.
    points: int

    @cached_property
    def modules(self) -> tuple[Script, ...]:
        """The script, and the modules of the repository that it imports."""
        return self.repository.with_imports(self.script)

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """The script's arguments; those of its modules if it reads none."""
        own = options.read(self.script)
        return own or tuple(o for module in self.modules for o in options.read(module))

    @cached_property
    def command(self) -> str:
        """The subcommand that trains, if it has several; '' if none is known."""
        return next(filter(None, map(options.command, (self.script, *self.modules))), "")

    @cached_property
    def folder(self) -> str:
        """The folder that it is meant to run in."""
        return self.repository.folder_of(self.script.path)

    @property
    def imports(self) -> frozenset[str]:
        """The packages that it imports, directly or indirectly."""
        names = (name for module in self.modules for name in module.imports)
        return frozenset(name.split(".")[0] for name in names)

    @property
    def is_distributed(self) -> bool:
        """Whether it supports several processes."""
        return any(module.words & _DISTRIBUTED for module in self.modules)


def judged(repository: Repository, script: Script) -> Candidate | None:
    """A script as a candidate; None if it has no sign of a family."""
    points = likeliness(script.path)
    found = _family((script,))
    if found is None and points >= BY_NAME_ALONE:
        found = _family(repository.with_imports(script))
    if found is None:
        return None
    family, sign, is_own = found
    points += 10 * is_own + 25 * bool(script.words & _TRAINING)
    return Candidate(repository, script, family, sign, points)


def is_clear(found: list[Candidate]) -> bool:
    """Whether the first of `found` is certainly the trainer.

    False if others are as likely, and in a collection: folders that are projects of their own.
    """
    best, *others = found
    near = [one for one in others if one.points > best.points - _MARGIN]
    is_collection = best.folder and any(one.folder != best.folder for one in near)
    return not is_collection and all(one.points < best.points for one in near)


def named(repository: Repository, script: Script) -> Candidate:
    """The requested script; without a sign of a family, it counts as called by options."""
    family = BY_NAME["argparse"]
    return judged(repository, script) or Candidate(repository, script, family, "", 0)


def silent(repository: Repository) -> list[Script]:
    """Scripts that train by their names and content, and have no sign of a family."""
    return [
        script
        for script in repository.scripts()
        if likeliness(script.path) >= BY_NAME_ALONE and script.words & _TRAINING
    ]


def all_of(repository: Repository) -> list[Candidate]:
    """The scripts that may be the trainer, the most likely first."""
    found = [judged(repository, script) for script in repository.scripts()]
    return sorted(filter(None, found), key=lambda one: (-one.points, one.script.path))


def _family(modules: tuple[Script, ...]) -> tuple[Family, str, bool] | None:
    for family in FAMILIES:
        for module in modules:
            sign = module.calls_any(family.signs)
            if sign:
                return family, sign, module is modules[0]
    return None
