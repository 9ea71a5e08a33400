"""Whole flows on rented pods: the real SDK, a loopback account, real SSH servers as pods."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import junitparser
import pytest

from pytest_wf.loopback import LoopbackLium
from tests.support.waiting import until

pytestmark = pytest.mark.slow

END_TO_END = ("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")


def test_from_an_empty_account_to_a_summary_and_back(
    lium_project: Callable[..., Any], api: LoopbackLium
) -> None:
    api.behaviour.boot_s = 0.5
    api.behaviour.sshd_delay_s = 0.5
    project = lium_project()
    flown = project.flow(*END_TO_END)
    assert flown.code == 0, flown.output
    assert "13 passed" in flown.output
    assert "transport=lium" in flown.output.splitlines()
    summary = flown.record("flow.summary")
    assert [row["state"] for row in summary["rows"]] == ["success", "success"]
    assert summary["usd_per_hour"] == 2.0
    assert 0 < summary["cost_usd"] < 0.2
    assert (project.root / "reports" / "runs" / "two" / "summary.json").is_file()
    rented = flown.record("phase.P10.evidence")["facts"]
    assert rented["removal_at"] and rented["ttl_s"] == 7200
    assert rented["max_usd_per_hour"] == 3.0
    ended = flown.record("phase.P90.evidence")["facts"]["released"]
    assert ended["confirmed_absent"] is True
    assert ended["pod_id"] == rented["rented"]
    (pod,) = api.account.pods
    assert (pod.name, pod.node.price_per_gpu) == (rented["pod_name"], 2.0)
    assert pod.machine.accepted() == 1  # type: ignore[union-attr]
    assert (api.account.billed(), api.account.most_billed) == ([], 1)
    assert api.api_key not in flown.output
    _views_tell_the_price(project.root / "reports", summary["cost_usd"])
    ops = [op for op, outcome in _effects(flown.folder) if outcome == "ok"]
    assert [op for op in ops if op in ("rent", "delete", "release")] == [
        "rent",
        "delete",
        "release",
    ]


def _effects(folder: Path) -> list[tuple[str, str | None]]:
    """What the flow set about to do, in its order, and what came of each."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    outcomes = {event["of"]: event["status"] for event in events if event["kind"] == "outcome"}
    return [(e["op"], outcomes.get(e["seq"])) for e in events if e["kind"] == "intent"]


def _views_tell_the_price(reports: Path, cost_usd: float) -> None:
    suite = next(iter(junitparser.JUnitXml.fromfile(str(reports / "junit.xml"))))
    told = {p.name: p.value for p in suite.properties()}
    assert told["wf.usd_per_hour"] == told["test_teardown/wf.usd_per_hour"] == "2.0"
    assert float(told["wf.cost_usd"]) == float(told["test_summary/wf.cost_usd"]) == cost_usd
    environment = (reports / "allure-results" / "environment.properties").read_text()
    assert "Pod\\ price=2.0 USD an hour\n" in environment
    assert "Transport=lium\n" in environment


def test_without_a_terminal_and_without_consent_nothing_is_rented(
    lium_project: Callable[..., Any], api: LoopbackLium
) -> None:
    project = lium_project(LIUM_YES="0")
    flown = project.flow(*END_TO_END)
    assert flown.code == 1
    summary = flown.record("flow.summary")
    assert (summary["failed_phase"], summary["failure_kind"]) == ("P00", "consent")
    assert "LIUM_YES=1" in flown.output
    assert api.requests == []
    up = project.wf("pod-up")
    assert (up.returncode, "LIUM_YES=1" in up.stderr) == (1, True)
    assert api.requests == []


def test_a_pod_whose_sshd_never_answers_is_ended_where_failures_are_torn_down(
    lium_project: Callable[..., Any], api: LoopbackLium
) -> None:
    api.behaviour.sshd_delay_s = 600
    project = lium_project(POD_WAIT_MAX_SECS="1", WF_TEARDOWN_ON_FAILURE="delete")
    flown = project.flow(*END_TO_END)
    assert flown.code == 1
    assert flown.record("flow.summary")["failure_code"] == 211
    assert flown.record("phase.P90.verdict")["phase_pass"] is True, flown.output
    assert (api.account.billed(), api.account.most_billed) == ([], 1)


