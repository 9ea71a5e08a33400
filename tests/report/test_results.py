"""The rows of flows with typed values: `wf results`, `pytest_wf.load`, `wf costs`."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import pytest_wf
from pytest_wf.cli import output
from pytest_wf.cli.commands.results import app
from pytest_wf.errors import InputError
from pytest_wf.report.costs import CALCULATED, STATED, cost_of, total
from pytest_wf.report.folder import read_folder
from pytest_wf.report.results import COLUMNS, results_of
from pytest_wf.wire.states import UNKNOWN
from tests.report.conftest import WrittenFlow, row


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good rows, one whose loss is NaN, one that failed; the pod costs $8 an hour."""
    written = WrittenFlow(tmp_path_factory.mktemp("results"), "f-20260301T083000Z-000001", "c-1")
    extremes = {"val_loss": {"step": 9, "min": 1.0, "min_step": 4, "max": "inf", "max_step": 1}}
    rows = [
        row("a", 0, metrics={"step": 9, "val_loss": 1.5}, extremes=extremes),
        row("b", 1, metrics={"step": 9, "val_loss": 1.25}, gpus=[0, 1]),
        row("nan", 2, metrics={"step": 9, "val_loss": "nan"}),
        row("bad", 3, "failed", metrics={}, reason="CUDA out of memory"),
    ]
    written.start(rows)
    written.before_the_sweep()
    written.run("a", [{"step": 9, "val_loss": 1.5}])
    written.sweep()
    return Path(written.end(usd_per_hour=8.0, cost_usd=4.0))


def test_a_row_has_its_parameters_metrics_and_extremes_as_typed_values(flow: Path) -> None:
    found = results_of([flow])
    first = found.rows[0]
    assert found.columns[: len(COLUMNS)] == COLUMNS
    assert found.columns[len(COLUMNS) :] == (
        "override.lr",
        "override.depth",
        "last.step",
        "last.val_loss",
        "min.val_loss",
        "max.val_loss",
    )
    assert (first["run_id"], first["ok"], first["config"], first["seed"]) == (
        "a",
        True,
        "gpt2.py",
        0,
    )
    assert (first["override.lr"], first["override.depth"]) == (3e-4, 6)
    assert (first["last.val_loss"], first["min.val_loss"]) == (1.5, 1.0)
    assert first["max.val_loss"] == math.inf
    assert (first["duration_s"], first["attempts"], first["exit_code"]) == (20.0, 1, 0)
    assert Path(first["path"]).name == "a" and found.rows[1]["path"] == ""


def test_a_flow_that_launched_no_row_leads_to_earlier_ones(tmp_path: Path, flow: Path) -> None:
    halted = WrittenFlow(tmp_path, "f-20260301T083000Z-000002", "c-1").start([row("a", 0)])
    halted.before_the_sweep()
    (remark,) = results_of([Path(halted.end())]).remarks
    assert remark.startswith(f"{halted.folder.name}: it launched no row; `wf results FOLDER` shows")
    assert remark.endswith(f"a folder of {halted.folder.parent}.")
    assert results_of([flow]).remarks == ()


def test_rows_are_ranked_and_the_best_is_named_with_its_flow(flow: Path) -> None:
    found = results_of([flow])
    assert [row["rank"] for row in found.rows] == [2, 1, None, None]
    assert found.best == {
        "flow_id": flow.name,
        "run_id": "b",
        "metric": "val_loss",
        "goal": "minimize",
        "value": 1.25,
        "guessed": True,
    }
    other = results_of([flow], "maximize val_loss").best
    assert other is not None and (other["run_id"], other["guessed"]) == ("a", False)


def test_rows_of_several_flows_are_ranked_together(flow: Path, tmp_path: Path) -> None:
    second = WrittenFlow(tmp_path, "f-20260301T083000Z-000002", "c-2")
    second.start([row("a", 0, metrics={"val_loss": 1.0})]).before_the_sweep().sweep()
    found = results_of([flow, second.end(), flow])
    assert [row["flow_id"] for row in found.rows] == [flow.name] * 4 + [second.flow_id]
    assert found.best is not None
    assert (found.best["flow_id"], found.best["run_id"]) == (second.flow_id, "a")


