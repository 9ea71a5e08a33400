"""What an operation is given, and how operations are told to the dispatch."""

from typing import Any, Callable, Dict, NamedTuple, Optional

from pytest_wf.agent.control.settings import Settings

Args = Dict[str, Any]
Result = Dict[str, Any]


class Session(NamedTuple):
    """The request under way, as the operation's function sees it."""

    settings: Settings
    #: Id of the request; the same id is the same request, sent again after a lost link.
    request_id: str
    #: The lease's fencing token, already checked; None for operations that need none.
    token: Optional[int]
    #: Sends news of this request to the controller; one JSON object.
    say: Callable[[Dict[str, Any]], None]
    #: True for one that looks and must leave everything on the pod as it is.
    write_nothing: bool = False


class Operation(NamedTuple):
    """One row of the dispatch table.

    A journalled operation may be called a second time under one request id, where the
    agent was killed between its work and its answer: it must find out what it had done.
    A detached one runs in a child of its own and does not outlast its answer.
    """

    run: Callable[[Session, Args], Result]
    #: Refused with 'lease-lost' without the current lease's token.
    needs_token: bool = False
    #: Runs in a process of its own session, which a lost link does not end.
    detached: bool = False
    #: The answer is kept, and given again when the request id comes again.
    journalled: bool = False
    #: Refused with 'config-not-synced' unless the pod's copy of the config is this one.
    synced: bool = False


def changing(run: Callable[[Session, Args], Result], detached: bool = False) -> Operation:
    """An operation that changes the pod: lease, journal and a synced config are asked for."""
    return Operation(run, needs_token=True, detached=detached, journalled=True, synced=True)
