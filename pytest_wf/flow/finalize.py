"""Signs a flow's start and closes its folder: provenance, last event, summary, signature."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_wf.errors import OperationFailed
from pytest_wf.evidence import chain
from pytest_wf.evidence.records import FlowEnd, FlowSummary, Views
from pytest_wf.evidence.times import rfc3339
from pytest_wf.flow.provenance import statement_of
from pytest_wf.flow.secrets import signing_key_of
from pytest_wf.wire import operations
from pytest_wf.wire.files import sha256_file

if TYPE_CHECKING:
    from pytest_wf.evidence.signing import SigningKey
    from pytest_wf.evidence.views import Kind
    from pytest_wf.flow.session import PodSession
    from pytest_wf.flow.state import FlowState

#: For so many seconds after an answer, a pod is not doubted.
_RECENTLY_S = 5.0


def sign_start(flow: FlowState, key: SigningKey) -> None:
    """Sign the start record, so that a killed flow can be verified, too."""
    from pytest_wf.evidence.dsse import START_TYPE

    raw = (flow.store.dir / chain.START).read_bytes()
    flow.store.write_envelope(chain.START_SIGNATURE, key.sign(raw, START_TYPE))


def close_folder(
    flow: FlowState, summary: FlowSummary, end: FlowEnd, event: int, key: SigningKey | None
) -> Path:
    """Write the last files, each of which covers the earlier ones.

    `event` is the number of the flow's own intent. Later effects (a copy of the summary on
    the pod, the end of the lease) can no longer be logged; the last event lists them. Raises
    OSError and OperationFailed: a flow that cannot be closed is not ok.
    """
    store = flow.store
    signer = key.signer if key else None
    statement = statement_of(flow, signer)
    if statement is not None:
        raw = store.write_provenance(statement)
        if key is not None:
            from pytest_wf.evidence.dsse import IN_TOTO

            store.write_envelope(chain.PROVENANCE_SIGNATURE, key.sign(raw, IN_TOTO))
    facts = {
        "ok": summary.ok,
        "end": end.model_dump(mode="json"),
        "chain_head": store.head,
        "unlogged_effects": ["a copy of the summary on the pod", operations.LEASE_DROP],
    }
    store.events.answer(event, "flow", "ok" if summary.ok else "failed", facts)
    if store.events.trouble:
        raise OperationFailed("local-disk", f"an event is missing: {store.events.trouble}.")
    path = store.write_summary(summary, signer)
    if key is not None:
        from pytest_wf.evidence.dsse import SUMMARY_TYPE

        store.write_envelope(chain.SIGNATURE, key.sign(path.read_bytes(), SUMMARY_TYPE))
    return path


def close_views(
    flow: FlowState, drawn: Sequence[tuple[Kind, Path]], key: SigningKey | None
) -> list[str]:
    """Write the record of the flow's views, signed like the summary.

    Returns a line for each file that could not be recorded. Raises OSError.
    """
    from pytest_wf.evidence.views import views_of

    store = flow.store
    views, wrong = views_of(flow.flow_id, flow.project.root, drawn)
    path = store.write_views(
        Views(
            flow_id=flow.flow_id,
            summary_sha256=sha256_file(str(store.dir / chain.SUMMARY)),
            written_at=rfc3339(datetime.now(timezone.utc)),
            views=views,
            signed_by=key.signer if key else None,
        )
    )
    if key is not None:
        from pytest_wf.evidence.dsse import VIEWS_TYPE

        store.write_envelope(chain.VIEWS_SIGNATURE, key.sign(path.read_bytes(), VIEWS_TYPE))
    return wrong


def leave_pod(flow: FlowState, session: PodSession, path: Path) -> None:
    """Close the session, and leave a copy of the summary on the pod; print a line if that fails.

    A pod that has just answered need not prove again that it is there.
    """
    if not session.is_open or flow.binding.is_deleted:
        session.close()
        return
    if session.patience.unheard_s > _RECENTLY_S:
        session.patience.doubt()  # no signal interrupts this wait
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    why = session.close({"name": f"_manifests/flow-{flow.flow_id}.json", "data": data})
    if why:
        flow.say(f"the pod may have no copy of the summary: {why}")


def late_key(flow: FlowState, summary: FlowSummary) -> SigningKey | None:
    """The key of a flow that ended before P00 read it; only a failed flow may have none."""
    try:
        return signing_key_of(flow.project)
    except OperationFailed as e:
        if summary.ok:
            raise
        flow.say(f"the summary is not signed: {e.message}")
        return None
