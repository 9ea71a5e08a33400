"""TRAIN_ENTRYPOINT: a script, or `-m package.module`."""

from typing import List, Tuple

_MODULE = "-m "


def is_module(entrypoint: str) -> bool:
    """Whether Python finds it by name and not by path."""
    return entrypoint.startswith(_MODULE)


def words(entrypoint: str) -> List[str]:
    """The words of a command line; python, torchrun and accelerate take both forms."""
    return ["-m", entrypoint[len(_MODULE) :]] if is_module(entrypoint) else [entrypoint]


def files(entrypoint: str) -> Tuple[str, ...]:
    """The paths below TRAIN_WORKDIR_REL that it may be.

    A module may also be in none of them, if a package of the environment has it.
    """
    if not is_module(entrypoint):
        return (entrypoint,)
    path = entrypoint[len(_MODULE) :].replace(".", "/")
    inside = (path + ".py", path + "/__main__.py")
    return inside + tuple("src/" + name for name in inside)