def test_folders_without_a_flow_are_named_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        results_of([tmp_path / "one", tmp_path / "two"])
    assert [problem.value for problem in caught.value.problems] == [
        str(tmp_path / "one"),
        str(tmp_path / "two"),
    ]


def test_costs_and_results_name_every_folder_without_a_flow(tmp_path: Path) -> None:
    named = [str(tmp_path / "one"), str(tmp_path / "two")]
    for command in ("results", "costs"):
        done = CliRunner().invoke(app, [command, *named])
        assert done.exit_code == 4
        assert all(name in done.stderr for name in named)


def test_flows_that_were_ranked_otherwise_are_ranked_as_the_last_one(
    flow: Path, tmp_path: Path
) -> None:
    last = WrittenFlow(tmp_path, "f-20260301T083000Z-000002", "c-2")
    last.start([row("a", 0, metrics={"val_loss": 9.0})], "maximize val_loss").sweep()
    assert results_of([flow, last.end()]).ranking.words == "highest final val_loss"
    assert results_of([last.folder, flow]).ranking.words.startswith("lowest final val_loss (metric")


def test_a_flow_without_rows_says_so_and_named_twice_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = WrittenFlow(tmp_path, "f-20260301T083000Z-000002", "c-2").start().end()
    assert CliRunner().invoke(app, ["results", str(empty)]).stdout.endswith("\nno rows\n")
    one = WrittenFlow(tmp_path, "f-20260301T083000Z-000003", "c-3").start([row("a", 0)])
    one.sweep().end()
    monkeypatch.chdir(one.folder.parent)
    assert len(results_of([one.folder, Path(one.flow_id)]).rows) == 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "flow.summary.json").unlink(), "not ended, or was killed"),
        (lambda f: (f / "flow.summary.json").write_text("{"), "summary.json cannot be read"),
        (lambda f: (f / "phase.P70.evidence.json").write_text("{"), "evidence.json cannot be read"),
        (lambda f: (f / "phase.P70.verdict.json").unlink(), "not as it was written"),
    ],
)
def test_rows_from_evidence_that_is_not_whole_come_with_a_remark(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    written = WrittenFlow(tmp_path, "f-20260301T083000Z-000002", "c-2").start([row("a", 0)])
    folder = written.before_the_sweep().sweep().end()
    assert results_of([folder]).remarks == ()
    damage(folder)
    done = CliRunner().invoke(app, ["results", str(folder), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["rows"][0]["run_id"]) == (0, "a")
    assert said in done.stderr


def test_a_parameter_named_as_a_column_of_the_table_keeps_its_values(tmp_path: Path) -> None:
    written = WrittenFlow(tmp_path, "f-20260301T083000Z-000002", "c-2")
    written.start([row("a", 0), row("b", 1)]).before_the_sweep()
    written.sweep({name: f"c.py,1,cost_usd={n} state={n}1" for n, name in ((7, "a"), (8, "b"))})
    folder = written.end(usd_per_hour=8.0, cost_usd=4.0)
    lines = CliRunner().invoke(app, ["results", str(folder)]).stdout.splitlines()
    [titles] = [line.split() for line in lines if line.startswith("  row")]
    assert titles[3:8] == ["cost_usd", "state", "row", "cost", "step"]
    assert [line.split()[-6:-3] for line in lines if " success " in line] == [
        ["7", "71", "$0.005556"],
        ["8", "81", "$0.005556"],
    ]


def test_csv_has_every_column_and_reads_back(flow: Path) -> None:
    done = CliRunner().invoke(app, ["results", str(flow), "--csv"])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["run_id"] for row in rows] == ["a", "b", "nan", "bad"]
    assert (rows[0]["ok"], rows[2]["last.val_loss"], rows[3]["rank"]) == ("true", "nan", "")
    assert rows[3]["reason"] == "CUDA out of memory"


@pytest.mark.parametrize(
    ("overrides", "column", "cell"),
    [
        ("x==1+1", "override.x", "'=1+1"),
        ("x=@a", "override.x", "'@a"),
        ("x=-a", "override.x", "'-a"),
        ("x=-1e-3", "override.x", "-0.001"),
        ("-1", "override.arguments", "-1"),
        ("'=a' b", "override.arguments", "'=a b"),
        ("x=a", "override.x", "a"),
    ],
)
def test_a_text_that_a_spreadsheet_takes_for_a_formula_has_an_apostrophe_in_csv(
    tmp_path: Path, overrides: str, column: str, cell: str
) -> None:
    written = WrittenFlow(tmp_path, "f-20260301T083000Z-000002", "c-2").start([row("a", 0)])
    found = results_of([written.sweep({"a": f"c.py,1,{overrides}"}).end()])
    [read] = csv.DictReader(io.StringIO(found.as_csv()))
    assert read[column] == cell


def test_json_is_strict_and_has_the_best_row(flow: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    done = CliRunner().invoke(app, ["results", str(flow), "--json"])
    document = json.loads(done.stdout, parse_constant=refuse)
    assert (document["best"]["run_id"], document["rows"][2]["last.val_loss"]) == ("b", "nan")
    assert document["columns"] == list(results_of([flow]).columns)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--json", "nowhere"], "no flow's evidence is there"),
        (["--json", "--rank-by", "speed"], "whether a low or a high speed is better"),
        (["--json", "--csv"], "not together with --json"),
    ],
)
def test_a_mistake_is_one_json_document_too(flow: Path, words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["results", str(flow), *words])
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["kind"]) == (4, "config")
    assert said in error["message"]
    assert error["next"] and error["next"] in error["message"]


