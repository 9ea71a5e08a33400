"""A campaign as it was frozen: immutable from the moment that it is written.

``campaigns/<id>/campaign.json`` holds the rows, the settings and the commit; runs, resumes and
reports follow it, whatever the config or the CSV says by now.
"""

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.control import clock, control_files, locks
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import assignment, ids
from pytest_wf.wire.assignment import NO_ASSIGNMENT, Assignment
from pytest_wf.wire.files import BadJson, read_json
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import NO_RECIPE, Recipe, Row, listed, recipe_in
from pytest_wf.wire.states import SUPERVISOR_ALIVE, SUPERVISOR_ENDED, SUPERVISOR_GONE

SCHEMA = 1
#: The engine's name in `supervisor.json`, for a campaign that a cluster's queue runs.
QUEUE = "queue"
#: 10,000 rows with long overrides are a few megabytes.
_MAX_BYTES = 64 * 1024 * 1024
#: What to do if a campaign cannot be read.
WAY_ON = (
    "`wf fetch-all --from-directory` fetches the results, `--wf-sweep=start` begins a new campaign."
)

_NO_CAMPAIGN = (
    "Start one with `--wf-sweep=start`; `wf fetch-all --from-directory` fetches runs without one."
)


class Campaign(NamedTuple):
    """A frozen campaign."""

    campaign_id: str
    created_at: str
    flow_id: str
    #: The request that made it; the same request again makes no second campaign.
    request_id: str
    git_sha: str
    dry_run: bool
    manifest_sha256: str
    manifest_path: str
    settings: Settings
    rows: List[Row]
    #: Its working tree; '' if it runs in the repository itself.
    tree: str = ""
    #: The recipe of its rows, without what their own cells set.
    recipe: Recipe = NO_RECIPE
    #: How many of its rows were adopted, trained again and new when it started.
    plan: Mapping[str, int] = {}
    #: This pod's name among the members that share the campaign; '' if it is alone.
    member: str = ""
    #: The owner of each row when the campaign was frozen; `shard` knows the changes since.
    assignment: Assignment = NO_ASSIGNMENT
    #: The names of all members that share it; none if that is not recorded.
    members: Tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """Where its trainer's files are."""
        return self.tree or self.settings.repo

    @property
    def project(self) -> str:
        """The project whose campaign it is: `WF_PROJECT`."""
        return self.settings.project

    @property
    def folder(self) -> str:
        """Its control directory."""
        return os.path.join(self.settings.campaigns, self.campaign_id)

    @property
    def age_s(self) -> int:
        """How long ago it was made, by the pod's clock."""
        return clock.age_s(self.created_at) or 0

    @property
    def running(self) -> str:
        """A phrase that says it is running, and for how long."""
        return "%s is running, for %s by now" % (self.campaign_id, clock.lasted(self.age_s))

    @property
    def lock_path(self) -> str:
        """Path of the lock that starting, resuming or stopping a campaign on this pod holds."""
        return lock_path(self.settings)

    @property
    def log_path(self) -> str:
        """Path of its supervisor's log."""
        return os.path.join(self.folder, "supervisor.log")

    @property
    def supervisor_lock(self) -> str:
        """Path of the lock that its supervisor holds as long as it lives."""
        return os.path.join(self.folder, "supervisor.lock")

    @property
    def stop_path(self) -> str:
        """Path of the file that exists while the campaign is asked to stop."""
        return os.path.join(self.folder, "stop")

    def save(self) -> None:
        """Write ``campaign.json``; `make_latest` is a step of its own."""
        body: Dict[str, Any] = dict(self._asdict(), schema=SCHEMA)
        body["settings"] = dict(self.settings)
        body["rows"] = [row.as_json() for row in self.rows]
        body["assignment"] = assignment.as_json(self.assignment)
        if not self.member:
            del body["member"], body["assignment"], body["members"]
        control_files.write(os.path.join(self.folder, "campaign.json"), body, compact=True)

    def make_latest(self) -> None:
        """Make this the pod's latest campaign."""
        body = {"schema": SCHEMA, "campaign_id": self.campaign_id, "created_at": self.created_at}
        control_files.write(_latest_path(self.settings), body)


def lock_path(settings: Settings) -> str:
    """The lock over all campaigns of a pod."""
    return os.path.join(settings.campaigns, "lock")


_loaded: Dict[str, Tuple[Tuple[int, int], Campaign]] = {}


def load(folder: str) -> Campaign:
    """The campaign in `folder`. Raises Damaged, Incompatible, FileNotFoundError."""
    path = os.path.join(folder, "campaign.json")
    stamp = _stamp(path)
    known = _loaded.get(path)
    if known is not None and known[0] == stamp:
        return known[1]

    def parse(body: Dict[str, Any]) -> Campaign:
        if "WF_ENGINE" not in body["settings"]:
            raise control_files.Incompatible(path)  # version 0.1 wrote the same schema number
        campaign = _of(body)
        if os.path.basename(folder) != campaign.campaign_id:
            raise ValueError("it is that of %s" % campaign.campaign_id)
        return campaign

    campaign = control_files.parsed(path, parse, SCHEMA, _MAX_BYTES, WAY_ON)
    if campaign is None:
        raise FileNotFoundError(path)
    _loaded.clear()
    _loaded[path] = (stamp, campaign)
    return campaign


