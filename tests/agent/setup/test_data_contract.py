"""Data contracts on the pod: commands and programs that hooks bring."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import created_paths, state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.project.data_contract import DataContract
from pytest_wf.wire import fsm
from pytest_wf.wire.files import canonical_json, sha256_bytes
from pytest_wf.wire.messages import Refusal
from tests.support.repository import Upstream
from tests.support.waiting import until

Act = Callable[..., dict[str, Any]]
Check = Callable[..., list[dict[str, Any]]]

#: Reads its arguments, makes a file, and says what it is asked to say.
PROGRAM = """\
import json, os, sys
asked = json.load(open(sys.argv[1]))
if os.environ["WF_DATA_VERIFY"] == "0":
    open(asked["make"], "w").close()
print("looking")
found = dict(verify=os.environ["WF_DATA_VERIFY"], cwd=os.getcwd())
found["created"] = os.environ["WF_DATA_CREATED"]
print(json.dumps(dict(found, **asked["say"])))
sys.exit(asked["status"])
"""
#: Makes a file as it should be done, then waits until the agent is gone.
MAKER = """\
import json, os, sys, time
agent = os.getppid()
path = json.load(open(sys.argv[1]))["make"]
with open(os.environ["WF_DATA_CREATED"], "a") as f:
    f.write(path + chr(10))
open(path, "w").close()
while os.getppid() == agent:
    time.sleep(0.02)
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


def maker(path: Path) -> DataContract:
    """A contract that makes `path` and then does not end."""
    return DataContract("m", program=MAKER, arguments={"make": str(path)}, creates=[str(path)])


def names(*paths: object) -> str:
    """Shell text that names `paths` as made."""
    return "".join(f"echo '{path}' >> $WF_DATA_CREATED; " for path in paths)


def test_files_that_were_absent_are_listed_and_were_named_are_recorded_and_nothing_else(
    check: Check, tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "before").touch()
    made, before, link, unlisted, unnamed, absent = (
        str(tmp_path / name) for name in ("made", "before", "link", "unlisted", "unnamed", "absent")
    )
    odd = f"{tmp_path}/../{tmp_path.name}/odd"
    make = f"touch {made} {before} {unlisted} {unnamed} {odd} rel; ln -s made {link}; echo '{{}}'"
    named = names(made, before, link, unlisted, absent, odd, "rel", tmp_path)
    listed = [made, before, link, unnamed, absent, odd, "rel", str(tmp_path)]

    check(DataContract("c", named + make, creates=listed))

    assert created_paths.paths(settings)[-1] == made
    assert not {*listed[1:], unlisted} & set(created_paths.paths(settings))


def test_what_a_contract_prints_of_created_files_counts_for_nothing(
    check: Check, tmp_path: Path, settings: Settings
) -> None:
    check(program(tmp_path, created=[str(tmp_path / "made")]))

    assert str(tmp_path / "made") not in created_paths.paths(settings)


def test_what_a_timed_out_contract_made_is_recorded(
    check: Check, tmp_path: Path, settings: Settings
) -> None:
    made = str(tmp_path / "made")
    slow = f"{names(made)}touch '{made}'; sleep 600"
    with pytest.raises(Refusal, match="timed out") as refused:
        check(DataContract("m", slow, creates=[made], timeout_s=5, remedy="Wait longer."))

    assert refused.value.remedy == "Wait longer."
    assert created_paths.paths(settings)[-1] == made


@pytest.mark.parametrize("then", ["delete", "checkout"])
def test_what_a_contract_made_whose_agent_was_killed_is_deleted(
    check: Check, act: Act, tmp_path: Path, settings: Settings, then: str
) -> None:
    made = tmp_path / "made"
    agent = multiprocessing.get_context("fork").Process(target=check, args=(maker(made),))
    agent.start()
    until(made.exists, "the contract makes its file")
    agent.kill()
    agent.join()
    assert str(made) not in created_paths.paths(settings)

    if then == "checkout":
        check(DataContract("c", "true"))
        assert created_paths.paths(settings)[-1] == str(made)
    act("delete")

    assert not made.exists()


def test_the_last_line_that_is_a_strict_object_is_what_it_found(check: Check) -> None:
    contracts = [
        DataContract("late", """echo '{"n": 1}'; echo '[2]'; echo warning >&2"""),
        DataContract("nan", """echo '{"n": 1}'; echo '{"n": NaN}'"""),
        DataContract("half", """echo '{"n": "\\ud800"}'"""),
        DataContract("none", "true"),
    ]

    late, nan, half, none = (found["facts"] for found in check(*contracts))

    assert (late, nan, none) == ({"n": 1}, {"n": 1}, None)
    assert half == '{"n": "\\ud800"}'


def test_arguments_are_private_and_their_digest_is_evidence(
    check: Check, tmp_path: Path, settings: Settings
) -> None:
    contract = program(tmp_path)

    (found,) = check(contract)

    assert found["arguments_sha256"] == sha256_bytes(canonical_json(contract.arguments))
    for ending in ("py", "json"):
        path = Path(settings.operations, "r-test", f"data-contract-0.{ending}")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_resume_runs_only_what_can_look_without_a_change(check: Check, tmp_path: Path) -> None:
    check()

    (found,) = check(DataContract("c", "touch $DATA_DIR/made"), program(tmp_path), verify=True)

    assert (found["contract"], found["facts"]["verify"]) == ("p", "1")
    assert found["facts"]["created"] == ""
    assert not (tmp_path / "made").exists()
