"""The number of pods of a flow, and the target of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: The built-in value with a member's own name.
MEMBER = "WF_MEMBER"
#: Replaces a member's name for the flow as a whole.
ANY_MEMBER = "podK"
#: The only target that a flow may have several times without a list.
LOCAL = "local"


class Part(NamedTuple):
    """The part of a flow that a config is for."""

    #: The number of pods, in place of WF_PODS; None to use WF_PODS.
    pods: int | None = None
    #: The number of the member, from 1; 0 for the flow as a whole.
    member: int = 0


#: The flow as a whole, with the number of pods in the config.
WHOLE = Part()


class WrongNumber(ValueError):
    """The number of pods differs from the number of targets."""


def member_name(number: int) -> str:
    """The name of member `number`, counted from 1: 'pod1'."""
    return f"pod{number}"


def pods_of(targets: Sequence[str], asked: int | None) -> int:
    """The number of pods of a flow: that of `targets`, otherwise `asked`.

    Without targets, this number of pods is rented, or this machine is used as several pods.
    Raises WrongNumber if `asked` is not the number of `targets`.
    """
    if not targets or list(targets) == [LOCAL]:
        return asked or 1
    if asked not in (None, len(targets)):
        raise WrongNumber(f"{len(targets)} named: {' '.join(targets)}")
    return len(targets)


def repeated(targets: Sequence[str]) -> list[str]:
    """Targets that occur more than once."""
    return sorted({target for target in targets if targets.count(target) > 1})
