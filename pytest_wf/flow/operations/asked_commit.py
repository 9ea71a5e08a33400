"""The commit that the config names now, and a campaign that is resumed at its own commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.git_bundle import commit_here, is_same_code, read_here
from pytest_wf.flow.operations.git_relay import commit_of
from pytest_wf.flow.session import PodSession
from pytest_wf.project.project import Project
from pytest_wf.wire.remotes import Wanted
from pytest_wf.wire.rows import CampaignStatus


def is_asked_of_pod(session: PodSession) -> bool:
    """Whether only the pod can look up the commit that the config names."""
    config = session.config
    pinned = config.expect_git_sha or config.repo_url == "." or config.checkout_via == "bundle"
    return not pinned and not session.project.options.campaign


def refuse_other_commit(
    session: PodSession, campaign: CampaignStatus, answer: Mapping[str, Any]
) -> None:
    """Refuse to resume a campaign of another commit, unless `--wf-campaign` names it.

    `answer` is the pod's: ``asked_sha``, or the reason for none in ``asked_why``. If the project is
    inside the repository, a commit that changes only config, CSV and phases counts as the same.
    Raises OperationFailed('wrong-sha').
    """
    project = session.project
    if project.options.campaign:
        return
    try:
        asked = _asked_here(project) or str(answer.get("asked_sha") or "")
        why = str(answer.get("asked_why") or "the pod did not say")
    except OperationFailed as e:
        asked, why = "", e.message
    go_on = f"continue it with `--wf-sweep=resume --wf-campaign={campaign.campaign_id}`"
    its = f"campaign {campaign.campaign_id} is of commit {campaign.git_sha}"
    facts = {"campaign_id": campaign.campaign_id, "campaign_sha": campaign.git_sha, "asked": asked}
    if not asked:
        raise OperationFailed(
            "wrong-sha",
            f"{its}, and the commit that the config asks for now is not known: {why}.",
            f"Correct that, or {go_on}.",
            facts,
        )
    before, now = campaign.git_sha, asked.lower()
    if now == before or is_same_code(project.root, before, now, read_here(project)):
        return
    raise OperationFailed(
        "wrong-sha",
        f"{its}, and the config asks for {asked} now.",
        f"Train that one with `--wf-sweep=start`, or {go_on}.",
        facts,
    )


def _asked_here(project: Project) -> str:
    """The requested commit, if this machine knows it; otherwise ''."""
    config = project.config
    if config.expect_git_sha:
        return config.expect_git_sha
    if config.repo_url == ".":
        return commit_here(project.root)
    if config.checkout_via != "bundle":
        return ""
    change = "" if config.checkout_pr is None else str(config.checkout_pr)
    asked = Wanted(config.checkout_branch, change, "")
    return commit_of(config.repo_url, asked, project.root / ".wf" / "repositories")
