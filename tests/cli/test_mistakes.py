"""Mistakes of the user exit with 4, refused operations with 1, and both say what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf import __version__
from pytest_wf.cli.context import Context
from pytest_wf.cli.output import fact_lines
from pytest_wf.wire.failures import KINDS
from tests.support.sshd import Sshd


@pytest.fixture(scope="module")
def untouched(new_wf: Callable[..., Any]) -> Any:
    """`wf` in a project whose pod stays as nobody has touched it, but for its agent."""
    return new_wf()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-such-command"], "No such command"),
        (["doctor", "--no-such-option"], "No such option"),
        (["fetch-run"], "Missing argument"),
        (["logs"], "Missing argument"),
        (["fsm-reset", "READY"], 'STATE="READY": no such state. Choose one of INIT, POD_READY'),
        (["doctor", "--wf-config", "other.env"], "another config is refused. Set WF_ALLOW_OVER"),
        (["sweep-start", "--wf-csv", "absent.csv"], "absent.csv: no such file."),
        (["verify", "absent"], "absent: not a flow's folder. Name one of WF_FLOW_EVIDENCE_DIR"),
        (["verify", "flows/sweep.csv"], "flows/sweep.csv: not a flow's folder."),
        (["verify", "flows", "--head", "ABC"], "--head: is not a SHA-256. Give its 64 hex digits"),
        (["verify", "flows", "--public-key", "absent.pub"], "absent.pub: cannot be read: No such"),
        (["verify", "flows", "--public-key", "flows/sweep.csv"], "is not a public key in PEM."),
        (["keygen", "flows/sweep.csv"], "flows/sweep.csv: already exists; nothing was written."),
        (["sweep-csv-template"], "sweep.csv: SWEEP_CSV: already exists. Use --force."),
        (["init"], "flows/workflow.env: wf init: already exists."),
        (["init", "flows/sweep.csv"], "flows/sweep.csv/flows/workflow.env: cannot be written"),
    ],
)
def test_a_mistake_of_the_user_exits_with_4(untouched: Any, words: list[str], said: str) -> None:
    told = untouched(*words)
    assert told.code == 4
    assert said in told.errors
    assert not (untouched.root / "reports").exists()


@pytest.mark.parametrize(
    "command",
    ["doctor", "pod-status", "sweep-start", "logs one", "checklist-reset", "flow", "fetch-all"],
)
def test_without_a_project_around_that_is_said(
    untouched: Any, tmp_path: Path, command: str
) -> None:
    told = untouched(*command.split(), cwd=tmp_path)
    assert told.code == 4
    assert told.problems == [
        f"{tmp_path}: no flows/workflow.env in this directory or any parent. "
        "Go into your project, or run `wf init` to make it one."
    ]
    assert list(tmp_path.iterdir()) == []


def test_every_mistake_of_a_config_is_told_at_once(wf: Any) -> None:
    wf.configure(RUN_RETRIES="many", SWEEP_FORCE="yes", REPOURL="x")
    told = wf("fsm-status")
    assert told.code == 4
    assert len(told.problems) == 3
    assert all(line.startswith("flows/workflow.env:") for line in told.problems)
    assert told.out == ""
    assert not (wf.root / ".wf").exists()


def test_a_broken_csv_hinders_only_what_reads_it(wf: Any) -> None:
    wf.all_good("pod-status")
    (wf.root / "flows" / "sweep.csv").write_text("mid,edit\n")
    assert wf("sweep-start").code == 4
    wf.all_good("sweep-stop", "sweep-csv-template --force")
    assert b"run_id,config,seed" in (wf.root / "flows" / "sweep.csv").read_bytes()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("fetch-run one", "the pod has no campaign."),
        ("fetch-all", "the pod has no campaign."),
        ("sweep-watch", "the pod has no campaign."),
        ("logs one", "neither the campaign nor a directory on the pod has a run 'one'."),
        ("logs -f one", "neither the campaign nor a directory on the pod has a run 'one'."),
        ("logs ../one", "'../one' is not a run id."),
        ("checkout", "is not the config of this controller. Run `wf config-sync`."),
    ],
)
def test_what_a_fresh_pod_cannot_do_is_refused_with_1(
    untouched: Any, command: str, said: str
) -> None:
    told = untouched(*command.split())
    assert told.code == 1
    assert said in told.problems[0]


@pytest.mark.parametrize(
    ("command", "said"),
    [("fetch-run three", "has no row 'three'"), ("logs three", "has a run 'three'")],
)
def test_a_run_that_the_campaign_does_not_have_is_refused(
    swept: Any, command: str, said: str
) -> None:
    told = swept(*command.split())
    assert told.code == 1
    assert said in told.problems[0]
    assert "wf sweep-status" in told.problems[0]


def test_an_illegal_state_names_itself_the_legal_ones_and_the_way_out(wf: Any) -> None:
    wf.all_good("pod-status")
    told = wf("checkout")
    assert told.code == 1
    assert told.problems == [
        "'checkout' needs state BOOTSTRAPPED, CHECKED_OUT, SWEEP_STALLED, SWEEP_COMPLETED or "
        "ARTIFACTS_SYNCED; the pod is in POD_READY. Run `wf bootstrap` first; while a sweep "
        "runs, wait for it or run `wf sweep-stop`."
    ]
    assert "needs state CHECKED_OUT," in wf("sweep-start").problems[0]


def test_something_else_in_the_place_of_a_run_stops_a_start_and_is_named(swept: Any) -> None:
    bad = swept.root / ".wf" / "pod" / "outputs" / "bad"
    record = (bad / "made.json").rename(bad / "moved.json")
    told = swept("sweep-start")
    record.rename(bad / "made.json")
    assert told.code == 1
    assert f"{bad} exists, and pytest-wf did not make it" in told.problems[0]
    assert "give these rows other ids" in told.problems[0]


def test_a_project_that_is_no_git_repository_is_told_so(wf: Any) -> None:
    shutil.rmtree(wf.root / ".git")
    wf.all_good("pod-status", "bootstrap")
    told = wf("checkout")
    assert told.code == 1
    assert "not a git repository" in told.problems[0]
    assert "git init" in told.problems[0]


def test_a_pod_that_somebody_else_holds_is_refused_with_who_and_since_when(
    wf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wf.all_good("pod-status")
    door = Context.open(wf.root)
    try:
        door.session().hold_lease()
        told = wf("bootstrap")
        assert told.code == 1
        for part in (door.id, str(os.getpid()), "since "):
            assert part in told.problems[0], told.problems
        assert wf("fsm-status").code == 0
    finally:
        door.close()
    wf.all_good("bootstrap")


def test_a_host_that_nobody_answers_at_is_told_at_once(wf: Any, tmp_path: Path, sshd: Sshd) -> None:
    wf.configure(
        SSH_IDENTITY_FILE=str(sshd.identity_file),
        OPS_DEFAULT_HOST="nobody@127.0.0.1:1",
        OPS_REMOTE_REPO=str(tmp_path / "repo"),
        OPS_REMOTE_OUTPUTS_DIR=str(tmp_path / "outputs"),
        REMOTE_ENV_PATH=str(tmp_path / "project.env"),
    )
    told = wf("doctor")
    assert told.code == 1
    assert re.search(r"\nproblem  connection +no connection to nobody@127\.0\.0\.1:1", told.out)
    assert re.search(r"\nwaits    torch +not checked: the pod was not reached\n", told.out)


def test_a_secret_that_is_not_exported_is_told_before_the_pod_is_asked(wf: Any) -> None:
    wf.configure(WF_SECRET_ENV="WF_NOBODY_SETS_THIS")
    told = wf("doctor")
    assert told.code == 1
    assert "WF_NOBODY_SETS_THIS is not set" in told.out
    assert told.out.endswith("\n1 problem\n")


def test_doctor_works_without_any_stdin(untouched: Any) -> None:
    program = "from pytest_wf.cli.main import main; main()"
    script = f'exec "{sys.executable}" -c "{program}" doctor --json <&-'
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=untouched.root,
        env=untouched.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert '"ready": true' in done.stdout


def test_a_folder_that_cannot_be_written_to_is_told(wf: Any) -> None:
    wf.all_good("pod-status")
    (wf.root / "reports").write_text("a file in the way\n")
    told = wf("checklist-reset")
    assert told.code == 1
    assert told.problems == [f"{wf.root}/reports: File exists"]


def test_facts_are_shown_for_people_and_nested_ones_set_in() -> None:
    facts = {
        "state": "INIT",
        "empty": [],
        "tools": {"git": "2.39", "tmux": None},
        "disks": [{"path": "/a b", "free": 1}, {"path": "/c", "free": 2}],
        "deep": {"paths": {"HOME": {"exists": False}}, "gpus": [], "log": "a\nb"},
    }
    assert list(fact_lines(facts)) == [
        "deep:",
        "  gpus: none",
        '  log: "a\\nb"',
        "  paths:",
        "    HOME: exists=false",
        "disks:",
        '  - path="/a b" free=1',
        "  - path=/c free=2",
        "empty: none",
        "state: INIT",
        "tools: git=2.39 tmux=none",
    ]


def test_the_version_is_told(untouched: Any) -> None:
    told = untouched("--version")
    assert (told.code, told.out) == (0, f"pytest-wf {__version__}\n")


@pytest.mark.parametrize(
    ("words", "status", "kind", "said"),
    [
        (["sweep-status", "--nope"], 4, "config", "No such option: --nope"),
        (["no-such-command"], 4, "config", "No such command"),
        (["verify", "absent"], 4, "config", "absent: not a flow's folder."),
        (["fsm-reset", "READY"], 4, "config", "no such state"),
        (["fetch-all"], 1, "no-campaign", "no campaign"),
    ],
)
def test_an_error_of_a_json_command_is_a_document_on_stdout(
    untouched: Any, words: list[str], status: int, kind: str, said: str
) -> None:
    done = untouched(*words, "--json")
    error = json.loads(done.out)["error"]
    assert done.code == status
    assert (error["kind"], error["code"]) == (kind, KINDS[kind])
    assert said in error["message"]
    assert said in done.errors