@pytest.mark.long
def test_a_killed_flow_is_resumed_on_the_same_pod_at_another_address(
    lium_project: Callable[..., Any], api: LoopbackLium, gate: Path
) -> None:
    project = lium_project()
    sweep = project.root / "flows" / "sweep.csv"
    sweep.write_text(f"run_id,config,seed,overrides,notes\none,default.py,1,wait_for={gate},\n")
    run = project.start(*END_TO_END)
    log = project.outputs / "one" / "stdout.log"
    until(lambda: log.exists() and "training one" in log.read_text(), "the row trains")
    run.process.kill()
    run.wait()
    listed = json.loads(project.wf("pod-list", "--json").stdout)["pods"]
    (pod,) = api.account.billed()
    assert [(p["id"], p["standing"]) for p in listed] == [(pod.id, "kept")]
    assert pod.machine is not None
    before = pod.machine.port
    # its sweep goes on in this machine's processes, as the pod's own would not after a reboot
    pod.machine.port = 0
    pod.machine.reboot(new_port=True)
    assert pod.machine.port != before
    gate.touch()
    resumed = project.flow(*END_TO_END, "--wf-sweep=resume")
    assert resumed.code == 0, resumed.output
    rented = resumed.record("phase.P10.evidence")["facts"]
    assert (rented["rented"], rented["is_new"]) == (pod.id, False)
    assert len((project.root / "reports/runs/one/out/argv.json").read_text().splitlines()) == 1
    assert (api.account.billed(), len(api.account.pods)) == ([], 1)


@pytest.mark.long
def test_two_flows_at_once_have_a_pod_each_and_end_only_their_own(
    lium_project: Callable[..., Any], api: LoopbackLium
) -> None:
    api.account.nodes[0].tier = "secure"
    projects = [lium_project(), lium_project()]
    delete, keep = END_TO_END, END_TO_END[:-1]
    runs = [projects[0].start(*delete), projects[1].start(*keep)]
    assert [run.wait().code for run in runs] == [0, 0], runs[0].output + runs[1].output
    one, two = (run.record("phase.P10.evidence")["facts"] for run in runs)
    assert one["pod_name"] != two["pod_name"] and one["rented"] != two["rented"]
    assert [pod.id for pod in api.account.billed()] == [two["rented"]]
    kept = runs[1].record("phase.P90.evidence")["facts"]
    assert kept["kept"] == two["rented"] and kept["usd_per_hour"] == two["usd_per_hour"]


@pytest.mark.long
def test_two_flows_of_one_project_do_not_share_a_pod_either(
    lium_project: Callable[..., Any], api: LoopbackLium
) -> None:
    api.account.nodes[0].tier = "secure"
    project = lium_project(WF_ALLOW_OVERRIDE="1")
    canonical = project.root / "flows" / "workflow.env"
    # what a pod has of its own: here all pods have one file system
    other = canonical.read_text().replace(f"/pod-of-{project.root.name}/", "/other-pod/")
    canonical.with_name("other.env").write_text(other)
    delete = ("--wf-sweep=skip", "--wf-teardown=delete")
    runs = [project.start(*delete), project.start(*delete, "--wf-config=flows/other.env")]
    assert [run.wait().code for run in runs] == [0, 0], runs[0].output + runs[1].output
    flows = [run.line("flow_id=").partition("=")[2] for run in runs]
    ended = []
    for flow, pod in zip(flows, sorted(api.account.pods, key=_by(flows)), strict=True):
        folder = project.root / "reports" / "flows" / flow
        facts = json.loads((folder / "phase.P90.evidence.json").read_text())["facts"]
        assert pod.name.endswith(flow[-6:])
        assert facts["released"]["pod_id"] == pod.id
        ended.append(pod.id)
    assert (len(set(ended)), api.account.billed()) == (2, [])


def _by(flows: list[str]) -> Callable[[Any], int]:
    """The order of flows, for their pods."""
    tails = [flow[-6:] for flow in flows]
    return lambda pod: tails.index(pod.name[-6:])


@pytest.mark.long
def test_a_kept_pod_that_nobody_comes_back_to_ends_by_itself(
    lium_project: Callable[..., Any], api: LoopbackLium
) -> None:
    project = lium_project(WF_IDLE_DELETE_SECS="600")
    flown = project.flow(*END_TO_END[:-1])
    assert flown.code == 0, flown.output
    (pod,) = api.account.billed()
    assert pod.removal_at is not None
    left_s = (pod.removal_at - datetime.now(timezone.utc)).total_seconds()
    assert 300 < left_s <= 600
    facts = flown.record("phase.P90.evidence")["facts"]
    assert ("schedule-removal", "ok") in _effects(flown.folder)
    assert facts["idle_removal"].startswith(pod.removal_at.strftime("%Y-%m-%dT%H:%M:%S"))
    assert project.wf("pod-status").returncode == 1  # the config names no pod
    project.configure(LIUM_TARGET=pod.id)
    status = project.wf("pod-status")
    assert status.returncode == 0, status.stderr
    project.configure(WF_IDLE_DELETE_SECS="0")
    assert project.wf("pod-status").returncode == 0
    assert (pod.removal_at - pod.rented_at).total_seconds() > 7000


