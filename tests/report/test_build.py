"""What the page says, from folders alone: whole flows, halted, killed, carried, damaged."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.court.phases import CONTRACTS
from pytest_wf.errors import InputError
from pytest_wf.evidence.chain import own_digest
from pytest_wf.report import build as building
from pytest_wf.report import default_place
from pytest_wf.report.build import Page, build
from pytest_wf.report.sources.event_files import Scalars
from pytest_wf.report.views import evidence, findings, provenance, verdict
from pytest_wf.wire.files import pretty_json, sha256_bytes
from pytest_wf.wire.rows import RunResult

CODES = sorted(CONTRACTS)


def drawn(*flows: Any) -> Page:
    return build([flow.folder for flow in flows], flows[0].page.parent)


def row_of(page: Page, run_id: str) -> Any:
    return next(row for row in page.rows if row.run_id == run_id)


def test_a_flow_with_a_failed_row_says_how_many(passed_flow: Any) -> None:
    flow = verdict.show(drawn(passed_flow).flows[0])
    assert (flow.result.outcome, flow.result.headline) == ("failed", "1 of 7 rows failed")
    assert "trains the failed rows again" in flow.result.explained[0]
    others = ("dry run", "not ended", "not known", "not launched", "not selected")
    assert flow.counts == {"ok": 6, "failed": 1, **dict.fromkeys(others, 0)}
    assert flow.verified is True


def test_a_row_shows_attempts_class_gpu_metrics_config_and_its_log_without_escapes(
    passed_flow: Any,
) -> None:
    row = row_of(drawn(passed_flow), "wide")
    assert (row.state, row.attempts, row.failure_class) == ("failed", 2, "oom")
    assert row.gpu == "GPU 6: NVIDIA H100 80GB HBM3"
    assert row.metrics["val_loss"] == 2.35
    assert (row.config, row.seed, row.overrides) == ("gpt2.py", "6", "lr=21e-4 depth=6")
    assert row.log_tail == "step 3\ntorch.OutOfMemoryError: out of memory"
    assert {link.href for link in row.links} == {
        "./runs/wide/stdout.log",
        "./runs/wide/metrics.jsonl",
    }


@pytest.mark.parametrize(
    ("mine", "told"),
    [
        (["0", "1"], "GPUs 0, 1: 2x NVIDIA H100 80GB HBM3"),
        (["GPU-3"], "GPU GPU-3: NVIDIA H100 80GB HBM3"),
        (["17"], "GPU 17"),
        ([], "none"),
        (None, ""),
    ],
)
def test_a_row_has_the_gpus_that_the_pod_says_it_had(
    new_flow: Callable[..., Any],
    new_row: Callable[..., Any],
    mine: list[str] | None,
    told: str,
) -> None:
    flow = new_flow().start([new_row("a", 0, gpus=mine)])
    flow.before_the_sweep().sweep()
    assert row_of(drawn(flow), "a").gpu == told


def test_a_row_that_still_ran_tells_how_far_it_was(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    live = {"line": "step 40", "ran_s": 200.0, "steps": 100, "steps_per_s": 0.2}
    known = {"duration_s": None, "progress": {"step": 40}, "live": live}
    rows = [new_row("a", 0, "running", **known), new_row("b", 1, live=live)]
    flow = new_flow().start(rows)
    page = drawn(flow.before_the_sweep().sweep())
    assert row_of(page, "a").so_far == "ran 3 min so far, step 40 of 100, about 5 min left"
    assert row_of(page, "b").so_far == ""


def test_provenance_says_what_is_known_and_nothing_else(new_flow: Callable[..., Any]) -> None:
    def told(**facts: str) -> dict[str, str]:
        flow = new_flow().start()
        flow.phase("P20").phase("P50", facts=facts)
        return {k: v for _, pairs in provenance.show(drawn(flow).flows[0]) for k, v in pairs}

    assert told(branch="main", pr="")["Branch"] == "main"
    assert told(branch="", pr="7")["Branch"] == "change request 7"
    assert told(branch="", pr="")["Branch"] == "none asked for: HEAD, or the pinned commit"
    known = told()
    assert known["Branch"] == "not known"
    assert known["Cost"] == "none that is known: no pod was rented"
    assert "Last known state" in known
    assert "State at the end" not in known


def test_curves_hold_what_metrics_jsonl_holds(passed_flow: Any) -> None:
    page = drawn(passed_flow)
    assert page.metrics == ("val_loss", "train_loss")
    for row in page.rows:
        raw = (passed_flow.project / "reports" / "runs" / row.run_id / "metrics.jsonl").read_text()
        reports = [json.loads(line) for line in raw.splitlines()]
        x, y, points = row.curves["train_loss"]
        assert (x, points) == ([r["step"] for r in reports], len(reports))
        assert y == [r["train_loss"] for r in reports]


def test_a_halted_flow_names_phase_code_remedy_and_what_did_not_run(halted_flow: Any) -> None:
    page = drawn(halted_flow)
    [flow] = page.flows
    found = flow.outcome
    assert (found.outcome, found.headline) == ("halted", "Halted by P50 CHECKOUT")
    assert found.explained[0].startswith("Code 312 (wrong-sha): the checkout is at 0123")
    assert found.explained[1:] == (
        "Not run because of it: P60, P70, P80.",
        "None of 4 rows was launched.",
    )
    assert {p.code: p.status for p in flow.phases}["P70"] == "halted"
    [finding] = findings.show(page)
    [check] = finding.checks
    assert (check.name, check.remedy) == (
        "sha-as-pinned",
        "Push the commit, or change EXPECT_GIT_SHA.",
    )
    assert finding.remediation == "Pin the commit that you mean."
    assert finding.laws == ("Law 6: Provenance and evidence",)


@pytest.mark.parametrize("killed", CODES)
@pytest.mark.parametrize("in_court", [True, False])
def test_a_flow_killed_in_any_phase_says_where_it_ended(
    new_flow: Callable[..., Any], killed: str, in_court: bool
) -> None:
    flow = new_flow().start()
    for code in CODES:
        if code == killed:
            break
        flow.phase(code)
    if in_court:
        flow.phase(killed, verdict=False)
    records = drawn(flow).flows[0]
    shown = records.outcome
    name = CONTRACTS[killed].name
    word = "in" if in_court else "at"
    assert shown.outcome == "unfinished"
    assert shown.headline == f"Not finished: it ended {word} {killed} {name}"
    asked = "--wf-wait=true --wf-fetch=all"
    assert (
        shown.next_command
        == {
            killed < "P60": f"pytest flows/ --wf-flow {asked}",
            killed == "P60": "wf sweep-status",
            killed > "P60": f"pytest flows/ --wf-flow --wf-sweep=resume {asked}",
        }[True]
    )
    told = " ".join(shown.explained)
    # P10 of this flow rented a pod
    assert ("was given back" in told) == ("P10" < killed <= "P90")
    assert ("Whether it has rented a pod" in told) == (killed == "P10")
    assert records.folder.verified.ok is False


def test_a_flow_killed_after_all_verdicts_lacks_its_summary_alone(
    new_flow: Callable[..., Any],
) -> None:
    flow = new_flow().start()
    for code in CODES:
        flow.phase(code)
    shown = drawn(flow).flows[0].outcome
    assert shown.headline == "Not finished: its summary is missing"
    assert "was given back" not in " ".join(shown.explained)


def test_rows_of_a_killed_flow_are_unknown_not_failed(new_flow: Callable[..., Any]) -> None:
    flow = new_flow().start([{"run_id": "a", "index": 0}])
    flow.before_the_sweep().phase("P60")
    assert row_of(drawn(flow), "a").state == "unknown"


def test_a_row_that_ended_behind_a_flows_back_has_the_flows_state_and_a_note(
    new_flow: Callable[..., Any],
) -> None:
    flow = new_flow()
    seen = {"run_id": "a", "index": 0, "state": "running", "ok": None, "attempts": 1}
    flow.start([seen]).before_the_sweep().phase("P60").phase("P70", rows={"a": seen})
    flow.end()
    run = flow.run("a", [{"step": 1, "loss": 1.0}])
    result = RunResult("a", "success", True, 2, "c-1", "a" * 40, "c.py", 1, "")
    ended = json.dumps(result.as_json()).encode()
    (run / "summary.json").write_bytes(ended)
    _state_in_record(run, "summary.json", ended)
    row = row_of(drawn(flow), "a")
    assert (row.state, row.ok, row.attempts) == ("running", None, 2)
    assert row.notes == ["It ended after this flow last saw it: success."]


def test_a_metrics_file_that_was_touched_is_told(passed_flow: Any) -> None:
    path = passed_flow.project / "reports" / "runs" / "lr-0" / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step": 9999, "train_loss": 0.1}\n')
    page = drawn(passed_flow)
    assert row_of(page, "lr-0").notes == [
        "metrics.jsonl is not the file that was fetched: its digest differs."
    ]
    assert row_of(page, "lr-1").notes == []


def test_a_run_of_another_campaign_is_not_taken_for_this_ones(passed_flow: Any) -> None:
    run = passed_flow.project / "reports" / "runs" / "lr-0"
    record = json.loads((run / "FETCHED.json").read_text())
    (run / "FETCHED.json").write_text(json.dumps({**record, "campaign_id": "c-other"}))
    assert row_of(drawn(passed_flow), "lr-0").curves == {}


def test_a_copy_that_a_later_fetch_replaced_is_found(passed_flow: Any) -> None:
    run = passed_flow.project / "reports" / "runs" / "lr-0"
    curves = row_of(drawn(passed_flow), "lr-0").curves
    earlier = run.parent / ".superseded" / "f-1" / "lr-0"
    shutil.copytree(run, earlier)
    record = json.loads((run / "FETCHED.json").read_text())
    (run / "FETCHED.json").write_text(json.dumps({**record, "fetched_at": "later"}))
    (run / "metrics.jsonl").unlink()
    assert row_of(drawn(passed_flow), "lr-0").curves == curves != {}


def test_a_copy_that_was_fetched_from_its_directory_is_marked(passed_flow: Any) -> None:
    run = passed_flow.project / "reports" / "runs" / "lr-0"
    record = json.loads((run / "FETCHED.json").read_text())
    record.update(from_directory=True, problems=["fetched from its directory"])
    (run / "FETCHED.json").write_text(json.dumps(record))
    row = row_of(drawn(passed_flow), "lr-0")
    assert row.notes == ["The copy here is not verified: fetched from its directory."]
    assert row.noted == "copy-not-verified"


def test_a_link_in_a_runs_place_is_not_followed(passed_flow: Any, tmp_path: Path) -> None:
    path = passed_flow.project / "reports" / "runs" / "lr-0" / "metrics.jsonl"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert row_of(drawn(passed_flow), "lr-0").curves == {}


def test_a_project_carried_elsewhere_is_drawn_the_same(passed_flow: Any, tmp_path: Path) -> None:
    before = drawn(passed_flow)
    shutil.move(passed_flow.project, tmp_path / "carried")
    folder = tmp_path / "carried" / "reports" / "flows" / passed_flow.flow_id
    after = build([folder], tmp_path / "carried" / "reports")
    assert [row.curves for row in after.rows] == [row.curves for row in before.rows]


def test_a_folder_without_its_runs_is_drawn_without_curves(
    passed_flow: Any, tmp_path: Path
) -> None:
    shutil.copytree(passed_flow.folder, tmp_path / "alone" / passed_flow.flow_id)
    shutil.rmtree(passed_flow.project)
    page = build([tmp_path / "alone" / passed_flow.flow_id], tmp_path)
    assert (page.metrics, len(page.rows)) == ((), 7)
    assert row_of(page, "lr-2").metrics["train_loss"] == 3.5


def test_a_damaged_record_is_a_problem_and_not_the_end(passed_flow: Any) -> None:
    damages = itertools.cycle([b"", b"{", b"[]", b'{"flow_id": 7}', b"\xff" * 99])
    for path in sorted(passed_flow.folder.glob("*.json")):
        whole = path.read_bytes()
        path.write_bytes(next(damages))
        found = evidence.show(drawn(passed_flow).flows[0])
        assert any(path.name in text for text in found.findings), path.name
        assert found.verified is False
        path.write_bytes(whole)


def test_what_is_no_flow_is_refused_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        build([tmp_path, tmp_path / "absent"], tmp_path)
    assert len(refused.value.problems) == 2
    assert "no flow's evidence is there" in str(refused.value)


def test_two_flows_of_one_campaign_show_each_row_once_as_seen_last(
    new_flow: Callable[..., Any],
) -> None:
    first, second = new_flow(campaign_id="c-one"), new_flow(campaign_id="c-one")
    running = {"run_id": "a", "index": 0, "state": "running"}
    first.start([running]).phase("P60").phase("P70", rows={"a": running}).end()
    ended = {**running, "state": "success", "ok": True}
    second.start([ended]).phase("P60").phase("P70", rows={"a": ended}).end()
    page = drawn(first, second)
    assert [(row.state, row.flow) for row in page.rows] == [("success", 1)]
    assert page.row_notes == (
        "Flows A, B followed one campaign, c-one: each of its rows is shown once, "
        "as it was seen last.",
    )


def test_two_sweeps_are_compared_row_by_row(new_flow: Callable[..., Any]) -> None:
    flows = []
    for number in range(2):
        flow = new_flow()
        flow.start([{"run_id": "a", "index": 0, "state": "success", "ok": True}])
        replaced = ".superseded/f-1/a" if number == 0 else ""
        flow.run("a", [{"step": 1, "loss": 2.0 - number}], folder=replaced)
        flow.sweep().end()
        flows.append(flow)
    page = drawn(*flows)
    assert [flow.label for flow in page.flows] == ["A", "B"]
    assert [row.curves["loss"][1] for row in page.rows] == [[2], [1]]


def test_more_points_than_a_page_can_hold_are_thinned_and_told(
    passed_flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "MAX_POINTS", 700)
    page = drawn(passed_flow)
    assert page.metrics == ("val_loss",)
    assert page.curve_notes == (
        "Curves of 1 of 2 metrics are on this page: left out are train_loss.",
    )
    for row in page.rows:
        x, y, points = row.curves["val_loss"]
        assert len(x) == len(y) <= points == 60 + row.index
    assert sum(len(row.curves["val_loss"][0]) for row in page.rows) <= 700


def test_metrics_files_too_large_to_read_whole_are_read_in_part_and_told(
    passed_flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "MAX_READ_BYTES", 10_000)
    page = drawn(passed_flow)
    assert page.curve_notes[-1].endswith("one line in 3 was read.")
    assert row_of(page, "lr-0").curves["train_loss"][2] < 60


def test_the_page_never_lies_in_a_flows_folder_nor_where_a_flow_drew_one(
    tmp_path: Path,
) -> None:
    flow = tmp_path / "reports" / "flows" / "f-1"
    assert default_place([flow]) == tmp_path / "reports" / "report-f-1.html"
    assert default_place([flow, flow]) == tmp_path / "reports" / "report-compare.html"
    carried = tmp_path / "carried"
    assert default_place([carried / "f-1"]) == carried / "report-f-1.html"


def _state_in_record(run: Path, name: str, raw: bytes) -> None:
    from pytest_wf.wire.files import sha256_bytes

    record = json.loads((run / "FETCHED.json").read_text())
    record["files"].append({"path": name, "bytes": len(raw), "sha256": sha256_bytes(raw)})
    (run / "FETCHED.json").write_text(json.dumps(record))


def test_the_page_believes_the_records_and_not_a_summary_that_was_edited(halted_flow: Any) -> None:
    before = drawn(halted_flow).flows[0].outcome
    path = halted_flow.folder / "flow.summary.json"
    summary = json.loads(path.read_bytes())
    summary.update(ok=True, exit_code=0, failed_phase=None, failure_code=0, failure_kind="")
    summary["digest"] = own_digest(summary)
    path.write_bytes(pretty_json(summary))
    shown = drawn(halted_flow).flows[0].outcome
    assert (shown.outcome, shown.headline) == (before.outcome, before.headline)
    assert "flow.summary.json: inconsistent: exit_code is 0" in shown.explained[0]


def test_a_flow_whose_evidence_was_changed_is_not_shown_as_passed(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    flow = new_flow().start([new_row("a", 0)]).before_the_sweep().sweep()
    flow.end()
    assert drawn(flow).flows[0].outcome.headline == "Passed"
    (flow.folder / "manifest.csv").write_text("run_id\n")
    shown = drawn(flow).flows[0].outcome
    assert (shown.outcome, shown.headline) == ("failed", "Not proven to have passed")
    assert shown.explained[0].startswith("The evidence does not verify: manifest.csv: changed")
    assert shown.next_command == f"wf verify {flow.folder}"


def test_results_that_were_changed_together_with_the_record_beside_them_are_told(
    passed_flow: Any,
) -> None:
    run = passed_flow.project / "reports" / "runs" / "lr-2"
    forged = b'{"step": 1, "train_loss": 0.001}\n'
    record = json.loads((run / "FETCHED.json").read_bytes())
    for file in record["files"]:
        if file["path"] == "metrics.jsonl":
            file.update(bytes=len(forged), sha256=sha256_bytes(forged))
    (run / "metrics.jsonl").write_bytes(forged)
    (run / "FETCHED.json").write_text(json.dumps(record))
    notes = row_of(drawn(passed_flow), "lr-2").notes
    assert any("is not the file that was fetched" in str(note) for note in notes)


def test_a_row_whose_only_numbers_are_in_event_files_says_what_shows_them(
    new_flow: Callable[..., Any], new_row: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    flow = new_flow().start([new_row("a", 0, metrics={}), new_row("b", 1)])
    for run_id in ("a", "b"):
        flow.run(run_id, more={"out/runs/events.out.tfevents.1.pod": b"x"})
    page = drawn(flow.before_the_sweep().sweep())
    assert "pip install 'pytest-wf[tensorboard]'" in " ".join(row_of(page, "a").notes)
    assert row_of(page, "b").notes == []


def test_event_files_fill_in_what_no_other_source_has_and_rank_nothing(
    new_flow: Callable[..., Any], new_row: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        new_row(n, i, metrics={"step": 9, "Loss": 2 + i}, sources={"Loss": "log"})
        for i, n in enumerate("ab")
    ]
    flow = new_flow().start(rows)
    report = {"attempt": 1, "source": "log", "step": 9, "Loss": 2.0}
    flow.run("a", [report])
    flow.run("b", [report])
    points = {"loss": ([1, 2], [0.5, 0.25]), "val_loss": ([1, 2], [9.0, 1.0])}
    found = [Scalars({}), Scalars(points)]
    monkeypatch.setattr(building, "read_all", lambda wanted: found)
    page = drawn(flow.before_the_sweep().sweep())
    row = row_of(page, "b")
    assert row.metrics == {"step": 9, "Loss": 3, "val_loss": 1.0}
    assert row.sources == {"Loss": "log", "val_loss": "tensorboard"}
    assert row.curves["val_loss"] == ([1, 2], [9, 1], 2)
    assert row.curves["Loss"] == ([9], [2], 1)
    assert [row.run_id for row in page.rows] == ["a", "b"]
    assert page.ranking.rule is not None and page.ranking.rule.metric == "Loss"
