"""A campaign runs the files of its own commit, whatever is checked out later."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.errors import OperationFailed
from tests.support.sweep_pod import make_row


class Code:
    """The pod's repository as a checkout leaves it."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.git("init", "-q", "-b", "main")
        (repo / ".git" / "info" / "exclude").write_text("/.venv\n")

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        argv = ["git", "-C", str(self.repo), *identity, *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> str:
        """Commit everything but the environment; the commit's id."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "Change")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def code(pod: Any) -> Code:
    """The pod's repository, with the trainer of the fixture `pod` committed."""
    found = Code(pod.repo)
    found.commit()
    return found


def test_a_later_checkout_does_not_change_the_code_under_a_queued_row(pod: Any, code: Code) -> None:
    gate = pod.outputs.parent / "gate"
    pod.trainer(
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
        "print('the first version of', os.environ['RUN_ID'], os.getcwd())\n"
    )
    sha = code.commit()
    started = pod.start(make_row("a"), make_row("b"), git_sha=sha)
    pod.wait_for_file("a/stdout.log")
    pod.trainer("print('the second version')\n")
    code.commit()
    gate.touch()

    rows = {r["run_id"]: r for r in pod.ended()["rows"]}

    assert {r["state"] for r in rows.values()} == {"success"}
    for run_id in ("a", "b"):
        assert f"the first version of {run_id} {started['tree']}/train" in pod.log(run_id)
    assert started["tree"] == f"{pod.repo}/.wf-trees/{started['campaign_id']}"
    assert code.git("status", "--porcelain") == ""


def test_a_resume_runs_the_campaigns_commit_not_what_is_checked_out(pod: Any, code: Code) -> None:
    pod.trainer("print('first')\nsys.exit(os.path.exists(out / 'bad') or 1)\n")
    sha = code.commit()
    started = pod.start(make_row("a"), git_sha=sha)
    pod.ended()
    pod.trainer("print('second')\n")
    code.commit()
    subprocess.run(["rm", "-r", started["tree"]], check=True)

    pod.resume()

    assert pod.ended()["rows"][0]["state"] == "failed"
    assert "first" in pod.log("a")
    assert "second" not in pod.log("a")


def test_what_git_does_not_track_is_found_from_the_tree(pod: Any, code: Code) -> None:
    (pod.repo / "train" / "data").mkdir()
    (pod.repo / "train" / "data" / "tokens.bin").write_bytes(b"tokens")
    (pod.repo / "notes.txt").write_text("beside tracked files")
    pod.trainer(
        "print(open('data/tokens.bin').read(), open('../notes.txt').read())\n"
        "print(os.path.exists('../.venv/bin/python'), os.environ['OPS_REMOTE_REPO'])\n"
    )
    code.git("add", "train/train.py")
    code.git("commit", "-q", "-m", "Train on what is there")
    started = pod.start(make_row("a"), git_sha=code.git("rev-parse", "HEAD"))
    pod.ended()

    assert "tokens beside tracked files" in pod.log("a")
    assert f"True {started['tree']}" in pod.log("a")
    tracked = code.git("ls-files", "-z").rstrip("\0").split("\0")
    tops = {name.split("/")[0] for name in (*tracked, "notes.txt", ".venv", ".git")}
    assert {entry.name for entry in Path(started["tree"]).iterdir()} <= tops


def test_a_submodule_that_was_fetched_is_found_from_the_tree(pod: Any, code: Code) -> None:
    head = code.git("rev-parse", "HEAD")
    (pod.repo / ".gitmodules").write_text('[submodule "x"]\n\tpath = libs/x\n\turl = ../x\n')
    code.git("update-index", "--add", "--cacheinfo", f"160000,{head},libs/x")
    pod.trainer("print(open('../libs/x/code.py').read())\n")
    (pod.repo / "libs" / "x").mkdir(parents=True)
    sha = code.commit()
    code.git("clone", "-q", str(pod.repo), str(pod.repo / "libs" / "x"))
    (pod.repo / "libs" / "x" / "code.py").write_text("fetched code")
    started = pod.start(make_row("a"), git_sha=sha)

    assert pod.ended()["rows"][0]["state"] == "success"

    assert "fetched code" in pod.log("a")
    status = ["git", "-C", started["tree"], "status", "--porcelain", "--untracked-files=no"]
    assert subprocess.run(status, check=True, capture_output=True, text=True).stdout == ""


def test_no_hook_and_no_filter_runs_for_the_tree(pod: Any, code: Code) -> None:
    canary = pod.outputs.parent / "canary"
    (pod.repo / ".gitattributes").write_text("*.py filter=evil\n")
    sha = code.commit()
    code.git("config", "filter.evil.smudge", f"touch {canary}; cat")
    hook = pod.repo / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
    hook.chmod(0o755)

    rows = pod.run_to_end(make_row("a"), git_sha=sha)

    assert rows["a"]["state"] == "success"
    assert not canary.exists()


def test_a_tree_that_was_changed_is_not_resumed(pod: Any, code: Code) -> None:
    pod.trainer("sys.exit(1)\n")
    started = pod.start(make_row("a"), git_sha=code.commit())
    pod.ended()
    (Path(started["tree"]) / "train" / "train.py").write_text("print('tampered with')\n")

    with pytest.raises(OperationFailed, match=r"train/train\.py") as refused:
        pod.resume()

    assert refused.value.kind == "dirty-checkout"


def test_a_commit_that_is_not_there_starts_nothing(pod: Any, code: Code) -> None:
    with pytest.raises(OperationFailed, match=r"commit aaaa.* is not in") as refused:
        pod.start(make_row("a"), git_sha="a" * 40)

    assert refused.value.kind == "launch"
    assert pod.client.request("state")["state"] == "CHECKED_OUT"
    assert pod.client.request("state")["campaign_id"] is None


def test_no_tree_is_made_where_somebody_elses_files_are(pod: Any, code: Code) -> None:
    pod.trainer("pass\n")
    sha = code.commit()
    theirs = pod.repo / ".wf-trees" / "notes"
    theirs.parent.mkdir()
    theirs.write_text("mine")

    with pytest.raises(OperationFailed, match="pytest-wf did not make it") as refused:
        pod.start(make_row("a"), git_sha=sha)

    assert refused.value.kind == "not-ours"
    assert theirs.read_text() == "mine"


def test_trees_go_when_the_pod_is_deleted(pod: Any, code: Code) -> None:
    precious = pod.repo / "data"
    precious.mkdir()
    (precious / "tokens.bin").touch()
    started = pod.start(make_row("a"), git_sha=code.git("rev-parse", "HEAD"))
    pod.ended()

    pod.client.request("delete", {"flow_id": "f-1"})

    assert not Path(started["tree"]).exists()
    assert not (pod.repo / ".wf-trees").exists()
    assert (precious / "tokens.bin").exists()


def test_a_tree_goes_when_its_campaign_is_over_and_its_runs_are_archived(
    pod: Any, code: Code
) -> None:
    sha = code.git("rev-parse", "HEAD")
    first = pod.start(make_row("a"), make_row("kept"), git_sha=sha)
    assert {r["state"] for r in pod.ended()["rows"]} == {"success"}

    second = pod.start(make_row("a"), make_row("b"), git_sha=sha, force=True)
    pod.ended()
    assert second["trees_removed"] == [], "its run `kept` stands"

    (pod.outputs / "kept").rename(pod.outputs.parent / "elsewhere")
    third = pod.start(make_row("a"), make_row("b"), git_sha=sha, force=True)
    assert set(third["trees_removed"]) == {first["campaign_id"], second["campaign_id"]}
    assert {r["state"] for r in pod.ended()["rows"]} == {"success"}
    assert not Path(first["tree"]).exists()
    assert Path(third["tree"], "train", "train.py").exists()
    assert Path(pod.repo, ".venv", "bin", "python").exists(), "links are not followed"
    listed = code.git("worktree", "list", "--porcelain")
    assert first["campaign_id"] not in listed
    assert third["campaign_id"] in listed


@pytest.mark.parametrize("name", ["train/train.py", "train/best.pt", "train/out/best.pt"])
def test_a_tree_that_holds_something_of_its_own_stays(pod: Any, code: Code, name: str) -> None:
    sha = code.git("rev-parse", "HEAD")
    first = pod.start(make_row("a"), git_sha=sha)
    pod.ended()
    mine = Path(first["tree"], name)
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("written by hand, or by a trainer")

    second = pod.start(make_row("a"), git_sha=sha, force=True)

    assert second["trees_removed"] == []
    assert mine.read_text() == "written by hand, or by a trainer"


def test_a_tree_that_somebody_works_in_stays(pod: Any, code: Code) -> None:
    sha = code.git("rev-parse", "HEAD")
    first = pod.start(make_row("a"), git_sha=sha)
    pod.ended()

    with subprocess.Popen(["cat"], cwd=f"{first['tree']}/train", stdin=subprocess.PIPE) as someone:
        second = pod.start(make_row("a"), git_sha=sha, force=True)
        someone.communicate()

    assert second["trees_removed"] == []
    assert Path(first["tree"], "train", "train.py").exists()
