"""The types of an operation's arguments and of its answer."""

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
    #: True for a request that must change nothing on the pod.
    write_nothing: bool = False


#: An operation's function. Its rules are in `wire.operations`.
Operation = Callable[[Session, Args], Result]