def find(settings: Settings, campaign_id: Optional[str] = None) -> Campaign:
    """The campaign of that id, the latest by default. Raises Refusal 'no-campaign'."""
    if campaign_id is None:
        found = latest(settings)
        if found is None:
            raise Refusal("no-campaign", "the pod has no campaign", _NO_CAMPAIGN)
        return found
    if not ids.is_id(campaign_id):
        raise Refusal("no-campaign", "not a campaign id: %r" % campaign_id)
    try:
        return load(os.path.join(settings.campaigns, campaign_id))
    except FileNotFoundError:
        raise _gone(settings, campaign_id) from None


def _gone(settings: Settings, campaign_id: str) -> Refusal:
    """The refusal for a campaign that a controller knows and the pod does not, or no longer."""
    message = "the pod has no campaign %s" % campaign_id
    now = readable_latest(settings)
    if now is None:
        return Refusal("no-campaign", message, _NO_CAMPAIGN)
    return Refusal(
        "campaign-changed",
        "%s; its latest is %s, of %s" % (message, now.campaign_id, now.created_at),
        "Its disk may have been put back to an earlier state: continue that one with "
        "`--wf-sweep=resume --wf-campaign=%s`, or start a new one with `--wf-sweep=start`."
        % now.campaign_id,
        {"campaign_id": now.campaign_id},
    )


def latest(settings: Settings) -> Optional[Campaign]:
    """The latest campaign; None if there is none.

    If the record of the latest is damaged or gone, or names a campaign that does not exist, the
    newest readable one is taken, and a finding says so. Raises `control_files.Damaged` if the
    latest campaign's own file is damaged.
    """
    try:
        named = control_files.parsed(_latest_path(settings), _id_in, SCHEMA)
        why = "%s is gone" % _latest_path(settings)
    except control_files.Damaged as e:
        named, why = None, e.message
    if named is not None:
        try:
            return load(os.path.join(settings.campaigns, named))
        except FileNotFoundError:
            why = "the pod's latest campaign %s is gone" % named
    found = _newest(settings)
    if found is not None:
        control_files.note("%s; the newest that is there is %s" % (why, found.campaign_id))
    return found


def readable_latest(settings: Settings) -> Optional[Campaign]:
    """The latest campaign; None if none can be read, which is noted."""
    try:
        return latest(settings)
    except (control_files.Damaged, control_files.Incompatible) as e:
        control_files.note(e.message)
        return None


def known_ids(settings: Settings) -> List[str]:
    """The ids of all campaigns that have a directory, oldest first."""
    try:
        with os.scandir(settings.campaigns) as entries:
            return sorted(e.name for e in entries if ids.is_id(e.name) and e.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _newest(settings: Settings) -> Optional[Campaign]:
    """The newest campaign that can be read. Raises `control_files.Damaged` if none can."""
    damaged: Optional[Refusal] = None
    for campaign_id in reversed(known_ids(settings)):
        try:
            return load(os.path.join(settings.campaigns, campaign_id))
        except FileNotFoundError:
            continue
        except Refusal as e:
            damaged = damaged or e
    if damaged is not None:
        raise damaged
    return None


def supervisor_of(campaign: Campaign) -> Dict[str, Any]:
    """What the campaign's supervisor recorded of itself; {} if none has begun."""
    try:
        found = read_json(os.path.join(campaign.folder, "supervisor.json"))
    except (OSError, BadJson):
        return {}
    return found if isinstance(found, dict) else {}


def supervision(campaign: Campaign) -> str:
    """The state of the campaign's supervisor, as `wire.states` names it."""
    found = supervisor_of(campaign)
    if found.get("ended_at"):
        return SUPERVISOR_ENDED
    if QUEUE in found:
        return SUPERVISOR_ALIVE  # until `sweep/cluster/queued.py` has seen the end of its jobs
    if process.is_alive(found):
        return SUPERVISOR_ALIVE
    # if its identity is not recorded, its lock says whether it is alive
    is_there = not found and locks.is_held(campaign.supervisor_lock)
    return SUPERVISOR_ALIVE if is_there else SUPERVISOR_GONE


def is_supervised(campaign: Campaign) -> bool:
    """Whether the campaign's supervisor is running."""
    return supervision(campaign) == SUPERVISOR_ALIVE


def _latest_path(settings: Settings) -> str:
    return os.path.join(settings.campaigns, "latest.json")


def _id_in(found: Dict[str, Any]) -> str:
    if not isinstance(found["campaign_id"], str) or not ids.is_id(found["campaign_id"]):
        raise TypeError
    return found["campaign_id"]


def _stamp(path: str) -> Tuple[int, int]:
    try:
        info = os.stat(path)
    except OSError:
        return (0, 0)  # its copy may be there
    return (info.st_mtime_ns, info.st_ino)


def _of(body: Any) -> Campaign:
    texts = ("campaign_id", "created_at", "flow_id", "request_id", "git_sha")
    paths = ("manifest_sha256", "manifest_path")
    if not all(isinstance(body[key], str) for key in (*texts, *paths)):
        raise TypeError("a field is of the wrong kind")
    rows = listed(body, "rows", Row.from_json)
    member, owners = body.get("member", ""), assignment.read(body.get("assignment", {}))
    if owners.keys() != ({row.run_id for row in rows} if member else set()):
        raise ValueError("the assignment is not one of its rows")
    if member and not assignment.is_member(member):
        raise ValueError("it is of no member")
    return Campaign(
        dry_run=body["dry_run"] is True,
        settings=Settings(body["settings"]),
        rows=rows,
        member=member,
        assignment=owners,
        members=assignment.read_members(body.get("members")),
        tree=str(body.get("tree") or ""),
        recipe=recipe_in(body),
        plan={str(what): int(number) for what, number in (body.get("plan") or {}).items()},
        **{key: body[key] for key in (*texts, *paths)},
    )
