"""How many pods a flow has, and which target each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: The built-in value with a member's own name.
MEMBER = "WF_MEMBER"
#: What stands for a member's name where the flow as a whole is meant.
ANY_MEMBER = "podK"
#: The target of which there may be several without a list.
LOCAL = "local"


class Part(NamedTuple):
    """Which part of a flow a config is for."""

    #: The number of pods that counts in place of WF_PODS; None for that key's.
    pods: int | None = None
    #: The member, counted from 1; 0 for the flow as a whole.
    member: int = 0


#: The flow as a whole, with the number of pods that the config says.
WHOLE = Part()


class WrongNumber(ValueError):
    """A number of pods that the targets do not have."""


def member_name(number: int) -> str:
    """The name of the member `number`, counted from 1: 'pod1'."""
    return f"pod{number}"


def member_names(pods: int) -> list[str]:
    """The names of the members of a flow, in their order."""
    return [member_name(number) for number in range(1, pods + 1)]


def pods_of(targets: Sequence[str], asked: int | None) -> int:
    """The number of pods of a flow: that of `targets`, else the one that was `asked` for.

    Without targets so many pods are rented, and this machine may be several pods. Raises
    WrongNumber where `asked` is not the number of `targets`.
    """
    if not targets or list(targets) == [LOCAL]:
        return asked or 1
    if asked not in (None, len(targets)):
        raise WrongNumber(f"{len(targets)} named: {' '.join(targets)}")
    return len(targets)


def repeated(targets: Sequence[str]) -> list[str]:
    """Targets that are named more than once."""
    return sorted({target for target in targets if targets.count(target) > 1})
