"""Data contracts on the pod: commands and programs that hooks bring."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import created_paths, state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.project.data_contract import DataContract
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.repository import Upstream

Act = Callable[..., dict[str, Any]]
Check = Callable[..., list[dict[str, Any]]]

#: Reads its arguments, makes a file, and says what it is asked to say.
PROGRAM = """\
import json, os, sys
asked = json.load(open(sys.argv[1]))
if os.environ["WF_DATA_VERIFY"] == "0":
    open(asked["make"], "w").close()
print("looking")
print(json.dumps(dict(asked["say"], verify=os.environ["WF_DATA_VERIFY"], cwd=os.getcwd())))
sys.exit(asked["status"])
"""


@pytest.fixture
def check(act: Act, settings: Settings, upstream: Upstream, tmp_path: Path) -> Check:
    """``check(contract, …)``: what a checkout with these contracts found."""
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")
    keys = {"REPO_URL": str(upstream.path), "DATA_DIR": str(tmp_path)}

    def run(*contracts: DataContract, verify: bool = False) -> list[dict[str, Any]]:
        data = {"contracts": [contract.as_data() for contract in contracts]}
        found: list[dict[str, Any]] = act("checkout", keys=keys, verify=verify, data=data)["data"]
        return found

    return run


def program(tmp_path: Path, status: int = 0, **say: Any) -> DataContract:
    """A contract that makes `tmp_path`/made and ends with `status`."""
    arguments = {"make": str(tmp_path / "made"), "say": say, "status": status}
    return DataContract("p", program=PROGRAM, arguments=arguments, verifies=True)


def test_a_command_that_ends_with_another_status_than_0_stops_the_checkout(
    check: Check, tmp_path: Path
) -> None:
    command = 'echo looking; test -f "$DATA_DIR/tokens.bin" && echo \'{"tokens": 7}\''
    contract = DataContract("tokens", command, remedy="Run prepare.py.", timeout_s=30)

    with pytest.raises(Refusal, match="contract 'tokens' does not hold: exit status 1") as refused:
        check(contract)
    (tmp_path / "tokens.bin").touch()
    (found,) = check(contract)

    assert (refused.value.kind, refused.value.remedy) == ("data", "Run prepare.py.")
    assert (found["contract"], found["checked"], found["facts"]) == ("tokens", True, {"tokens": 7})
    assert json.dumps(found)


def test_a_program_comes_with_its_arguments(
    check: Check, tmp_path: Path, settings: Settings
) -> None:
    (found,) = check(program(tmp_path, books=3, checked=False))

    assert found["facts"]["books"] == 3
    assert os.path.realpath(found["facts"]["cwd"]) == os.path.realpath(settings.repo)
    assert found["checked"] is False
    assert (tmp_path / "made").exists()


def test_a_program_says_itself_why_it_does_not_hold(check: Check, tmp_path: Path) -> None:
    contract = program(tmp_path, 1, message="no book is here", remedy="Write one.", seen=2)

    with pytest.raises(Refusal, match="contract 'p' does not hold: no book is here") as refused:
        check(contract)

    assert refused.value.remedy == "Write one."
    assert refused.value.facts["facts"]["seen"] == 2


def test_files_that_it_made_are_recorded_for_deletion_and_nothing_else(
    check: Check, tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "link").symlink_to("made")
    stated = [str(tmp_path / name) for name in ("made", "absent", "link", ".")]

    check(program(tmp_path, created=[*stated, "made", 7, "/"]))

    assert created_paths.paths(settings)[-1] == str(tmp_path / "made")
    assert not {*stated[1:], "made", "/"} & set(created_paths.paths(settings))


def test_a_resume_runs_only_what_can_look_without_a_change(check: Check, tmp_path: Path) -> None:
    check()

    (found,) = check(DataContract("c", "touch $DATA_DIR/made"), program(tmp_path), verify=True)

    assert (found["contract"], found["facts"]["verify"]) == ("p", "1")
    assert not (tmp_path / "made").exists()
