"""A campaign as it was frozen: immutable from the moment that it is written.

``campaigns/<id>/campaign.json`` holds the rows, the settings and the commit; whatever runs,
is resumed or is reported follows it, not what a config or a CSV says by now.
"""

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.control import clock, control_files
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import ids
from pytest_wf.wire.files import BadJson, canonical_json, read_json, write_atomic, write_json
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import NO_RECIPE, Recipe, Row, listed, recipe_in
from pytest_wf.wire.states import SUPERVISOR_ALIVE, SUPERVISOR_ENDED, SUPERVISOR_GONE

SCHEMA = 1
#: 10,000 rows with long overrides are a few megabytes.
_MAX_BYTES = 64 * 1024 * 1024


class Campaign(NamedTuple):
    """A frozen campaign."""

    campaign_id: str
    created_at: str
    flow_id: str
    #: The request that made it: the same one again makes no second.
    request_id: str
    git_sha: str
    dry_run: bool
    manifest_sha256: str
    manifest_path: str
    settings: Settings
    rows: List[Row]
    #: Its working tree; '' where it runs in the repository as that stands.
    tree: str = ""
    #: The recipe of its rows, as far as they say nothing of their own.
    recipe: Recipe = NO_RECIPE
    #: How many of its rows were adopted, trained again and new when it started.
    plan: Mapping[str, int] = {}

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
    def lock_path(self) -> str:
        """Held by whoever starts, resumes or stops a campaign on this pod."""
        return lock_path(self.settings)

    @property
    def log_path(self) -> str:
        """What its supervisor says."""
        return os.path.join(self.folder, "supervisor.log")

    @property
    def stop_path(self) -> str:
        """Exists while the campaign is asked to stop."""
        return os.path.join(self.folder, "stop")

    def save(self) -> None:
        """Write ``campaign.json``; `make_latest` is a step of its own."""
        body: Dict[str, Any] = dict(self._asdict(), schema=SCHEMA)
        body["settings"] = dict(self.settings)
        body["rows"] = [row.as_json() for row in self.rows]
        write_atomic(os.path.join(self.folder, "campaign.json"), canonical_json(body), 0o600)

    def make_latest(self) -> None:
        """Let the pod's latest campaign be this one."""
        body = {"schema": SCHEMA, "campaign_id": self.campaign_id, "created_at": self.created_at}
        write_json(os.path.join(self.settings.campaigns, "latest.json"), body, 0o600)


def lock_path(settings: Settings) -> str:
    """The lock over all campaigns of a pod."""
    return os.path.join(settings.campaigns, "lock")


_loaded: Dict[str, Tuple[Tuple[int, int], Campaign]] = {}


def load(folder: str) -> Campaign:
    """The campaign in `folder`. Raises Refusal 'state-unreadable', FileNotFoundError."""
    path = os.path.join(folder, "campaign.json")
    info = os.stat(path)
    stamp = (info.st_mtime_ns, info.st_ino)
    known = _loaded.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    body = control_files.read(path, SCHEMA, _MAX_BYTES) or {}
    if "WF_ENGINE" not in (body.get("settings") or {}):
        raise control_files.incompatible(path)  # version 0.1 wrote the same schema number
    try:
        campaign = _of(body)
    except (KeyError, TypeError, ValueError) as e:
        raise control_files.unreadable(path, "%s: %s" % (type(e).__name__, e)) from None
    if os.path.basename(folder) != campaign.campaign_id:
        raise control_files.unreadable(path, "it is that of %s" % campaign.campaign_id)
    _loaded.clear()
    _loaded[path] = (stamp, campaign)
    return campaign


def find(settings: Settings, campaign_id: Optional[str] = None) -> Campaign:
    """The campaign of that id, the latest by default. Raises Refusal 'no-campaign'."""
    wanted = campaign_id or _latest_id(settings)
    if wanted is None:
        raise Refusal(
            "no-campaign", "the pod has no campaign", "Start one with `--wf-sweep=start`."
        )
    if not ids.is_id(wanted):
        raise Refusal("no-campaign", "not a campaign id: %r" % wanted)
    try:
        return load(os.path.join(settings.campaigns, wanted))
    except FileNotFoundError:
        raise Refusal(
            "no-campaign",
            "the pod has no campaign %s" % wanted,
            "Start one with `--wf-sweep=start`.",
        ) from None


def latest(settings: Settings) -> Optional[Campaign]:
    """The latest campaign; None where there is none."""
    return find(settings) if _latest_id(settings) is not None else None


def supervisor_of(campaign: Campaign) -> Dict[str, Any]:
    """What the campaign's supervisor says of itself; {} where none has begun."""
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
    return SUPERVISOR_ALIVE if process.is_alive(found) else SUPERVISOR_GONE


def is_supervised(campaign: Campaign) -> bool:
    """Whether the campaign's supervisor is at work."""
    return supervision(campaign) == SUPERVISOR_ALIVE


def _latest_id(settings: Settings) -> Optional[str]:
    path = os.path.join(settings.campaigns, "latest.json")
    found = control_files.read(path, SCHEMA)
    if found is None:
        return None
    campaign_id = found.get("campaign_id")
    if not isinstance(campaign_id, str):
        raise control_files.unreadable(path, "it names no campaign")
    return campaign_id


def _of(body: Any) -> Campaign:
    texts = ("campaign_id", "created_at", "flow_id", "request_id", "git_sha")
    paths = ("manifest_sha256", "manifest_path")
    if not all(isinstance(body[key], str) for key in (*texts, *paths)):
        raise TypeError("a field is of the wrong kind")
    return Campaign(
        dry_run=body["dry_run"] is True,
        settings=Settings(body["settings"]),
        rows=listed(body, "rows", Row.from_json),
        tree=str(body.get("tree") or ""),
        recipe=recipe_in(body),
        plan={str(what): int(number) for what, number in (body.get("plan") or {}).items()},
        **{key: body[key] for key in (*texts, *paths)},
    )
