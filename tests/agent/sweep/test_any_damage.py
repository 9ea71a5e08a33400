"""Whatever control file is damaged, and how: each command answers, and a start is possible."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.errors import OperationFailed
from tests.support import damage
from tests.support.sweep_pod import make_row

#: They take a minute where nothing else runs.
pytestmark = [pytest.mark.fault("S1", "S4"), pytest.mark.timeout(1200)]

LOOKS: list[tuple[str, dict[str, Any]]] = [
    ("state", {}),
    ("campaign", {}),
    ("manifest", {}),
    ("inventory", {}),
    ("listing", {"run_ids": ["a", "b"]}),
    ("log", {"run_id": "a", "offset": 0}),
    ("task-list", {}),
    ("probe", {}),
]
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("lease-renew", {}),
    ("ready", {"flow_id": "f"}),
    ("fetch-begin", {}),
    ("fetch-end", {"synced": False}),
    ("campaign-resume", {"flow_id": "f", "secrets": {}}),
    ("campaign-stop", {}),
]
#: What a refusal may be called: it says what is damaged, or what cannot be done for it.
KINDS = {
    *("state-unreadable", "no-campaign", "no-such-run", "config-not-synced", "not-ours"),
    *("run-exists", "run-differs", "illegal-state", "lease-lost"),
}


class Harmed:
    """A pod after a sweep, which can be put back to that moment."""

    def __init__(self, pod: Any, backup: Path) -> None:
        self.pod = pod
        self._backup = backup
        shutil.copytree(pod.outputs, backup, symlinks=True)

    @property
    def files(self) -> list[str]:
        """Every control file, by its path in the outputs directory; copies left out."""
        found = [
            p.relative_to(self._backup).as_posix()
            for p in self._backup.rglob("*.json")
            if "ops" not in p.parts and p.is_file() and not p.is_symlink()
        ]
        csv = next(self._backup.glob("_manifests/sweep-2*.csv"))
        return sorted([*found, csv.relative_to(self._backup).as_posix()])

    def harm(self, name: str, kind: str) -> bool:
        """Put the pod back, and damage one file; whether that kind can be done to it."""
        shutil.rmtree(self.pod.outputs)
        shutil.copytree(self._backup, self.pod.outputs, symlinks=True)
        if kind == "flip_bit" and not name.endswith(".json"):
            return False
        try:
            damage.KINDS[kind](self.pod.outputs / name)
        except StopIteration:
            return False  # it holds no word
        return True

    def answers(self, op: str, args: dict[str, Any]) -> str:
        """The kind of the refusal, '' for an answer."""
        try:
            self.pod.client.request(op, args)
        except OperationFailed as e:
            refused = e
        else:
            return ""
        assert refused.kind in KINDS, f"{op}: {refused.kind}: {refused}"
        assert refused.remedy or refused.facts.get("way_out"), f"{op}: {refused}"
        return refused.kind

    def start(self) -> None:
        """Start a campaign, along the ways that the refusals name."""
        rows = [make_row("a"), make_row("c")]
        try:
            self.pod.start(*rows)
        except OperationFailed as e:
            if e.kind == "config-not-synced":
                self.pod.client.request("config-sync")
            elif e.kind == "run-exists" and "Move them away" not in str(e):
                self.pod.resume()
                self.pod.ended()
            elif e.kind == "run-exists":
                rows[0] = make_row("another")
            self.pod.start(*rows)
        assert all(row["state"] == "success" for row in self.pod.ended()["rows"])

    def digests(self) -> set[str]:
        """What the files below the outputs directory hold."""
        return {
            hashlib.sha256(p.read_bytes()).hexdigest()
            for p in self.pod.outputs.rglob("*")
            if p.is_file()
        }


@pytest.fixture
def harmed(pod: Any, tmp_path: Path) -> Harmed:
    pod.trainer("(out / 'result').write_text(os.environ['RUN_ID'])\nprint('trained')\n")
    pod.run_to_end(make_row("a"), make_row("b"))
    return Harmed(pod, tmp_path / "backup")


def test_every_command_answers_whatever_single_file_is_damaged(harmed: Harmed) -> None:
    assert len(harmed.files) > 15
    for name in harmed.files:
        for kind in damage.KINDS:
            if not harmed.harm(name, kind):
                continue
            refused = {op: harmed.answers(op, args) for op, args in LOOKS}
            assert refused["inventory"] == refused["listing"] == "", (name, kind, refused)
            if kind == "truncate":
                assert harmed.answers("readiness", {"rows": []}) == "", (name, kind)
            for op, args in CHANGES[:4]:
                harmed.answers(op, args)


DECIDING = ("campaign.json", "latest.json", "lease.json", "made.json", "workflow_state.json")


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(["truncate"], id="truncated"),
        pytest.param(list(damage.KINDS), id="each", marks=pytest.mark.long),
    ],
)
def test_a_start_is_possible_and_loses_nothing_whatever_single_file_is_damaged(
    harmed: Harmed, kinds: list[str]
) -> None:
    for name in harmed.files:
        for kind in kinds:
            if not harmed.harm(name, kind):
                continue
            harmed.pod.take_lease()
            before = harmed.digests()
            kept = {
                hashlib.sha256(path.read_bytes()).hexdigest()
                for run_id in "ab"
                for path in (harmed.pod.outputs / run_id / "out").iterdir()
            }
            at = harmed.pod.outputs / name
            if at.name in DECIDING and at.is_file() and not at.is_symlink() and "/" in name:
                kept.add(hashlib.sha256(at.read_bytes()).hexdigest())
            assert kept <= before

            harmed.start()

            assert kept <= harmed.digests(), (name, kind)
