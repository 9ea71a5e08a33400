"""Every `wf` command, run for real: what it does, prints and exits with."""

from __future__ import annotations

import json
import re
import signal
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.flow.header import header_lines

HEADER = [line.partition("=")[0] for line in header_lines(None, mode="", flow_id="")]
COUNTS = (
    r"total=(\d+) ok=(\d+) failed=(\d+) in_progress=(\d+)"
    r" missing_dir=(\d+) parse_error=(\d+) not_selected=(\d+)"
)

#: The whole life of a pod by hand, and the state in which each command leaves it.
LIFE = [
    ("config-sync", "INIT"),
    ("doctor", "INIT"),
    ("pod-status", "POD_READY"),
    ("bootstrap", "BOOTSTRAPPED"),
    ("checkout", "CHECKED_OUT"),
    ("sweep-start", None),
    ("sweep-watch", "SWEEP_COMPLETED"),
    ("sweep-status", "SWEEP_COMPLETED"),
    ("fetch-run one", "SWEEP_COMPLETED"),
    ("fetch-all", "ARTIFACTS_SYNCED"),
    ("sweep-stop", "ARTIFACTS_SYNCED"),
    ("pod-delete", "POD_TERMINATED"),
]


def heading(text: str) -> dict[str, str]:
    """The header at the beginning of `text`."""
    pairs = [line.partition("=")[::2] for line in text.splitlines()[: len(HEADER)]]
    assert [key for key, _ in pairs] == HEADER, text
    return dict(pairs)


def _state(wf: Any) -> str:
    """The pod's state, as its own record has it."""
    record = wf.root / ".wf" / "pod" / "outputs" / "_control" / "workflow_state.json"
    return str(json.loads(record.read_text())["state"]) if record.exists() else "INIT"


