"""Every way in which a phase can fail, named once and numbered once.

The pod answers with a *kind*; the controller prints its *code*. The first digit is the
phase family of the code: 1 precheck and summary, 2 provision and target, 3 bootstrap and
checkout, 4 sweep, 5 fetch and teardown. Kinds whose number is below 100 can occur in any phase and
take the family of that phase (`code_of`).
"""

from typing import Dict, Tuple

KINDS: Dict[str, int] = {
    # any phase: the family's hundred is added
    "remote-failed": 80,  # a remote step failed for a reason that has no kind of its own
    "illegal-state": 81,
    "lease-held": 82,
    "lease-lost": 83,
    "state-unreadable": 84,
    "config-not-synced": 85,
    "link-lost": 86,  # the answer is unknown, and could not be obtained
    "agent-broken": 87,  # the pod answered something that is not the protocol
    "pod-disk": 88,
    "not-in-contract": 89,
    "court-deterministic": 90,
    "court-constitutional": 91,
    "court-unverified": 92,
    "assertion": 93,  # the phase's own assertion
    "error": 94,  # an exception in the phase's body
    "timeout": 95,
    "interrupted": 96,
    "skipped-itself": 97,
    "not-ours": 98,  # what would be replaced was not made by this product
    # 1xx
    "config": 101,
    "manifest": 102,
    "consent": 103,
    "local-disk": 105,
    "config-changed": 106,
    "repository": 108,  # what the rows need is not in the commit that the pod would get
    # 2xx
    "no-target": 201,
    "no-provider": 202,
    "provider": 203,
    "target-changed": 204,
    "unreachable": 211,
    "host-key": 212,
    "authentication": 213,
    "not-a-pod": 214,  # not Linux, or no usable python3
    "volume": 215,
    # 3xx
    "prerequisites": 301,
    "apt": 302,
    "helper-script": 303,
    "clone": 311,
    "wrong-sha": 312,
    "dirty-checkout": 313,
    "venv": 314,
    "torch": 315,
    "install": 316,
    "post-command": 317,
    "data": 318,
    # 4xx
    "sweep-running": 401,
    "run-exists": 402,
    "no-campaign": 403,
    "manifest-differs": 404,
    "launch": 405,
    "run-differs": 406,  # what ran under the row's id was trained otherwise
    "smoke-failed": 407,
    "budget": 408,  # WF_MAX_USD is spent, or it cannot be known when it is
    "sweep-stalled": 411,
    "wait-exhausted": 412,
    "campaign-changed": 413,
    "sweep-stopped": 414,  # by the user
    "row-failed": 421,
    "row-expectation": 422,  # it trained to its end, and its metrics are not what was expected
    "task-exists": 431,
    "task-running": 432,
    "no-such-task": 433,
    # 5xx
    "no-such-run": 501,
    "digest": 502,
    "hostile-answer": 503,
    "incomplete": 504,
    "unfetched": 511,
    "delete": 512,
}


def code_of(kind: str, family: int) -> int:
    """The number of `kind` for a phase of `family` (1 to 5).

    An unknown kind counts as 'remote-failed': a failure is never lost because its name is unknown.
    """
    number = KINDS.get(kind, KINDS["remote-failed"])
    return number if number >= 100 else family * 100 + number


def kind_of(code: int) -> str:
    """The kind whose `code_of` is `code`; '' if there is none."""
    by_number = {number: kind for kind, number in KINDS.items()}
    return by_number.get(code) or by_number.get(code % 100, "")


#: Why a run may fail on the pod; `RUN_RETRY_ON` picks from these. 'user' is for all others.
CLASSES: Tuple[str, ...] = (
    "oom",
    "nccl",
    "cuda",
    "data",
    "import",
    "disk_full",
    "preempted",
    "timeout",
    "stalled",
    "killed",
    "user",
)

#: Class of a row that trained to its end and whose metrics broke an expectation. Only the
#: controller sets it: the pod does not know expectations.
EXPECT = "expect"
