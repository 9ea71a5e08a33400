"""What trackers left in the runs of a sweep, on the page."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from html import unescape
from typing import Any

from pytest_wf.report.build import build
from pytest_wf.report.page import write_report
from pytest_wf.report.views import trackers
from tests.report.conftest import row

FILES = {
    "trackers/wandb/offline-run-20260102_030405-c-1-a/run-c-1-a.wandb": b"",
    "trackers/mlruns/5/0123456789abcdef0123456789abcdef/meta.yaml": b"",
    "trackers/<b>/events.out.tfevents.1": b"",
}


def swept(new_flow: Callable[..., Any], *run_ids: str) -> Any:
    rows = [row(run_id, index) for index, run_id in enumerate(run_ids)]
    flow = new_flow().start(rows)
    for run_id in run_ids:
        flow.run(run_id, more=FILES)
    flow.before_the_sweep().sweep().end()
    return flow


def test_each_tracker_has_its_runs_and_one_command(new_flow: Callable[..., Any]) -> None:
    flow = swept(new_flow, "a", "b")
    shown = trackers.show(build([flow.folder], flow.page.parent))
    runs = flow.project / "reports" / "runs"
    assert [(one.tracker, one.verb, one.count) for one in shown] == [
        ("W&B", "Upload", 2),
        ("MLflow", "Open", 2),
        ("TensorBoard", "Open", 2),
    ]
    assert shlex.split(shown[0].command)[2:] == [
        f"{runs}/{run_id}/trackers/wandb/offline-run-*" for run_id in ("a", "b")
    ]
    assert shown[2].command == f"tensorboard --logdir {runs}"
    assert shown[1].command == "" and all("mlflow ui" in run.command for run in shown[1].runs)
    assert shown[0].runs[1].links[0].href.endswith("/b/trackers/wandb")


def test_commands_are_text_on_the_page(new_flow: Callable[..., Any]) -> None:
    flow = swept(new_flow, "a")
    html = write_report([flow.folder], flow.page).read_text()
    assert '<a href="#trackers">Trackers</a>' in html
    assert f"tensorboard --logdir '{flow.project}/reports/runs/a/trackers/<b>'" in unescape(html)
    assert "<b>'" not in html


def test_a_sweep_without_trackers_has_no_such_part(passed_flow: Any) -> None:
    page = build([passed_flow.folder], passed_flow.page.parent)
    assert trackers.show(page) == []


def test_a_command_that_is_too_long_for_a_shell_is_left_out(
    new_flow: Callable[..., Any], monkeypatch: Any
) -> None:
    monkeypatch.setattr(trackers, "_MAX_COMMAND_CHARS", 40)
    flow = swept(new_flow, "a", "b")
    shown = trackers.show(build([flow.folder], flow.page.parent))[0]
    assert shown.command == "" and len(shown.runs) == 2
