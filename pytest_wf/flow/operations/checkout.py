"""P50: the repository at the requested commit on the pod, its environment, its data."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.asked_commit import is_asked_of_pod, refuse_other_commit
from pytest_wf.flow.operations.git_bundle import Bundle, bundled
from pytest_wf.flow.operations.git_relay import relayed
from pytest_wf.flow.operations.sweep import status_of
from pytest_wf.flow.readiness.commit_checks import content_elsewhere, hidden_data, left_behind
from pytest_wf.flow.readiness.finding import Finding
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.session import PodSession
from pytest_wf.project.data_contract import DataContract
from pytest_wf.wire import operations
from pytest_wf.wire.remotes import Wanted
from pytest_wf.wire.rows import CampaignStatus, listed

Say = Callable[[str], None]

_MAX_LOG_BYTES = 16 << 20


def checkout(
    session: PodSession,
    *,
    verify: bool = False,
    show: Say | None = None,
    contracts: Sequence[DataContract] = (),
) -> Result:
    """Check out the requested commit; check environment, torch and data contracts.

    With `verify` nothing is changed. If the latest campaign is resumed, its own tree,
    or otherwise the checkout on the pod, must still be at its commit. `contracts` are those
    of hooks.
    """
    session.hold_lease()
    needs = {"contracts": [contract.as_data() for contract in contracts]}
    config = session.config
    warnings: list[Finding] = []

    def has(git_sha: str) -> bool:
        return session.request(operations.HAS_COMMIT, {"sha": git_sha}).get("has") is True

    if verify:
        resuming = session.project.options.sweep == "resume"
        campaign = _campaign(session) if resuming else None
        args = {
            "verify": True,
            "expect_sha": campaign.git_sha if campaign is not None else "",
            # a flow that launches nothing does not need the data
            "data": needs if resuming else {},
            "resolve": campaign is not None and is_asked_of_pod(session),
        }
        facts = _request(session, args, show)
        if campaign is not None:
            refuse_other_commit(session, campaign, facts)
    elif config.repo_url == ".":
        with bundled(session.project.root, has) as bundle:
            _check_pin(config.expect_git_sha, bundle.git_sha)
            facts = _send(session, bundle, needs, show)
        facts["uncommitted_here"] = list(bundle.uncommitted)
        if bundle.left_behind:
            warnings.append(left_behind(bundle.left_behind, bundle.git_sha))
    elif config.checkout_via == "bundle":
        change = "" if config.checkout_pr is None else str(config.checkout_pr)
        asked = Wanted(config.checkout_branch, change, config.expect_git_sha)
        cache = session.project.root / ".wf" / "repositories"
        with relayed(config.repo_url, asked, cache, has) as b:
            facts = _send(session, b, needs, show)
    else:
        facts = _request(session, {"verify": False, "data": needs}, show)
    if not verify:
        warnings += _found_on_pod(config.data_link, facts)
    facts["warnings"] = [finding.sentence for finding in warnings]
    return _result(session, facts)


def _found_on_pod(data_link: str, facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Files that runs may miss in the checkout, after the user's own commands have run."""
    yield from content_elsewhere(listed(facts, "empty_submodules", str), listed(facts, "lfs", str))
    hidden = listed(facts["data_links"], "hidden", str)
    if hidden:
        yield hidden_data(data_link, hidden)


def operation_log(
    session: PodSession, role: str, facts: dict[str, Any]
) -> tuple[ArtifactNote, ...]:
    """The log of a detached operation, as an artifact of the flow.

    The operation's answer has its first part, which is taken out of the `facts`.
    """
    piece = facts.pop("log", None)
    op_id = facts.get("log_op_id")
    if not op_id:
        return ()
    chunks = []
    offset = 0
    while True:
        try:
            piece = piece or session.request(
                operations.LOG, {"op_id": op_id, "offset": offset, "max_bytes": 1 << 20}
            )
        except OperationFailed as e:
            if e.kind != "no-such-run":
                raise
            break  # none of its commands printed anything
        data = base64.b64decode(piece["data"])
        chunks.append(data)
        offset = int(piece["offset"]) + len(data)
        if not data or offset >= int(piece["size"]) or offset > _MAX_LOG_BYTES:
            break
        piece = None
    return (ArtifactNote(role, role + ".log", content=b"".join(chunks)),)


def _result(session: PodSession, facts: dict[str, Any]) -> Result:
    """The facts, with the installation's log and the list of packages as artifacts."""
    artifacts = operation_log(session, "checkout-log", facts)
    span = facts.pop("install_log", None)
    if facts.get("installed") and isinstance(span, list) and artifacts:
        content = (artifacts[0].content or b"")[span[0] : span[1]]
        artifacts += (ArtifactNote("install-log", "install.log", content=content),)
    packages = facts.pop("packages", None)
    if isinstance(packages, list):
        listed = "".join(f"{line}\n" for line in packages).encode()
        artifacts += (ArtifactNote("packages", "pip-freeze.txt", content=listed),)
        facts["packages_count"] = len(packages)
    return Result("checkout", facts, artifacts=artifacts)


def _check_pin(wanted: str, found: str) -> None:
    if wanted and wanted.lower() != found:
        raise OperationFailed(
            "wrong-sha",
            f"EXPECT_GIT_SHA is {wanted}, and this checkout is at {found}.",
            f"Run `git checkout {wanted}` here, or correct EXPECT_GIT_SHA.",
        )


def _send(
    session: PodSession, bundle: Bundle, needs: Mapping[str, Any], show: Say | None
) -> dict[str, Any]:
    control = session.config.ops_remote_outputs_dir + "/_control"
    remote = f"{control}/bundles/{bundle.git_sha}.bundle"
    if bundle.path is not None:
        session.client.upload(remote, str(bundle.path))
    args = {"verify": False, "bundle": remote, "expect_sha": bundle.git_sha, "data": needs}
    return {**_request(session, args, show), "bundle_bytes": bundle.bytes}


def _request(session: PodSession, args: Mapping[str, Any], show: Say | None) -> dict[str, Any]:
    return dict(session.request_to_its_end(operations.CHECKOUT, args, show))


def _campaign(session: PodSession) -> CampaignStatus | None:
    try:
        return status_of(session)
    except OperationFailed as e:
        if e.kind == "no-campaign":
            return None  # P60 reports it, with the remedy
        raise
