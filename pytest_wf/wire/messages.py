"""Requests and answers between the controller and the pod's agent.

One JSON document per line, in both directions. A request is
``{"id": str, "op": str, "args": {...}, "token": int | null}``. With ``"states": true`` it asks for
an event ``{"states": [before, after]}`` ahead of its answer: the pod's state, a text or null, when
the request came and when it was carried out.
Its answer is ``{"id": ..., "ok": true, "result": {...}}`` or
``{"id": ..., "ok": false, "error": {"kind", "message", "remedy", "facts"}}``, where *kind*
is a name of `wire.failures`. Before the answer any number of
``{"id": ..., "event": {...}}`` lines may come. A line whose id is not waited for is skipped:
a request may have been abandoned by Ctrl-C or a time-out.
"""

from typing import Any, Dict, Optional

from pytest_wf.wire.files import canonical_json

#: The longest line that either side accepts.
MAX_LINE_BYTES = 32 * 1024 * 1024


class Refusal(Exception):
    """What an operation on the pod answers instead of a result.

    `kind` is a name of `wire.failures.KINDS`; `facts` is JSON that the controller may
    show or act on (who holds a lease, which runs are in the way).
    """

    def __init__(
        self, kind: str, message: str, remedy: str = "", facts: Optional[Dict[str, Any]] = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.remedy = remedy
        self.facts = facts or {}


def request(
    id: str, op: str, args: Dict[str, Any], token: Optional[int] = None, states: bool = False
) -> bytes:
    """A request as one line; with `states` it asks for the pod's state before and after."""
    body = {"id": id, "op": op, "args": args, "token": token}
    if states:
        body["states"] = True
    return canonical_json(body) + b"\n"


def answer(id: str, result: Dict[str, Any]) -> bytes:
    """A good answer as one line."""
    return canonical_json({"id": id, "ok": True, "result": result}) + b"\n"


def refusal(id: str, error: Refusal) -> bytes:
    """A refusal as one line."""
    body = {
        "kind": error.kind,
        "message": error.message,
        "remedy": error.remedy,
        "facts": error.facts,
    }
    return canonical_json({"id": id, "ok": False, "error": body}) + b"\n"


def event(id: str, body: Dict[str, Any]) -> bytes:
    """An event of a request that is still under way, as one line."""
    return canonical_json({"id": id, "event": body}) + b"\n"