def test_the_table_has_the_best_row_first(flow: Path) -> None:
    lines = CliRunner().invoke(app, ["results", str(flow)]).stdout.splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("  row"))
    assert lines[begin].split()[:4] == ["row", "state", "val_loss", "lr"]
    assert [line.split()[0] for line in lines[begin + 1 : begin + 5]] == ["*", "a", "nan", "bad"]
    said = "lowest final val_loss (metric chosen by name; see WF_RANK_BY)"
    assert lines[-1] == f"* the best row: {said}"


def test_load_gives_the_same_columns_as_a_list(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows = pytest_wf.load(flow)
    assert rows == pytest_wf.load(str(flow), frame=False)
    assert tuple(rows[0]) == results_of([flow]).columns
    assert rows[1]["last.val_loss"] == 1.25 and math.isnan(rows[2]["last.val_loss"])
    with pytest.raises(ImportError):
        pytest_wf.load(flow, frame=True)


def test_load_gives_a_data_frame_whose_columns_have_types(flow: Path) -> None:
    frame: Any = pytest_wf.load(flow)
    rows = pytest_wf.load(flow, frame=False)
    assert list(frame.columns) == list(results_of([flow]).columns)
    assert frame["last.val_loss"].min() == 1.25
    assert frame["last.val_loss"].dtype == "float64"
    assert frame.run_id.to_list() == [row["run_id"] for row in rows]


@pytest.mark.parametrize("rule", ["speed", "min(", "val loss"])
def test_load_refuses_what_is_no_rule(flow: Path, rule: str) -> None:
    with pytest.raises(InputError, match="rank_by"):
        pytest_wf.load(flow, rank_by=rule)


def test_a_row_costs_its_share_of_the_pods_price(flow: Path) -> None:
    costs = [row["cost_usd"] for row in results_of([flow]).rows]
    # 20 s at $8 an hour on one of 8 GPUs, and on two
    assert costs[0] == pytest.approx(20 / 3600 * 8 / 8, abs=2e-6)
    assert costs[1] == pytest.approx(2 * costs[0], abs=2e-6)


def test_a_cost_is_stated_by_the_provider_or_calculated_or_unknown(
    flow: Path, tmp_path: Path
) -> None:
    released = {"usd_per_hour": 2.0, "cost_usd": 0.5}
    unknown = WrittenFlow(tmp_path, "f-20260301T083000Z-000002", "c-2").start().end()
    deleted = WrittenFlow(tmp_path, "f-20260301T083000Z-000003", "c-3").start()
    third = deleted.end(teardown={"deleted": True, "kept": None, "released": released})
    found = [cost_of(read_folder(f)) for f in (flow, unknown, third)]
    assert [cost.source for cost in found] == [CALCULATED, UNKNOWN, STATED]
    assert (found[0].cost_usd, found[0].hours, found[0].is_kept) == (4.0, 0.5, True)
    assert (found[2].cost_usd, found[2].hours, found[2].is_kept) == (0.5, 0.25, False)
    assert total(found) == (4.5, 1)


def test_costs_that_no_record_says_are_unknown_and_not_nothing(tmp_path: Path) -> None:
    written = WrittenFlow(tmp_path, "f-20260301T083000Z-000002", "c-2")
    folder = str(written.start([row("a", 0)]).sweep().end())
    done = CliRunner().invoke(app, ["costs", folder])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "total: unknown; the cost of 1 of 1 flows is unknown"
    document = json.loads(CliRunner().invoke(app, ["costs", folder, "--json"]).stdout)
    assert document["flows"][0]["cost_usd"] is None
    assert set(document["flows"][0]["rows"].values()) == {None}


@pytest.mark.parametrize("is_same", [True, False])
def test_a_flow_that_launched_nothing_has_the_parameters_of_its_csv_where_that_is_the_campaigns(
    tmp_path: Path, is_same: bool
) -> None:
    written = WrittenFlow(tmp_path, "f-20260301T083000Z-000002", "c-2").start([row("a", 0)])
    copy = written.store.attach(
        "sweep.csv", b"run_id,config,seed,overrides,notes\na,c.py,1,lr=2,\n"
    )
    artifact = written.store.artifact("manifest-source", copy)
    written.phase("P00", artifacts=[artifact]).phase("P60", status="skip")
    seen = artifact.sha256 if is_same else "0" * 64
    rows = {r["run_id"]: r for r in written.rows}
    written.phase("P70", rows=rows, facts={"manifest_sha256": seen})
    [found] = results_of([written.end()]).rows
    assert (found.get("override.lr"), found["seed"]) == ((2, 1) if is_same else (None, None))


def test_people_get_one_line_of_header_and_styles_and_with_no_color_none(
    flow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_for_people", lambda file: True)
    monkeypatch.setenv("COLUMNS", "80")
    coloured = CliRunner().invoke(app, ["results", str(flow)], color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    plain = CliRunner().invoke(app, ["results", str(flow)], color=True).stdout
    assert "\x1b[1m* b" in coloured and "\x1b[" not in plain
    header, titles, *rows = plain.splitlines()
    assert header.startswith("pytest-wf ") and titles.startswith("  row")
    assert all(len(line) <= 80 for line in rows)


def test_without_a_name_it_is_the_newest_flow_and_all_flows_for_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "workflow.env").touch()
    monkeypatch.chdir(tmp_path)
    nothing = CliRunner().invoke(app, ["results", "--json"])
    assert nothing.exit_code == 4
    assert "no flow has left evidence there" in nothing.stdout
    for number in (1, 2):
        written = WrittenFlow(tmp_path, f"f-20260301T083000Z-00000{number}", "c-1")
        written.start([row("a", 0)]).end()
    shown = json.loads(CliRunner().invoke(app, ["results", "--json"]).stdout)
    assert [one["flow_id"] for one in shown["rows"]] == ["f-20260301T083000Z-000002"]
    costs = json.loads(CliRunner().invoke(app, ["costs", "--json"]).stdout)
    assert len(costs["flows"]) == 2