def tree(*folders: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything below `folders`, with times and content."""
    found = {}
    for folder in folders:
        for path in [folder, *sorted(folder.rglob("*"))]:
            info = path.lstat()
            raw = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path)] = (info.st_mode, info.st_ino, info.st_mtime_ns, raw)
    return found


def test_the_life_of_a_pod_by_hand(wf: Any) -> None:
    states = []
    for command, _ in LIFE:
        told = wf(*command.split())
        assert told.code == 0, f"wf {command}: {told}"
        assert heading(told.out)["mode"] == "primitive", command
        states.append(_state(wf))
    wanted = [state for _, state in LIFE]
    # between two commands a sweep may end
    assert [s if w else None for s, w in zip(states, wanted, strict=True)] == wanted
    for run_id in ("one", "two"):
        assert (wf.root / "reports" / "runs" / run_id / "summary.json").is_file()
    history = wf("fsm-status", "--json").document["history"]
    assert [step["command"] for step in history if not step["flow_id"].startswith("p-")] == []
    left = [path.name for path in (wf.root / ".wf" / "pod").iterdir()]
    assert "repo" not in left


@pytest.mark.parametrize(
    "command",
    [
        "doctor",
        "sweep-status",
        "fsm-status",
        "checklist-status",
        "checklist-reset",
        "config-sync",
        "pod-status",
    ],
)
def test_with_json_stdout_is_one_document_and_the_header_goes_to_stderr(
    swept: Any, command: str
) -> None:
    told = swept(*command.split(), "--json")
    assert isinstance(json.loads(told.out), dict)
    assert told.out.count("\n") == 1
    assert heading(told.errors)["mode"] == "primitive"


def test_the_header_names_config_target_and_state_file(swept: Any) -> None:
    shown = heading(swept("checklist-status").out)
    assert shown["WF_CONSTITUTION_VERSION"] == "1"
    assert shown["active_config_path"] == str(swept.root / "flows" / "workflow.env")
    assert re.fullmatch(r"[0-9a-f]{64}", shown["active_config_sha256"])
    assert (shown["override_enabled"], shown["target_source"]) == ("0", "explicit")
    assert (shown["resolved_target"], shown["transport"]) == ("local", "local")
    assert shown["fsm_state_file"].endswith("/outputs/_control/workflow_state.json")
    assert re.fullmatch(r"p-\d{8}T\d{6}Z-[0-9a-f]{6}", shown["flow_id"])


def test_a_command_works_from_a_folder_within_the_project(swept: Any) -> None:
    told = swept("fsm-status", "--json", cwd=swept.root / "train")
    assert told.document["state"] == "SWEEP_COMPLETED"


def test_checkout_warns_of_what_is_not_committed_and_so_does_not_travel(wf: Any) -> None:
    wf.configure(RUN_RETRIES="0")  # read here, so nothing of it is lost
    wf.all_good("pod-status", "bootstrap")
    trainer = wf.root / "train" / "train.py"
    trainer.write_text(trainer.read_text() + "# better\n")
    told = wf("checkout", "--json").document
    (warning,) = told["warnings"]
    assert warning.startswith("changed here and not committed: train/train.py. ")
    assert told["uncommitted_here"] == ["flows/workflow.env", "train/train.py"]
    assert told["git_sha"][:12] in warning


# ---- sweep -----------------------------------------------------------------------------------


def test_sweep_status_ends_with_one_line_of_counts_behind_the_rows(swept: Any) -> None:
    head, *rows, _best, campaign, counts = swept("sweep-status").out.splitlines()[len(HEADER) :]
    counted = re.fullmatch(COUNTS, counts)
    assert counted is not None, counts
    assert [int(n) for n in counted.groups()] == [2, 1, 1, 0, 0, 0, 0]
    assert re.fullmatch(
        r"campaign=c-\S+ state=SWEEP_COMPLETED supervisor=ended \(.*ended\)", campaign
    )
    assert head.split()[:2] == ["row", "state"]
    assert re.match(r"[* ] one +success ", rows[0]), rows
    assert re.match(r"  bad +failed user +.*\S", rows[1]), rows


def test_sweep_status_as_json_has_the_same_counts(swept: Any) -> None:
    status = swept("sweep-status", "--json").document
    assert (status["total"], status["ok"], status["failed"]) == (2, 1, 1)
    assert (status["in_progress"], status["missing_dir"], status["parse_error"]) == (0, 0, 0)
    assert [row["state"] for row in status["rows"]] == ["success", "failed"]


@pytest.mark.long
def test_sweep_status_counts_a_directory_that_is_gone_and_a_record_that_is_damaged(
    new_wf: Callable[..., Any],
) -> None:
    wf = new_wf()
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start", "sweep-watch")
    outputs = wf.root / ".wf" / "pod" / "outputs"
    (outputs / "one").rename(outputs / "elsewhere")
    (outputs / "two" / "summary.json").write_text('{"ok": tr')
    told = wf("sweep-status")
    assert told.code == 0
    counts = "total=2 ok=0 failed=0 in_progress=0 missing_dir=1 parse_error=1 not_selected=0"
    assert f"\n{counts}\n" in told.out
    watched = wf("sweep-watch")
    assert "rows done" in watched.errors
    assert watched.code == 1, watched


def test_sweep_status_without_a_campaign_says_so(wf: Any) -> None:
    assert "no campaign on the pod" in wf("sweep-status").out
    assert wf("sweep-status", "--json").document["campaign_id"] is None


def test_sweep_watch_waits_for_the_end_and_sweep_stop_brings_it(
    new_wf: Callable[..., Any], tmp_path: Path
) -> None:
    wf = new_wf(rows=(f"long,default.py,1,wait_for={tmp_path}/never,", "next,default.py,1,,"))
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start")
    with wf.start("logs", "-f", "long") as log, wf.start("sweep-watch") as watch:
        assert "training long" in log.stdout.readline()
        stopped = wf("sweep-stop", "--json").document
        assert stopped["stopped"] is True
        assert log.wait(timeout=120) == 0, log.stderr.read()
        assert watch.wait(timeout=120) == 1
    status = wf("sweep-status", "--json").document
    assert status["state"] == "SWEEP_STALLED"
    assert (status["reason"], status["stopped"]) == ("stopped by the user", True)
    assert status["supervisor"] == "ended"
    assert "success" not in [row["state"] for row in status["rows"]]
    assert wf("sweep-watch").code == 1


def test_ctrl_c_ends_a_watch_and_leaves_the_sweep_alone(
    new_wf: Callable[..., Any], tmp_path: Path
) -> None:
    wf = new_wf(rows=(f"one,default.py,1,wait_for={tmp_path}/never,",))
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start")
    with wf.start("sweep-watch") as watch:
        for _ in HEADER:
            watch.stdout.readline()
        assert any("rows done" in line for line in watch.stderr), "it watches"
        watch.send_signal(signal.SIGINT)
        rest, errors = watch.communicate(timeout=120)
    assert watch.returncode == 130, errors
    assert rest == ""
    assert errors.endswith("ERROR: interrupted. A sweep or a task on a pod continues.\n")
    assert "Traceback" not in errors
    assert wf("sweep-status", "--json").document["state"] == "SWEEP_RUNNING"


@pytest.mark.long
def test_one_run_can_be_fetched_alone(new_wf: Callable[..., Any]) -> None:
    wf = new_wf()
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start", "sweep-watch")
    fetched = wf("fetch-run", "two", "--json").document
    assert fetched["verified"] is True
    assert fetched["synced"] is False
    assert [path.name for path in (wf.root / "reports" / "runs").iterdir()] == ["two"]


# ---- logs ------------------------------------------------------------------------------------


def test_logs_copies_the_log_to_stdout_and_nothing_else(swept: Any) -> None:
    told = swept("logs", "one")
    assert told.code == 0
    assert told.out == (swept.root / ".wf/pod/outputs/one/stdout.log").read_text()
    assert heading(told.errors)["mode"] == "primitive"


def test_logs_f_of_a_run_that_has_ended_ends(swept: Any) -> None:
    assert swept("logs", "-f", "bad").out == swept("logs", "bad").out


@pytest.mark.long
def test_logs_f_goes_on_until_the_run_has_ended(new_wf: Callable[..., Any], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wf = new_wf(rows=(f"one,default.py,1,wait_for={gate},",))
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start")
    with wf.start("logs", "--follow", "one") as log:
        assert "training one" in log.stdout.readline()
        gate.touch()
        rest, errors = log.communicate(timeout=120)
    assert log.returncode == 0, errors
    assert rest.splitlines()[-1].endswith("step 2: train loss 1.0000, val loss 1.0000")


@pytest.mark.long
def test_logs_f_follows_a_run_from_one_attempt_to_the_next(
    new_wf: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    trainer = (
        "import os, sys, time\n"
        f"gate = {str(gate)!r}\n"
        "first = not os.path.exists(gate)\n"
        "print('caf\\u00e9' * 5 + (' first' if first else ' second'), flush=True)\n"
        "while not os.path.exists(gate):\n"
        "    time.sleep(0.02)\n"
        "sys.exit(first)\n"
    )
    wf = new_wf(
        rows=("one,default.py,1,,",),
        config={"RUN_RETRIES": "1", "RUN_RETRY_ON": "user"},
        trainer=trainer,
    )
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start")
    with wf.start("logs", "-f", "one") as log:
        assert log.stdout.readline().split()[1:] == ["café" * 5, "first"]
        gate.touch()
        rest, errors = log.communicate(timeout=120)
    assert log.returncode == 0, errors
    assert rest.split()[1:] == ["café" * 5, "second"]
    assert wf("logs", "one").out == rest


def test_a_log_can_be_shown_where_letters_are_missing(swept: Any) -> None:
    told = swept("logs", "one", env={"PYTHONIOENCODING": "ascii"})
    assert told.code == 0


def test_a_reader_who_leaves_early_is_no_trouble(swept: Any) -> None:
    with swept.start("logs", "one") as log:
        log.stdout.close()
        _, errors = log.communicate(timeout=120)
    assert "Traceback" not in errors


# ---- state -----------------------------------------------------------------------------------


def test_fsm_reset_is_recorded_as_manual(wf: Any) -> None:
    wf.all_good("pod-status", "fsm-reset CHECKED_OUT")
    state = wf("fsm-status", "--json").document
    assert state["state"] == "CHECKED_OUT"
    assert state["previous_state"] == "POD_READY"
    assert state["reason"] == "manual: set by hand with wf fsm-reset"
    wf.all_good("fsm-reset")
    assert wf("fsm-status", "--json").document["state"] == "INIT"


@pytest.mark.long
def test_fsm_reset_mends_a_state_file_that_cannot_be_read(wf: Any) -> None:
    wf.all_good("pod-status")
    state_file = wf.root / ".wf/pod/outputs/_control/workflow_state.json"
    for name in ("workflow_state.json", "workflow_state.json.copy"):
        state_file.with_name(name).write_text('{"state": "POD_')
    told = wf("fsm-status")
    assert told.code == 1
    assert "workflow_state.json" in told.problems[0]
    wf.all_good("fsm-reset POD_READY")
    assert wf("fsm-status", "--json").document["state"] == "POD_READY"


def test_the_checklist_of_the_last_flow_is_shown_and_unticked(wf: Any) -> None:
    wf.configure(WF_CHECKLIST_RESET_ON_END="0")
    assert wf("flow", "--wf-sweep=skip").code == 0
    told = wf("checklist-status", "--json").document
    assert len(told["done"]) == 11
    assert told["flow_id"].startswith("f-")
    assert any("flow ended: ok" in event for event in told["events"])
    assert wf("checklist-reset", "--json").document["done"] == []
    assert wf("checklist-status", "--json").document["open"][0] == "P00"


# ---- delete ----------------------------------------------------------------------------------


def test_a_pod_is_not_deleted_while_results_are_not_here(swept: Any) -> None:
    before = tree(swept.root / ".wf" / "pod" / "outputs" / "one")
    told = swept("pod-delete")
    assert told.code == 1
    assert "results on local are not here and verified: bad (" in told.problems[0]
    assert "wf fetch-all" in told.problems[0]
    assert tree(swept.root / ".wf" / "pod" / "outputs" / "one") == before


@pytest.mark.long
def test_a_pod_is_not_deleted_while_its_sweep_runs_unless_forced(
    new_wf: Callable[..., Any], tmp_path: Path
) -> None:
    wf = new_wf(
        rows=(f"one,default.py,1,wait_for={tmp_path}/never,",),
        config={"WF_DELETE_UNFETCHED": "1"},
    )
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start")
    told = wf("pod-delete")
    assert told.code == 1
    for part in ("'pod-delete' needs state INIT,", "the pod is in SWEEP_RUNNING", "wf sweep-stop"):
        assert part in told.problems[0]
    wf.all_good("pod-delete --force")
    assert wf("fsm-status", "--json").document["state"] == "POD_TERMINATED"


# ---- doctor, verify, flow --------------------------------------------------------------------


def test_doctor_changes_nothing_on_a_pod_that_nobody_has_touched(wf: Any) -> None:
    folders = (wf.root, Path(wf.environ["HOME"]))
    before = tree(*folders)
    told = wf("doctor", "--json").document
    assert (told["ready"], told["problems"]) == (True, 0)
    assert {check["status"] for check in told["checks"]} == {"ok"}
    assert told["state"]["state"] == "INIT"
    assert told["probe"]["tools"]["git"]
    assert tree(*folders) == before


def test_doctor_changes_nothing_on_a_pod_in_use(swept: Any) -> None:
    folders = (swept.root, Path(swept.environ["HOME"]))
    before = tree(*folders)
    told = swept("doctor")
    assert told.code == 0
    assert "ok       existing-runs      1 adopted, 1 trained again, 0 new" in told.out
    assert told.out.endswith("\nready\n")
    assert tree(*folders) == before


def test_doctor_records_no_host_key_and_leaves_nothing_over_ssh(
    wf: Any, sshd: Any, tmp_path: Path
) -> None:
    pod = tmp_path / "pod"
    pod.mkdir()
    wf.configure(
        OPS_DEFAULT_HOST=f"{sshd.user}@{sshd.host}:{sshd.port}",
        SSH_HOST_KEY_POLICY="accept-new",
        SSH_IDENTITY_FILE=str(sshd.identity_file),
        SSH_KNOWN_HOSTS=str(tmp_path / "known_hosts"),
        OPS_REMOTE_REPO=str(pod / "repo"),
        OPS_REMOTE_OUTPUTS_DIR=str(pod / "outputs"),
        REMOTE_ENV_PATH=str(pod / "project.env"),
    )
    folders = (wf.root, tmp_path, Path(wf.environ["HOME"]))
    before = tree(*folders)
    told = wf("doctor", "--json").document
    assert told["ready"] is True
    assert told["connection"]["host_key_trust"] == "unrecorded"
    assert tree(*folders) == before
    wf.configure(SSH_HOST_KEY_POLICY="strict")
    strict = wf("doctor")
    assert strict.code == 1
    assert "problem  connection         the host key of" in strict.out
    assert "SSH_HOST_FINGERPRINT=SHA256:" in strict.out
    wf.configure(SSH_HOST_KEY_POLICY="accept-new")
    assert wf("pod-status", "--json").document["connection"]["host_key_trust"] == "recorded"


def test_doctor_names_what_a_sweep_on_this_pod_would_fail_of(wf: Any) -> None:
    image = wf.root.parent / "image"
    venv.create(image)
    python = str(image / "bin" / "python")
    wf.configure(REQUIRE_GPU_TORCH="1", TRAIN_LAUNCHER="torchrun", REMOTE_PYTHON_BIN=python)
    (wf.root / "train" / "new.py").write_text("")
    with (wf.root / "flows" / "sweep.csv").open("a") as f:
        f.write("three,new.py,1,,\n")
    told = wf("doctor", "--json")
    assert told.code == 1
    document = json.loads(told.out)
    problems = {c["check"]: c for c in document["checks"] if c["status"] == "problem"}
    assert set(problems) == {"row-configs", "torch", "gpus"}
    assert (document["ready"], document["problems"]) == (False, 3)
    assert all(check["remedy"] for check in problems.values())
    shown = wf("doctor")
    assert (shown.code, shown.out.splitlines()[-1]) == (1, "3 problems")
    assert [line for line in shown.out.splitlines() if line.startswith("problem  torch")]


@pytest.mark.long
def test_doctor_says_that_a_pod_is_busy(wf: Any) -> None:
    gate = wf.root.parent / "gate"
    wf.configure(RUN_HEARTBEAT_SECS="0")
    (wf.root / "flows" / "sweep.csv").write_text(
        f"run_id,config,seed,overrides,notes\none,default.py,1,wait_for={gate},\n"
    )
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start")
    (wf.root / ".wf" / "pod" / "outputs" / "two").mkdir()
    told = wf("doctor")
    gate.touch()
    assert told.code == 1
    assert "problem  campaign           the pod is in SWEEP_RUNNING" in told.out
    assert "not made by a flow: two" in told.out
    assert wf("sweep-watch").code == 0
    assert wf("doctor").code == 0


def test_doctor_checks_the_sweeps_csv_too(wf: Any) -> None:
    (wf.root / "flows" / "sweep.csv").write_text("run_id,config,seed,overrides,notes\n")
    told = wf("doctor")
    assert told.code == 4
    assert told.problems[0].startswith("flows/sweep.csv: a header and no row.")


def test_verify_tells_a_whole_folder_from_one_that_was_touched(wf: Any) -> None:
    wf.configure(WF_SECRET_ENV="WF_NOBODY_SETS_THIS")
    assert wf("flow").code == 1
    (folder,) = (wf.root / "reports" / "flows").iterdir()
    told = wf("verify", str(folder), cwd=Path("/"))
    assert told.code == 0, told
    assert heading(told.out)["target_source"] == "unresolved"
    assert told.out.endswith(": ok\n")
    (folder / "phase.P00.verdict.json").write_text("{}")
    told = wf("verify", str(folder), "--json")
    assert told.code == 1
    found = json.loads(told.out)
    assert found["ok"] is False
    assert any(line.startswith("phase.P00.verdict.json: changed") for line in found["findings"])


def test_flow_is_pytest_with_its_arguments_from_anywhere_in_the_project(wf: Any) -> None:
    told = wf("flow", "--collect-only", "-q", "-k", "two", cwd=wf.root / "train")
    assert told.code == 0, told
    assert "plan: 11 phases, 1 of 2 sweep rows" in told.out
    assert "[two]" in told.out
    assert "[one]" not in told.out
    assert "warning" not in told.out


@pytest.mark.long
def test_flow_passes_pytests_exit_status_on(wf: Any) -> None:
    assert wf("flow", "--wf-sweep=begin").code == 4
    wf.configure(WF_SECRET_ENV="WF_NOBODY_SETS_THIS")
    told = wf("flow", "-q")
    assert told.code == 1
    assert "\nmode=flow\n" in told.out
