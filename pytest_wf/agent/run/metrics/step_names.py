"""Names under which a report in a file gives its step."""

from typing import Iterable, Optional

#: In lower case, in the order in which they count.
_NAMES = (
    *("step", "global_step", "trainer/global_step", "_step", "num_updates"),
    *("total_timesteps", "time/total_timesteps", "timesteps_total"),
    *("training_iteration", "iteration", "iter", "epoch"),
)


def rank(name: Optional[str]) -> int:
    """Place of a name in their order; after all of them if it is not the name of a step."""
    lower = name.lower() if name is not None else ""
    return _NAMES.index(lower) if lower in _NAMES else len(_NAMES)


def step_name(names: Iterable[str]) -> Optional[str]:
    """Which of the names of one report is that of its step, case-insensitively."""
    found = min(names, key=rank, default=None)
    return found if rank(found) < len(_NAMES) else None


def is_step(name: str) -> bool:
    """Whether a number of this name is a step and not a metric; an epoch is both."""
    return rank(name) < rank("epoch")
