"""Results come home whole, or what was here before stays."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.evidence.fetch_record import LeftOut
from pytest_wf.fetch.fetch import FetchOptions, FetchResult, fetch_runs
from pytest_wf.fetch.local_runs import verified_runs
from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire.files import canonical_json
from tests.support import damage
from tests.support.agent_pod import config_values
from tests.support.streams import PreparedStream

CAMPAIGN = "c-20260102T030405Z-abcdef"
PATTERNS = ("ckpt*.pt", "checkpoints/")
#: Damage to a commit record after which it can be read, or is not there.
KEPT = {"flip_bit", "missing"}


def failing(kind: str) -> Any:
    """Expects an operation to fail with `kind`."""
    return pytest.raises(OperationFailed, check=lambda e: e.kind == kind)


class FakePod:
    """A pod whose runs stand in memory, and which may lie or fall silent."""

    def __init__(self, runs: dict[str, dict[str, bytes]]) -> None:
        self.runs = runs
        self.times: dict[str, int] = {}
        self.asked: list[str] = []
        self.listed: dict[str, Any] | None = None
        #: Cut each stream after so many bytes.
        self.cuts: list[int] = []
        self.mend: Callable[[list[bytes]], list[bytes]] = lambda parts: parts

    def request(
        self, op: str, args: Mapping[str, Any] | None = None, *, timeout_s: float = 60
    ) -> dict[str, Any]:
        assert op == "listing" and args is not None
        if self.listed is not None:
            return self.listed
        return {
            "runs": {
                run_id: {
                    "files": [
                        [p, len(data), self.times.get(p, 1)]
                        for p, data in sorted(self.runs[run_id].items())
                    ]
                }
                for run_id in args["run_ids"]
                if run_id in self.runs
            }
        }

    def archive(self) -> PreparedStream:
        return PreparedStream(is_echo=True)

    def archive_request(self, runs: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> bytes:
        """The answer itself: the stream says what it is told."""
        parts: list[bytes] = []
        asked = [(run_id, str(file[0])) for run_id, files in runs for file in files]
        for run_id, path in asked:
            self.asked.append(path)
            data = self.runs.get(run_id, {}).get(path, b"")
            head = {"run_id": run_id, "paths": [path], "sizes": [len(data)], "modes": [0o644]}
            tail = {"sha256": [hashlib.sha256(data).hexdigest()], "problems": [""]}
            parts += [canonical_json(head) + b"\n", data, canonical_json(tail) + b"\n"]
        parts.append(canonical_json({"end": len(asked)}) + b"\n")
        raw = b"".join(self.mend(parts))
        if self.cuts:
            raw = raw[: self.cuts.pop(0)]
        return raw


def bring(pod: Any, dest: Path, *run_ids: str, **more: Any) -> FetchResult:
    """Fetch `run_ids` of the campaign."""
    known: dict[str, Any] = {"campaign_id": CAMPAIGN, "checkpoint_patterns": PATTERNS}
    return fetch_runs(pod, run_ids or ("a",), FetchOptions(dest, **{**known, **more}))


def tree(folder: Path) -> dict[str, bytes]:
    """All files below `folder`, the commit record left out."""
    return {
        f.relative_to(folder).as_posix(): f.read_bytes()
        for f in sorted(folder.rglob("*"))
        if f.is_file() and f.name != "FETCHED.json"
    }


RUN = {"summary.json": b'{"ok": true}', "attempts/1/stdout.log": b"x" * 1000, "empty": b""}


@pytest.fixture
def real_pod(tmp_path: Path) -> Iterator[tuple[AgentClient, Path]]:
    """A real agent over the local connection, and its outputs directory."""
    outputs = tmp_path / "pod" / "outputs"
    outputs.mkdir(parents=True)
    values = config_values(outputs, tmp_path / "pod")
    connection = LocalConnection(Target("local", "local"))
    client = AgentClient(connection, values)
    yield client, outputs
    client.close()
    connection.close()


def test_all_of_twenty_runs_come_home(real_pod: tuple[AgentClient, Path], tmp_path: Path) -> None:
    client, outputs = real_pod
    names = [f"run-{i:02}" for i in range(20)]
    for number, name in enumerate(names):
        (outputs / name / "attempts" / "1").mkdir(parents=True)
        (outputs / name / "summary.json").write_text(json.dumps({"n": number}))
        (outputs / name / "attempts" / "1" / "stdout.log").write_bytes(os.urandom(100_000))
        (outputs / name / "ckpt.pt").write_bytes(b"weights")
        (outputs / name / "run.sh").write_text("#!/bin/sh\n")
        (outputs / name / "run.sh").chmod(0o755)
    told: list[tuple[int, int]] = []
    result = bring(client, tmp_path / "here", *names, on_bytes=lambda *n: told.append(n))
    assert list(result.runs) == names
    assert all(run.verified for run in result.runs.values())
    assert (result.files, told[-1][0]) == (60, result.bytes)
    assert told[-1][0] == told[-1][1]
    assert verified_runs(tmp_path / "here", CAMPAIGN, digests=True) == set(names)
    for name in names:
        there = {k: v for k, v in tree(outputs / name).items() if k != "ckpt.pt"}
        assert tree(tmp_path / "here" / name) == there
    assert os.access(tmp_path / "here" / names[0] / "run.sh", os.X_OK)
    assert sorted(os.listdir(tmp_path / "here")) == names, "no torso, no journal"


def test_checkpoints_come_when_asked_for(
    real_pod: tuple[AgentClient, Path], tmp_path: Path
) -> None:
    client, outputs = real_pod
    (outputs / "a" / "checkpoints").mkdir(parents=True)
    (outputs / "a" / "checkpoints" / "1.bin").write_bytes(b"weights")
    bring(client, tmp_path / "here", checkpoints=True)
    assert list(tree(tmp_path / "here" / "a")) == ["checkpoints/1.bin"]


def test_the_commit_record_names_every_file(tmp_path: Path) -> None:
    bring(FakePod({"a": RUN}), tmp_path)
    record = json.loads((tmp_path / "a" / "FETCHED.json").read_text())
    assert (record["campaign_id"], record["run_id"], record["whole"]) == (CAMPAIGN, "a", True)
    assert {f["path"]: (f["bytes"], f["sha256"]) for f in record["files"]} == {
        path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in RUN.items()
    }
    assert tree(tmp_path / "a") == RUN


def test_a_run_that_is_not_on_the_pod_is_named_and_the_others_come(tmp_path: Path) -> None:
    runs = bring(FakePod({"a": RUN}), tmp_path, "a", "b").runs
    assert runs["a"].verified
    assert not runs["b"].verified
    assert runs["b"].missing == [LeftOut(".", 0, "the pod has no directory of this run")]
    assert os.listdir(tmp_path) == ["a"]


def test_other_bytes_than_the_pod_read_are_a_digest_failure(tmp_path: Path) -> None:
    pod = FakePod({"a": RUN})
    pod.mend = lambda parts: [p.replace(b"xxxx", b"yyyy") for p in parts]
    with failing("digest") as failed:
        bring(pod, tmp_path)
    assert "attempts/1/stdout.log" in str(failed.value)
    assert not (tmp_path / "a").exists()


def test_a_broken_link_is_gone_on_from_where_it_broke(tmp_path: Path) -> None:
    files = {f"f{i}": os.urandom(500) for i in range(10)}
    pod = FakePod({"a": files})
    pod.cuts = [2000, 1500]
    result = bring(pod, tmp_path)
    assert result.runs["a"].verified
    assert tree(tmp_path / "a") == files
    assert pod.asked.count("f0") == 1, "what had come is not asked for again"


def test_what_came_is_kept_for_the_next_fetch_unless_it_has_changed(tmp_path: Path) -> None:
    files = {f"f{i}": os.urandom(500) for i in range(4)}
    pod = FakePod({"a": files})
    pod.cuts = [2000, 0, 0, 0]
    with pytest.raises(LinkLost):
        bring(pod, tmp_path)
    assert not (tmp_path / "a").exists()
    files["f1"] = os.urandom(500)
    pod.times["f1"] = 2
    (tmp_path / ".a.part" / "f0").write_bytes(b"rotten" + files["f0"][6:])
    pod.asked.clear()
    bring(pod, tmp_path)
    assert tree(tmp_path / "a") == files
    assert pod.asked == ["f0", "f1", "f3"]


def test_a_run_that_stands_here_verified_is_not_sent_again(tmp_path: Path) -> None:
    pod = FakePod({"a": RUN})
    bring(pod, tmp_path)
    pod.asked.clear()
    assert bring(pod, tmp_path).runs["a"].verified
    assert pod.asked == []
    (tmp_path / "a" / "summary.json").write_text('{"ok": fals}')
    bring(pod, tmp_path)
    assert tree(tmp_path / "a") == RUN


def test_a_copy_that_is_replaced_moves_to_the_flow_that_fetched_it(tmp_path: Path) -> None:
    old = {"same": b"s" * 100, "log": b"1"}
    bring(FakePod({"a": old}), tmp_path, campaign_id="c-old", flow_id="f-1")
    bring(FakePod({"a": {"log": b"2"}}), tmp_path, flow_id="f-2")
    bring(FakePod({"a": {"log": b"3"}}), tmp_path, campaign_id="c-old", flow_id="f-3")
    assert tree(tmp_path / "a") == {"log": b"3"}
    assert tree(tmp_path / ".superseded" / "f-1" / "a") == old
    assert tree(tmp_path / ".superseded" / "f-2" / "a") == {"log": b"2"}


def test_a_replaced_copy_shares_what_is_equal_with_the_new_one(tmp_path: Path) -> None:
    pod = FakePod({"a": {"same": b"s" * 100, "log": b"1"}})
    bring(pod, tmp_path, flow_id="f-1")
    pod.runs["a"]["log"], pod.times["log"] = b"2", 2
    bring(pod, tmp_path, flow_id="f-2")
    earlier = tmp_path / ".superseded" / "f-1" / "a"
    assert (earlier / "same").samefile(tmp_path / "a" / "same")
    assert [(earlier / "log").read_bytes(), (tmp_path / "a" / "log").read_bytes()] == [b"1", b"2"]


def test_no_replaced_copy_takes_the_place_of_another(tmp_path: Path) -> None:
    for number in range(3):
        campaign_id = f"c-{number}"
        bring(FakePod({"a": {"n": b"%d" % number}}), tmp_path, campaign_id=campaign_id, flow_id="f")
    kept = [tree(tmp_path / ".superseded" / name / "a")["n"] for name in ("f", "f.2")]
    assert kept == [b"0", b"1"]


def test_what_no_fetch_made_is_never_moved_and_the_other_runs_come(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("notes")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "b").symlink_to("elsewhere")
    (tmp_path / "c").write_text("a file")
    result = bring(FakePod(dict.fromkeys("abcd", RUN)), tmp_path, *"abcd")
    assert [run_id for run_id, run in result.runs.items() if run.verified] == ["d"]
    assert f"{tmp_path / 'a'} exists, and pytest-wf did not make it" in result.runs["a"].problems[0]
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c", "d", "elsewhere"]
    assert (tmp_path / "a" / "mine").read_text() == "notes"


@pytest.mark.parametrize("kind", [kind for kind in damage.KINDS if kind not in KEPT])
def test_a_copy_whose_record_is_damaged_is_kept_whole_beside_the_new_one(
    tmp_path: Path, kind: str
) -> None:
    bring(FakePod({"a": RUN}), tmp_path)
    (tmp_path / "a" / "mine").write_text("notes")
    damage.KINDS[kind](tmp_path / "a" / "FETCHED.json")
    run = bring(FakePod({"a": RUN}), tmp_path).runs["a"]
    kept = tmp_path / ".superseded" / "unknown" / "a"
    assert run.verified
    assert run.damaged == f"{tmp_path}/a/FETCHED.json could not be read; that copy is now {kept}"
    assert (kept / "mine").read_text() == "notes"
    assert tree(tmp_path / "a") == RUN


@pytest.mark.parametrize("name", [".superseded", ".a.part"])
def test_a_folder_of_the_users_is_not_taken_for_one_of_the_fetchs(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").write_text("notes")
    with failing("not-ours"):
        for campaign_id in ("c-1", "c-2"):
            bring(FakePod({"a": RUN}), tmp_path, campaign_id=campaign_id)
    assert (tmp_path / name / "mine").read_text() == "notes"


def test_the_same_campaigns_run_is_replaced_only_by_a_verified_one(tmp_path: Path) -> None:
    pod = FakePod({"a": {"x": b"first"}})
    bring(pod, tmp_path)
    pod.runs["a"] = {"x": b"again"}
    pod.times["x"] = 2
    pod.mend = lambda parts: [
        p.replace(b'"problems":[""]', b'"problems":["changed"]') for p in parts
    ]
    result = bring(pod, tmp_path).runs["a"]
    assert (result.verified, tree(tmp_path / "a")) == (False, {"x": b"first"})
    assert result.missing == [LeftOut("x", 5, "changed")]
    pod.mend = lambda parts: parts
    assert bring(pod, tmp_path).runs["a"].verified
    assert tree(tmp_path / "a") == {"x": b"again"}
    assert sorted(os.listdir(tmp_path)) == [".superseded", "a"]


def test_a_replacement_that_was_broken_off_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(FakePod({"a": {"old": b"1"}}), tmp_path, campaign_id="c-old", flow_id="f-1")
    rename, pod = os.rename, FakePod({"a": RUN})

    def killed(source: Any, target: Any) -> None:
        if Path(target) == tmp_path / "a":
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        bring(pod, tmp_path)
    monkeypatch.undo()
    pod.asked.clear()
    assert bring(pod, tmp_path).runs["a"].verified
    assert (pod.asked, tree(tmp_path / "a")) == ([], RUN)
    assert tree(tmp_path / ".superseded" / "f-1" / "a") == {"old": b"1"}
    assert sorted(os.listdir(tmp_path)) == [".superseded", "a"]


def test_the_copy_of_a_run_that_had_not_ended_gives_way_unless_files_were_added(
    tmp_path: Path,
) -> None:
    pod = FakePod({"a": RUN, "b": RUN})
    bring(pod, tmp_path, "a", "b", unended={"a": "running", "b": "running"})
    (tmp_path / "b" / "notes.txt").write_text("mine")
    bring(pod, tmp_path, "a", "b", flow_id="f-1")
    assert verified_runs(tmp_path, CAMPAIGN) == {"a", "b"}
    assert not (tmp_path / ".superseded" / "unknown" / "a").exists()
    assert (tmp_path / ".superseded" / "unknown" / "b" / "notes.txt").read_text() == "mine"


def test_a_file_that_changed_meanwhile_makes_no_verified_run(tmp_path: Path) -> None:
    pod = FakePod({"a": RUN})
    pod.mend = lambda parts: [
        p.replace(b'"problems":[""]', b'"problems":["changed"]') for p in parts
    ]
    assert not bring(pod, tmp_path).runs["a"].verified
    assert verified_runs(tmp_path, CAMPAIGN) == set()


def test_what_the_pod_cannot_carry_makes_no_verified_run(tmp_path: Path) -> None:
    pod = FakePod({"a": RUN})
    listed = pod.request("listing", {"run_ids": ["a"]})
    listed["runs"]["a"]["odd"] = [["d", 0, "a block device"]]
    pod.listed = listed
    result = bring(pod, tmp_path).runs["a"]
    assert (result.verified, result.left_out) == (False, (LeftOut("d", 0, "a block device"),))


def test_a_file_that_may_not_be_read_is_named_and_not_here_and_not_asked_for_again(
    tmp_path: Path,
) -> None:
    pod = FakePod({"a": {"mine": b"", "x": b"x"}})
    listed = pod.request("listing", {"run_ids": ["a"]})
    listed["runs"]["a"]["files"][0][1] = 5
    pod.listed = listed
    refusal = b'"problems":["cannot be read: Permission denied"]'
    pod.mend = lambda parts: [*parts[:2], parts[2].replace(b'"problems":[""]', refusal), *parts[3:]]
    fetched = bring(pod, tmp_path).runs["a"]
    assert fetched.missing == [LeftOut("mine", 5, "cannot be read: Permission denied")]
    assert tree(tmp_path / "a") == {"x": b"x"}, "an empty file would look like a result"
    assert pod.asked == ["mine", "x"]


def test_links_in_the_part_directory_are_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    dest = tmp_path / "here"
    pod = FakePod({"a": {f"f{i}": b"x" * 300 for i in range(8)}})
    pod.cuts = [1500, 0, 0, 0]
    with pytest.raises(LinkLost):
        bring(pod, dest)
    (dest / ".a.part" / "f7").symlink_to(tmp_path / "elsewhere" / "target")
    bring(pod, dest)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert stat.S_ISREG((dest / "a" / "f7").lstat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_local_disk_is_named_and_old_files_stay_whole(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(small)], check=True)
    try:
        bring(FakePod({"a": {"x": b"old"}}), small)
        pod = FakePod({"a": {"x": os.urandom(1 << 20)}})
        pod.times["x"] = 2
        with failing("local-disk"):
            bring(pod, small)
        assert tree(small / "a") == {"x": b"old"}
        # nodes, not bytes: found only while writing
        crowd = FakePod({"b": {f"f{i}": b"y" * 100 for i in range(80)}})
        with failing("local-disk") as failed:
            bring(crowd, small, "b")
        assert "kept" in failed.value.remedy
        assert tree(small / "a") == {"x": b"old"}
        assert verified_runs(small, CAMPAIGN) == {"a"}
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_verified_runs_notices_what_was_changed_or_removed(tmp_path: Path) -> None:
    bring(FakePod({"a": RUN, "b": RUN, "c": RUN}), tmp_path, "a", "b", "c")
    assert verified_runs(tmp_path, CAMPAIGN) == {"a", "b", "c"}
    assert verified_runs(tmp_path, "c-other") == set()
    (tmp_path / "a" / "empty").unlink()
    (tmp_path / "b" / "summary.json").write_bytes(b'{"ok": fals}')
    assert verified_runs(tmp_path, CAMPAIGN) == {"b", "c"}
    assert verified_runs(tmp_path, CAMPAIGN, digests=True) == {"c"}
    assert verified_runs(tmp_path / "nowhere", CAMPAIGN) == set()
