"""The operations of the pod's agent: their names, and the rules that hold for each."""

from typing import Dict, NamedTuple

#: The first request on a channel: it gives the agent its settings.
OPEN = "open"

BOOTSTRAP = "bootstrap"
CAMPAIGN = "campaign"
CAMPAIGN_ASSIGN = "campaign-assign"
CAMPAIGN_CEDE = "campaign-cede"
CAMPAIGN_RESUME = "campaign-resume"
CAMPAIGN_SHARD = "campaign-shard"
CAMPAIGN_START = "campaign-start"
CAMPAIGN_STOP = "campaign-stop"
CANCEL = "cancel"
CHECKOUT = "checkout"
CONFIG_SYNC = "config-sync"
DELETE = "delete"
FETCH_BEGIN = "fetch-begin"
FETCH_END = "fetch-end"
FSM_RESET = "fsm-reset"
HAS_COMMIT = "has-commit"
INVENTORY = "inventory"
LEASE_DROP = "lease-drop"
LEASE_RENEW = "lease-renew"
LEASE_TAKE = "lease-take"
LISTING = "listing"
LOG = "log"
MANIFEST = "manifest"
OPERATION = "operation"
PROBE = "probe"
PRUNE = "prune"
PUT = "put"
READINESS = "readiness"
READY = "ready"
SMOKE = "smoke"
STATE = "state"
TASK_LIST = "task-list"
TASK_RUN = "task-run"
TASK_STATUS = "task-status"
TASK_STOP = "task-stop"


class Rules(NamedTuple):
    """What the agent requires of a request for an operation, and how it is run."""

    #: Refused with 'lease-lost' without the current lease's token.
    needs_token: bool = False
    #: The answer is stored, and given again for a repeated request id. The operation may be called
    #: a second time under one request id, if the agent was killed between its work and its answer:
    #: it must find out what it had done.
    journalled: bool = False
    #: Refused with 'config-not-synced' unless the pod's copy of the config is this one.
    synced: bool = False
    #: Runs in a process of its own session, which a lost link does not end.
    detached: bool = False
    #: Leaves the pod as it is.
    read_only: bool = False


_READS = Rules(read_only=True)
_CHANGES = Rules(needs_token=True, journalled=True, synced=True)
# whatever runs can be stopped, whichever config it was started with
_STOPS = Rules(needs_token=True, journalled=True)
# these are idempotent, so they need no journal
_REPEATABLE = Rules(needs_token=True)

#: The rules of every operation after `OPEN`.
OPERATIONS: Dict[str, Rules] = {
    BOOTSTRAP: _CHANGES._replace(detached=True),
    CAMPAIGN: _READS,
    CAMPAIGN_ASSIGN: _CHANGES,
    CAMPAIGN_CEDE: _CHANGES,
    CAMPAIGN_RESUME: _CHANGES,
    CAMPAIGN_SHARD: _READS,
    CAMPAIGN_START: _CHANGES,
    CAMPAIGN_STOP: _STOPS,
    CANCEL: _REPEATABLE,
    CHECKOUT: _CHANGES._replace(detached=True),
    CONFIG_SYNC: _REPEATABLE,
    DELETE: _STOPS,
    FETCH_BEGIN: _REPEATABLE._replace(synced=True),
    FETCH_END: _REPEATABLE,
    FSM_RESET: _REPEATABLE,
    HAS_COMMIT: _READS,
    INVENTORY: _READS,
    LEASE_DROP: _REPEATABLE,
    LEASE_RENEW: _REPEATABLE,
    LEASE_TAKE: Rules(),
    LISTING: _READS,
    LOG: _READS,
    MANIFEST: _READS,
    OPERATION: _READS,
    PROBE: _READS,
    PRUNE: _STOPS,
    PUT: _REPEATABLE,
    READINESS: _READS,
    READY: _REPEATABLE,
    SMOKE: _CHANGES._replace(detached=True),
    STATE: _READS,
    TASK_LIST: _READS,
    TASK_RUN: _CHANGES,
    TASK_STATUS: _READS,
    TASK_STOP: _STOPS,
}

READ_ONLY = frozenset(name for name, rules in OPERATIONS.items() if rules.read_only)
#: Not written into a flow's event log: a renewal only says that the controller is alive.
NOT_LOGGED = READ_ONLY | {LEASE_RENEW}
