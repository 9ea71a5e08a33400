"""Records of pods that the user has declared gone. The sessions are fakes: a pod that is gone for
good cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from pytest_wf.errors import OperationFailed, Unreachable
from pytest_wf.flow.fleet.forgotten import forget, is_forgotten, record_path, refuse_forgotten
from pytest_wf.flow.session import PodSession
from pytest_wf.pods.base import Target
from pytest_wf.pods.patience import Patience
from pytest_wf.wire.assignment import FROZEN, Owner, ShardView

CAMPAIGN = "c-20260102T030405Z-abcdef"


class _Session:
    """A pod with the campaign that it shares, or one that does not answer."""

    def __init__(self, name: str, root: Path, *, answers: bool = True) -> None:
        self.target = Target(transport="ssh", name=f"host-{name}", source="explicit")
        self.patience = Patience()
        self.project = self
        self.root = root
        self._name, self._answers = name, answers

    def state(self) -> dict[str, Any]:
        if not self._answers:
            raise Unreachable("connection refused.")
        return {"campaign_id": CAMPAIGN}

    def request(self, _op: str, args: dict[str, Any]) -> dict[str, Any]:
        owners = {"a": (Owner("pod1", 1), FROZEN), "b": (Owner("pod2", 1), FROZEN)}
        return ShardView(args["campaign_id"], self._name, owners, frozenset()).as_json()


def _sessions(root: Path, *, pod2_answers: bool) -> dict[str, PodSession]:
    found = {"pod1": _Session("pod1", root), "pod2": _Session("pod2", root, answers=pod2_answers)}
    return cast("dict[str, PodSession]", found)


def test_a_silent_pod_is_forgotten_for_the_campaign_that_the_others_have(tmp_path: Path) -> None:
    result = forget(tmp_path, "pod2", _sessions(tmp_path, pod2_answers=False))
    assert (result.facts["campaign_id"], result.facts["rows"]) == (CAMPAIGN, ["b"])
    assert is_forgotten(tmp_path, CAMPAIGN, "pod2")
    assert not is_forgotten(tmp_path, CAMPAIGN, "pod1")
    assert not is_forgotten(tmp_path, CAMPAIGN.replace("abcdef", "000000"), "pod2")


def test_a_pod_that_answers_is_not_forgotten(tmp_path: Path) -> None:
    with pytest.raises(OperationFailed, match=r"pod2 \(host-pod2\) answers: it is not gone"):
        forget(tmp_path, "pod2", _sessions(tmp_path, pod2_answers=True))
    assert not is_forgotten(tmp_path, CAMPAIGN, "pod2")


def test_a_record_that_is_damaged_or_of_another_member_proves_nothing(tmp_path: Path) -> None:
    forget(tmp_path, "pod2", _sessions(tmp_path, pod2_answers=False))
    record = record_path(tmp_path, CAMPAIGN, "pod2")
    record.rename(record_path(tmp_path, CAMPAIGN, "pod1"))
    record.write_text("{")
    assert not is_forgotten(tmp_path, CAMPAIGN, "pod1")
    assert not is_forgotten(tmp_path, CAMPAIGN, "pod2")


def test_a_forgotten_pod_that_comes_back_is_not_resumed(tmp_path: Path) -> None:
    forget(tmp_path, "pod2", _sessions(tmp_path, pod2_answers=False))
    sessions = _sessions(tmp_path, pod2_answers=True)
    refuse_forgotten(sessions["pod1"], "pod1")
    with pytest.raises(OperationFailed, match="declared gone for campaign"):
        refuse_forgotten(sessions["pod2"], "pod2")
