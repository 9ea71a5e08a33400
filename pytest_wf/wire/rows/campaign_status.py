"""The status of a campaign."""

from typing import Any, Dict, List, NamedTuple, Optional

from pytest_wf.wire.rows.fields import NONE, Malformed, field_in, listed, text_in
from pytest_wf.wire.rows.row_status import RowStatus
from pytest_wf.wire.states import SUPERVISOR_STATES, count


class CampaignStatus(NamedTuple):
    """The status of a campaign: its supervisor, its rows, the state of its pod."""

    campaign_id: str
    created_at: str
    flow_id: str
    git_sha: str
    dry_run: bool
    manifest_sha256: str
    #: One of the states of supervisors in `wire.states`.
    supervisor: str
    #: The pod's FSM state, and the reason for it or what the next row waits for.
    state: str
    reason: str
    #: The command that shows the live log; None if attaching is not possible.
    attach: Optional[str]
    #: In the order of the manifest.
    rows: List[RowStatus]
    #: Whether the user has stopped it and it has not been resumed since.
    stopped: bool = False
    #: The ceiling on costs that is reached, so that no further row begins; '' for none.
    ceiling: str = ""
    #: Identifies the version of all fields above: another one means news.
    seen: str = ""
    #: The version since which `rows` have changed; '' if they are all rows.
    since: str = ""
    #: The pod's time; a new time alone is not news.
    now: str = ""

    @property
    def failed(self) -> int:
        """How many rows ended badly."""
        return self.counts()["failed"]

    @property
    def in_progress(self) -> int:
        """How many rows have begun and not ended."""
        return self.counts()["in_progress"]

    @property
    def open(self) -> int:
        """How many rows have not ended, as far as is known."""
        counts = self.counts()
        return counts["in_progress"] + counts["missing_dir"]

    def counts(self) -> Dict[str, int]:
        """The figures of one status line."""
        return count(row.state for row in self.rows)

    @classmethod
    def from_json(cls, value: Any) -> "CampaignStatus":
        """The status in a JSON object."""
        rows = listed(value, "rows", RowStatus.from_json)
        texts = (
            "created_at",
            "flow_id",
            "git_sha",
            "manifest_sha256",
            "reason",
            "ceiling",
            "seen",
            "since",
            "now",
        )
        supervisor = field_in(value, "supervisor", str)
        if supervisor not in SUPERVISOR_STATES:
            raise Malformed("no supervisor is %.200r" % (supervisor,))
        return cls(
            campaign_id=field_in(value, "campaign_id", str),
            supervisor=supervisor,
            state=field_in(value, "state", str),
            attach=field_in(value, "attach", str, NONE),
            dry_run=field_in(value, "dry_run", bool),
            rows=rows,
            stopped=field_in(value, "stopped", bool, NONE) or False,
            **{key: text_in(value, key) for key in texts},
        )

    def as_json(self) -> Dict[str, Any]:
        """The status as `from_json` reads it, with its counts."""
        return dict(self._asdict(), rows=[row.as_json() for row in self.rows], **self.counts())