@pytest.mark.long
def test_the_primitives_rent_bind_wait_list_and_end(
    lium_project: Callable[..., Any], api: LoopbackLium
) -> None:
    account = api.account
    stray = account.rent(account.nodes[2].id, {"pod_name": "pytest-wf-00beef"}, "k")["pod_id"]
    project = lium_project()
    config = project.root / "flows" / "workflow.env"
    config.write_text("# mine\nLIUM_TARGET=   # set by hand\n" + config.read_text())
    up = project.wf("pod-up", "--bind", "--json")
    assert up.returncode == 0, up.stderr
    assert re.search(rf"orphan: pytest-wf-00beef \({stray}\), 0\.\d h old, \$\d", up.stderr)
    assert "(by the API key 'ci'); it may belong to a flow on another machine" in up.stderr
    pod = account.pod(json.loads(up.stdout)["rented"])
    lines = config.read_text().splitlines()
    assert lines[:2] == ["# mine", f"LIUM_TARGET={pod.id}   # set by hand"]
    assert project.wf("pod-wait").returncode == 0
    assert project.wf("pod-status").returncode == 0
    shown = project.wf("pod-list").stdout
    assert f"kept: {pod.name} {pod.id} RUNNING" in shown and "usd_per_hour=2 " in shown
    gone = project.wf("pod-delete", pod.id, "--json")
    assert gone.returncode == 0, gone.stderr
    assert json.loads(gone.stdout)["confirmed_absent"] is True
    assert [left.id for left in account.billed()] == [stray]
    shown = project.wf("pod-list").stdout
    assert f"orphan: pytest-wf-00beef {stray}" in shown and "pods=1" in shown


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"LIUM_API_KEY": ""}, "there is no API key of Lium. Export LIUM_API_KEY"),
        ({"LIUM_API_KEY": "wrong"}, "Lium does not know the API key."),
        ({"LIUM_BASE_URL": "http://127.0.0.1:9/api"}, "Lium's API cannot be reached"),
    ],
)
def test_an_account_that_is_not_usable_is_one_line_with_a_remedy(
    lium_project: Callable[..., Any], keys: dict[str, str], told: str
) -> None:
    project = lium_project()
    project.environ = {**project.environ, **keys}
    listed = project.wf("pod-list")
    assert listed.returncode == 1
    errors = [line for line in listed.stderr.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 1 and told in errors[0]
    assert "wrong" not in errors[0]


def test_the_doctor_asks_the_account_and_rents_nothing(
    lium_project: Callable[..., Any], api: LoopbackLium
) -> None:
    project = lium_project()
    found = project.wf("doctor")
    assert found.returncode == 0, found.stdout
    for line in ("ok       account            lium answers", "ok       offers             2 nodes"):
        assert line in found.stdout
    assert "waits    torch              not checked: P10 rents the pod" in found.stdout
    project.configure(WF_MAX_USD_PER_HOUR="0.01", GPUS_PER_RUN="8")
    found = project.wf("doctor")
    assert found.returncode == 1
    assert "problem  offers             no node of lium fits now" in found.stdout
    assert "problem  gpu-request        P10 rents 1 GPUs; more are asked for" in found.stdout
    assert found.stdout.endswith("\n2 problems\n")
    project.environ = {**project.environ, "LIUM_API_KEY": ""}
    found = project.wf("doctor")
    assert "problem  access             there is no API key of Lium." in found.stdout
    assert api.account.billed() == []


@pytest.mark.long
def test_the_doctor_records_nothing_of_a_pod_that_it_is_the_first_to_see(
    lium_project: Callable[..., Any], api: LoopbackLium
) -> None:
    project = lium_project()
    account = api.account
    api.behaviour.sshd_delay_s = 900
    project.configure(POD_WAIT_MAX_SECS="1")
    assert project.wf("pod-up", "--bind").returncode == 1  # rented, and never reached
    (pod,) = account.billed()
    assert pod.machine is not None
    pod.machine.reboot(new_port=True)

    def left() -> dict[str, bytes]:
        folders = [project.root / ".wf", project.root / "flows", pod.machine.folder / "home"]  # type: ignore[union-attr]
        files = [f for folder in folders for f in folder.rglob("*") if f.is_file()]
        return {str(f): f.read_bytes() for f in files}

    before = left()
    found = project.wf("doctor")
    assert found.returncode == 0, found.stderr
    assert left() == before
    assert project.wf("pod-status").returncode == 0
    assert left() != before
    found = project.wf("doctor")
    assert found.returncode == 0, found.stderr
