"""What this machine lacks is named before a pod is asked for, with the way out."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.precheck import precheck
from pytest_wf.flow.readiness import local_checks
from tests.support.readiness import Look, controller_of, load, the_only

Configure = Callable[..., None]


def test_the_precheck_fails_with_all_problems_at_once(root: Path, configure: Configure) -> None:
    configure(WF_SECRET_ENV="NOT_THERE", TRAIN_ENTRYPOINT="gone.py", CHECKOUT_PR="3")
    here = controller_of(load(root), environ={})
    with pytest.raises(OperationFailed) as caught:
        precheck(here.project, here.providers, interactive=False, environ={})
    assert caught.value.kind == "config"
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    for line, word in zip(lines, ("NOT_THERE", "CHECKOUT_PR", "gone.py"), strict=True):
        assert word in line


def test_warnings_do_not_stop_the_precheck_and_are_told(root: Path) -> None:
    (root / "train" / "train.py").write_text("print()\n")
    here = controller_of(load(root))
    result = precheck(here.project, here.providers, interactive=False, environ=os.environ)
    (warning,) = result.facts["warnings"]
    assert warning.startswith("changed here and not committed: train/train.py.")


def test_a_secret_that_is_not_set_is_a_problem(look: Look, configure: Configure) -> None:
    configure(WF_SECRET_ENV="MY_TOKEN YOUR_TOKEN")
    assert the_only(look("secrets", environ={"MY_TOKEN": "a-long-secret"}))[0] == "problem"
    both = {"MY_TOKEN": "a-long-secret", "YOUR_TOKEN": "another-secret"}
    assert the_only(look("secrets", environ=both)) == ("ok", "set: MY_TOKEN YOUR_TOKEN")


def test_every_secret_that_is_not_set_is_named(look: Look, configure: Configure) -> None:
    configure(WF_SECRET_ENV="MY_TOKEN YOUR_TOKEN")
    text = the_only(look("secrets", environ={"YOUR_TOKEN": "x"}))[1]
    assert "MY_TOKEN is not set" in text
    assert "YOUR_TOKEN has fewer than" in text


def test_a_line_that_has_a_secrets_value_in_it_is_a_problem(
    look: Look, configure: Configure
) -> None:
    configure(
        WF_SECRET_ENV="MY_TOKEN", TRAIN_COMMAND_TEMPLATE="'python a.py --key hunter2-hunter2'"
    )
    result, text = the_only(look("secrets", environ={"MY_TOKEN": "hunter2-hunter2"}))
    assert result == "problem"
    assert re.search(r"workflow\.env:\d+: contains the value of a variable", text)
    assert "hunter2" not in text


def test_a_signing_key_that_cannot_be_used_is_a_problem(look: Look, configure: Configure) -> None:
    configure(WF_SIGNING_KEY_FILE="nowhere.pem")
    assert the_only(look("signing-key"))[0] == "problem"


def test_messages_that_cannot_be_sent_are_a_problem(look: Look, configure: Configure) -> None:
    configure(WF_NOTIFY="MY_URL")
    status, text = the_only(look("notify", environ={}))
    assert (status, "MY_URL is not set" in text) == ("problem", True)


@pytest.mark.parametrize("program", ["no-such-program --x", "./no/such/program", "flows/auditor"])
def test_an_auditor_that_cannot_be_run_is_a_problem(
    root: Path, look: Look, configure: Configure, program: str
) -> None:
    (root / "flows" / "auditor").write_text("")
    configure(WF_SUBAGENT_VALIDATOR_CMD=program)
    assert the_only(look("auditor"))[0] == "problem"
    (root / "flows" / "auditor").chmod(0o755)
    configure(WF_SUBAGENT_VALIDATOR_CMD="flows/auditor")
    assert the_only(look("auditor"))[0] == "ok"


def test_a_folder_of_evidence_that_cannot_be_written_is_a_problem(
    root: Path, look: Look, configure: Configure
) -> None:
    (root / "reports").write_text("a file in the way\n")
    found = look("local-disk", fetch="all", wait=True)
    assert [status for status, _ in found] == ["problem"] * 4
    assert all("is not a directory" in text for _, text in found)
    assert look("local-disk")[-1][0] == "warning"  # nothing is fetched
    (root / "reports").unlink()
    (root / "reports").symlink_to("gone")
    assert [status for status, _ in look("local-disk", fetch="all", wait=True)] == ["problem"] * 4


def test_a_full_local_disk_is_a_problem(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_checks, "MIN_FREE_BYTES", 1 << 60)
    assert ("problem", True) in [(s, "MiB free" in text) for s, text in look("local-disk")]
    monkeypatch.setattr(local_checks, "MIN_FREE_BYTES", 1)
    monkeypatch.setattr(local_checks, "MIN_FREE_INODES", 1 << 60)
    if os.statvfs("/tmp").f_files:
        assert any("more files" in text for _, text in look("local-disk"))


def test_a_clock_that_is_behind_the_config_is_a_warning(root: Path, look: Look) -> None:
    later = time.time() + 2 * 86400
    os.utime(root / "flows" / "workflow.env", (later, later))
    assert the_only(look("clock"))[0] == "warning"


def test_a_machine_without_git_cannot_pack_the_repository(
    look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status, text = the_only(look("programs"))
    assert (status, "has no git" in text) == ("problem", True)


def test_renting_without_consent_or_a_terminal_is_a_problem(
    look: Look, configure: Configure
) -> None:
    configure(OPS_DEFAULT_HOST="", LIUM_GPU="H100")
    status, text = the_only(look("consent", interactive=False))
    assert (status, "Set LIUM_YES=1" in text) == ("problem", True)
    assert the_only(look("consent", interactive=True))[0] == "ok"
    configure(LIUM_YES="1")
    assert the_only(look("consent", interactive=False)) == ("ok", "given")


def test_a_machine_that_is_not_rented_needs_no_consent(look: Look) -> None:
    assert look("consent", interactive=False) == []


def test_a_row_that_wants_more_gpus_than_are_named_is_a_problem(
    root: Path, look: Look, configure: Configure
) -> None:
    (root / "flows" / "sweep.csv").write_text(
        "run_id,config,seed,overrides,notes,gpus\nbig,default.py,1,,,4\nsmall,default.py,1,,,\n"
    )
    assert look("gpu-request") == []
    configure(CUDA_VISIBLE_DEVICES="0,1")
    status, text = the_only(look("gpu-request"))
    assert status == "problem"
    assert text.startswith("CUDA_VISIBLE_DEVICES names 2 GPUs; more are asked for")
    assert "big." in text
    configure(CUDA_VISIBLE_DEVICES="0,1,2,3")
    assert the_only(look("gpu-request"))[0] == "ok"


def test_more_processes_than_gpus_are_a_problem_where_each_needs_one(
    look: Look, configure: Configure
) -> None:
    configure(CUDA_VISIBLE_DEVICES="0", NPROC_PER_NODE="2")
    assert the_only(look("gpu-request"))[0] == "ok"
    configure(REQUIRE_GPU_TORCH="1")
    assert "NPROC_PER_NODE is 2" in the_only(look("gpu-request"))[1]


def test_a_row_that_wants_more_gpus_than_will_be_rented_is_a_problem(
    look: Look, configure: Configure
) -> None:
    configure(OPS_DEFAULT_HOST="", LIUM_COUNT="2", GPUS_PER_RUN="4")
    text = the_only(look("gpu-request"))[1]
    assert text.startswith("P10 rents 2 GPUs; more are asked for")


def test_a_row_that_is_called_like_the_data_folder_is_a_problem(
    root: Path, look: Look, configure: Configure
) -> None:
    assert look("places") == []
    configure(DATA_DIR="${WF_POD_ROOT}/outputs/two")
    assert "row two (line 3) would go where DATA_DIR is" in the_only(look("places"))[1]


def test_a_limit_that_ends_what_has_to_be_waited_for_is_a_warning(
    look: Look, configure: Configure
) -> None:
    assert look("time-limits") == []
    configure(OPS_DEFAULT_HOST="", LIUM_TTL="90m", RUN_TIMEOUT_SECS="7200")
    assert "the pod ends 90m after it was rented" in the_only(look("time-limits"))[1]
    configure(RUN_TIMEOUT_SECS="3600", WF_PHASE_TIMEOUT_SECS="60")
    assert "ends P30 before POD_WAIT_MAX_SECS" in the_only(look("time-limits"))[1]


def test_a_key_file_that_is_missing_is_a_problem(look: Look, configure: Configure) -> None:
    configure(OPS_DEFAULT_HOST="me@host.invalid:22", SSH_IDENTITY_FILE="nowhere")
    status, text = the_only(look("access"))
    assert (status, "nowhere cannot be read" in text) == ("problem", True)


def test_a_machine_without_any_ssh_key_is_a_problem(look: Look, configure: Configure) -> None:
    configure(OPS_DEFAULT_HOST="me@host.invalid:22")
    assert "there is no key to offer" in the_only(look("access"))[1]


def test_a_host_behind_a_proxy_command_is_a_problem(
    look: Look, configure: Configure, client_home: Path, sshd: object
) -> None:
    (client_home / ".ssh" / "config").write_text("Host pod\n  ProxyCommand nc %h %p\n")
    configure(OPS_DEFAULT_HOST="pod", SSH_IDENTITY_FILE=str(sshd.identity_file))  # type: ignore[attr-defined]
    assert "ProxyCommand, which is not supported" in the_only(look("access"))[1]
    (client_home / ".ssh" / "config").write_text("Host pod\n  HostName host.invalid\n")
    assert the_only(look("access")) == ("ok", "ssh")


def test_each_of_several_hosts_is_looked_at(
    look: Look, configure: Configure, client_home: Path, sshd: object
) -> None:
    key = str(sshd.identity_file)  # type: ignore[attr-defined]
    configure(OPS_DEFAULT_HOST="me@a.invalid:22 me@b.invalid:2222", SSH_IDENTITY_FILE=key)
    assert the_only(look("access")) == ("ok", "ssh")
    (client_home / ".ssh" / "config").write_text("Host b.invalid\n  ProxyCommand nc %h %p\n")
    assert "b.invalid" in the_only(look("access"))[1]
