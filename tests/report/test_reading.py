"""Which row won, and why, read off the page in a browser and compared with pandas and scipy."""

from __future__ import annotations

import csv
import itertools
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
from playwright.sync_api import Browser, Page, expect
from scipy import stats

from pytest_wf.report.page import write_report
from pytest_wf.report.running import Running, SeenCurves
from pytest_wf.wire.rows import RowStatus
from tests.support.browser import Open, runs_in

pytestmark = pytest.mark.browser

LR, DEPTHS, SEEDS = (1e-4, 3e-4, 1e-3, 3e-3), (4, 6, 8), (1, 2, 3)


class Sweep:
    """A sweep of a known function: a quadratic in two parameters, with noise over seeds."""

    def __init__(self) -> None:
        noise = random.Random(7)
        self.rows: dict[str, tuple[float, int, int, float]] = {}
        for lr, depth, seed in itertools.product(LR, DEPTHS, SEEDS):
            loss = 2 + (math.log10(lr) + 3.1) ** 2 + 0.05 * (depth - 7) ** 2
            name = f"lr{lr:g}-d{depth}-s{seed}"
            self.rows[name] = (lr, depth, seed, round(loss + noise.gauss(0, 0.02), 5))

    def write(self, flow: Any, new_row: Callable[..., Any]) -> Path:
        """The sweep as a flow that ended, and its page."""
        rows, cells = [], {}
        for index, (name, (lr, depth, seed, loss)) in enumerate(self.rows.items()):
            rows.append(new_row(name, index, metrics={"step": 40, "val_loss": loss}))
            cells[name] = f"gpt2.py,{seed},--lr={lr:g} depth={depth}"
            flow.run(name, [{"step": s, "val_loss": loss + 4 / (s + 1)} for s in range(0, 41, 10)])
        flow.start(rows).before_the_sweep().sweep(cells).end()
        return write_report([flow.folder], flow.page)

    @property
    def frame(self) -> Any:
        """The sweep as a data frame of lr, depth, seed and loss."""
        return pandas.DataFrame(self.rows.values(), columns=["lr", "depth", "seed", "loss"])


@pytest.fixture
def sweep(new_flow: Callable[..., Any], new_row: Callable[..., Any]) -> tuple[Sweep, Path]:
    made = Sweep()
    return made, made.write(new_flow(), new_row)


def cells_of(page: Page, key: str) -> list[str]:
    """The cells of the table's column `key`."""
    headings = page.locator("#table th").evaluate_all("all => all.map((th) => th.dataset.key)")
    place = headings.index(key) + 1
    return page.locator(f"#table tbody tr > td:nth-child({place})").all_inner_texts()


def test_best_row_and_means_over_seeds_are_right(
    sweep: tuple[Sweep, Path], open_page: Open, tmp_path: Path
) -> None:
    made, path = sweep
    page = open_page(path)
    losses = {name: loss for name, (_, _, _, loss) in made.rows.items()}
    best = sorted(losses, key=losses.__getitem__)
    assert runs_in(page) == best
    assert best[0] in page.locator(".winner").inner_text()
    page.get_by_label("Group by").select_option(label="all parameters but seed")
    settings = made.frame.groupby(["lr", "depth"]).loss.agg(["mean", "std"]).sort_values("mean")
    lr_and_depth = zip(cells_of(page, "p:lr"), cells_of(page, "p:depth"), strict=True)
    shown = [(float(lr), int(depth)) for lr, depth in lr_and_depth]
    assert shown == settings.index.to_list()
    assert set(cells_of(page, "p:seed")) == {"1, 2, 3"}
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    download.value.save_as(tmp_path / "groups.csv")
    with (tmp_path / "groups.csv").open(newline="") as f:
        found = list(csv.DictReader(f))
    assert "Rank" not in found[0]
    assert {row["seed"] for row in found} == {"1, 2, 3"}
    for row, (mean, deviation) in zip(found, settings.to_numpy(), strict=True):
        assert row["rows"] == row["val_loss n"] == "3"
        assert float(row["val_loss"]) == pytest.approx(mean)
        assert float(row["val_loss deviation"]) == pytest.approx(deviation)
    # the curves are the groups' means too: the last step has 4 / 41 more than the result
    means = page.evaluate(
        "shown.visible.map((line) => [line.points[1].at(-1), line.spread.at(-1)])"
    )
    expected = [(mean + 4 / 41, deviation) for mean, deviation in settings.to_numpy()]
    assert means == [pytest.approx(pair, rel=1e-4) for pair in reversed(expected)]
    assert "mean of 3 rows" in page.evaluate("said({ line: shown.visible.at(-1), i: 0 })")


def test_means_over_seeds_are_those_of_a_seed_among_the_overrides_too(
    new_flow: Callable[..., Any], new_row: Callable[..., Any], open_page: Open
) -> None:
    cells = {
        f"r{lr}-{seed}": f"gpt2.py,1,--lr={lr} --data-seed={seed}"
        for lr in (1, 2)
        for seed in (1, 3)
    }
    rows = [new_row(name, i, metrics={"val_loss": float(i)}) for i, name in enumerate(cells)]
    flow = new_flow().start(rows)
    flow.sweep(cells).end()
    page = open_page(write_report([flow.folder], flow.page))
    page.get_by_label("Group by").select_option(label="all parameters but seed")
    assert cells_of(page, "p:lr") == ["1", "2"]
    assert cells_of(page, "p:data_seed") == ["1, 3", "1, 3"]
    assert [float(text.split()[0]) for text in cells_of(page, "m:val_loss")] == [0.5, 2.5]


def test_correlations_and_explained_shares_are_those_of_scipy(
    sweep: tuple[Sweep, Path], open_page: Open
) -> None:
    made, path = sweep
    page = open_page(path)
    page.locator("#parameters").scroll_into_view_if_needed()
    expect(page.locator("#scatters figure")).to_have_count(2)
    frame = made.frame
    effects = page.evaluate(
        "tunable().map((c) => effect(page.rows, c, measureOf('val_loss')))"
        ".map(({ rho, share }) => [rho, share])"
    )
    for (rho, share), name in zip(effects, ("lr", "depth"), strict=True):
        assert rho == pytest.approx(stats.spearmanr(frame[name], frame.loss).statistic)
        assert share == pytest.approx(epsilon_squared(frame, name))
    # a valley has no rank correlation to speak of, and still explains nearly all
    first = page.locator("#scatters figure").first
    assert first.get_attribute("data-parameter") == "lr"
    words = first.locator("figcaption").inner_text()
    assert words.startswith("lr 36 rows; rank correlation")
    assert f"explain {100 * epsilon_squared(frame, 'lr'):.0f} % of the variance" in words
    page.get_by_label("Filter").fill("seed=1 lr<0.001 depth>4")
    expect(first.locator("figcaption")).to_contain_text("4 rows: too few for a correlation")


def epsilon_squared(frame: Any, name: str) -> float:
    """The share of the losses' variance between the values of a parameter, less chance's.

    By the analysis of variance: epsilon squared, from its F.
    """
    groups = [group.loss for _, group in frame.groupby(name)]
    between = len(groups) - 1
    ratio = float(stats.f_oneway(*groups).statistic)
    return (ratio - 1) * between / (ratio * between + len(frame) - len(groups))


def test_scatters_and_parallel_coordinates_name_rows_and_open_them(
    sweep: tuple[Sweep, Path], open_page: Open
) -> None:
    _, path = sweep
    page = open_page(path)
    scatter = page.locator("#scatters .scatter").first
    page.locator("#parameters").scroll_into_view_if_needed()
    scatter.focus()
    page.keyboard.press("ArrowRight")
    readout = page.locator("#scatters .readout").first.inner_text()
    assert readout.startswith("lr0.0001-d")
    page.keyboard.press("Enter")
    assert readout.startswith(page.locator("tr.chosen td.is-run button").inner_text())
    lines = page.locator("#parallel path")
    assert lines.count() == 36
    lines.last.hover(position={"x": 1, "y": 1}, force=True)
    assert page.locator("#parallel path.chosen").count() == 1
    assert "val_loss" in page.locator("#parallel .tip").inner_text()
    page.locator("#parallel svg").dispatch_event("click")
    assert page.locator("tr.chosen td.is-run button").count() == 1


def test_what_was_chosen_is_in_the_address_and_comes_back_with_it(
    sweep: tuple[Sweep, Path], open_page: Open
) -> None:
    _, path = sweep
    page = open_page(path)
    page.get_by_label("Filter").fill("depth>=6")
    page.get_by_label("Smoothing").fill("0.5")
    page.get_by_label("Colour").select_option(label="lr")
    page.get_by_label("log y").check()
    page.get_by_label("Group by").select_option(label="lr")
    page.get_by_text("Columns", exact=True).click()
    page.locator("#column-choice").get_by_label("Took").uncheck()
    page.locator("#column-choice").get_by_label("Row", exact=True).check()
    page.keyboard.press("Escape")
    assert not page.locator("#column-choice").is_visible()
    expect(page.locator("#row-count")).to_contain_text("4 groups of 24 of 36 rows")
    page.locator('th[data-key="p:depth"] button').click()
    chosen = page.evaluate("view")
    page.reload()
    assert page.evaluate("view") == chosen
    assert (chosen["filter"], chosen["smooth"], chosen["colour"]) == ("depth>=6", 0.5, "p:lr")
    assert (chosen["logy"], chosen["group"], chosen["sort"]) == (True, "p:lr", "p:depth")
    keys = page.locator("#table th").evaluate_all("all => all.map((th) => th.dataset.key)")
    assert "took" not in keys and "row" in keys
    assert "4 groups of 24 of 36 rows" in page.locator("#row-count").inner_text()
    assert page.get_by_label("Group by").input_value() == "p:lr"
    page.locator("tr.group td.is-run button").first.click()
    assert len(runs_in(page)) == 6
    # a link within the page keeps it, and another address in the same tab shows another state
    page.get_by_role("link", name="Phases").click()
    assert "group=p" in page.url
    page.evaluate("location.hash = '#sort=spark&group=spark&colour=spark&metric=x&columns=%25&x=%'")
    expect(page.locator("#row-count")).to_have_text("36 rows")
    page.evaluate("location.hash = '#sort=-p:lr'")
    expect(page.locator("#table tr[data-run]").first).to_contain_text("lr0.003")


def test_curves_are_drawn_over_time_and_epochs_where_runs_report_them(
    new_flow: Callable[..., Any], new_row: Callable[..., Any], open_page: Open
) -> None:
    flow = new_flow().start([new_row("a", 0), new_row("b", 1)]).before_the_sweep()
    for name, pace in (("a", 2.0), ("b", 3.0)):
        reports = [
            {"step": s, "loss": 4.0 - s % 2, "epoch": s / 10, "_timestamp": 1.7e9 + pace * s}
            for s in range(11)
        ]
        flow.run(name, reports)
    flow.sweep().end()
    page = open_page(write_report([flow.folder], flow.page))
    page.get_by_label("Metric").select_option(label="loss")
    over = page.locator("#x-axis")
    assert over.locator("option").all_inner_texts() == ["step", "time", "epoch"]
    ends = "shown.visible.map((line) => [line.name, line.points[0].at(-1)]).sort()"
    over.select_option(label="time")
    assert page.evaluate(ends) == [["a", 20], ["b", 30]]
    over.select_option(label="epoch")
    assert page.evaluate(ends) == [["a", 1], ["b", 1]]
    page.get_by_label("Smoothing").fill("0.9")
    smooth = page.evaluate("shown.visible[0].points[1]")
    assert max(smooth[2:]) - min(smooth[2:]) < 0.5
    assert smooth[0] == 4
    assert "at epoch 1" in page.evaluate("said({ line: shown.visible[0], i: 10 })")


def test_the_best_of_an_accuracy_is_the_highest_and_has_the_strongest_colour(
    new_flow: Callable[..., Any], new_row: Callable[..., Any], open_page: Open
) -> None:
    flow = new_flow()
    flow.start([new_row(f"r{i}", i, metrics={"accuracy": i / 20}) for i in range(12)])
    for i in range(12):
        flow.run(f"r{i}", [{"step": s, "accuracy": i / 20} for s in range(2)])
    flow.before_the_sweep().sweep().end()
    page = open_page(write_report([flow.folder], flow.page))
    assert runs_in(page)[:2] == ["r11", "r10"]
    assert "highest final accuracy" in page.locator(".winner").inner_text()
    assert page.evaluate("[shown.visible.at(-1).name, shown.visible.at(-1).colour]") == [
        "r11",
        "rgb(10,77,160)",
    ]
    assert "0.55 (highest)" in page.locator("#legend").inner_text()


def test_without_scripts_there_is_a_table(passed: Path, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(passed.as_uri())
    rows = page.locator("#table tbody tr").all_inner_texts()
    assert rows[0].split("\t")[:4] == ["1", "lr-0 best", "success", "1.75"]
    assert len(rows) == 7
    assert not page.locator("#chart").is_visible()
    context.close()


def test_a_running_page_loads_itself_again_and_stops_at_the_end(
    new_flow: Callable[..., Any], new_row: Callable[..., Any], open_page: Open
) -> None:
    flow = new_flow().start([new_row("a", 0), new_row("b", 1)]).before_the_sweep()

    def draw(step: int) -> None:
        rows = [RowStatus("a", "running", progress={"step": step}), RowStatus("b", "pending", 1)]
        write_report([flow.folder], flow.page, None, Running(rows, SeenCurves(), 0.1))

    draw(1111)
    page = open_page(flow.page)
    page.get_by_role("button", name="running 1").click()
    assert "The flow is running" in page.locator("#live").inner_text()
    assert "whether it is still running is unknown" in page.evaluate("liveText(1000)")
    draw(2222)
    # not under the reader's hand
    page.evaluate("touchedAt = 0")
    expect(page.locator("#table")).to_contain_text("2,222")
    assert page.locator("#row-count").inner_text() == "1 of 2 rows"
    flow.sweep().end()
    write_report([flow.folder], flow.page)
    expect(page.locator("#live")).to_have_count(0)
    assert page.locator("h1").inner_text() == "Passed"
    expect(page.locator("#row-count")).to_have_text("2 rows")


def test_paper_has_light_colours_all_rows_and_all_parts(
    new_flow: Callable[..., Any], new_row: Callable[..., Any], open_page: Open
) -> None:
    flow = new_flow().start([new_row(f"r{i}", i) for i in range(60)])
    flow.before_the_sweep().sweep().end()
    page = open_page(write_report([flow.folder], flow.page), scheme="dark")
    assert len(runs_in(page)) == 50
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(runs_in(page)) == 60
    assert not page.evaluate("theme.isDark()")
    assert page.locator("#scatters figure").count() == 2
    drawn = page.locator("#chart canvas, #scatters canvas").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().right)"
    )
    main = page.locator("main").bounding_box()
    assert main is not None
    assert drawn
    assert max(drawn) - main["x"] <= 940
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert len(runs_in(page)) == 50
    assert page.evaluate("theme.isDark()")


def test_close_values_large_numbers_and_what_ended_as_nan_are_told_apart(
    new_flow: Callable[..., Any], new_row: Callable[..., Any], open_page: Open
) -> None:
    flow = new_flow()
    losses = {"a": 2.00001, "b": 2.00002, "nan": "nan", "below": "-inf"}
    flow.start(
        [new_row(name, i, metrics={"val_loss": v}) for i, (name, v) in enumerate(losses.items())]
    )
    for name in losses:
        flow.run(name, [{"step": s, "val_loss": 0.5 if name == "nan" else 3} for s in range(2)])
    cells = {
        name: f"a.py,{3141592650 + i},lr={1.23451 + i / 1e5}e-5 n={10**17 + i}"
        for i, name in enumerate(losses)
    }
    page = open_page(
        write_report([flow.before_the_sweep().sweep(cells).end()], flow.page), size=(1600, 900)
    )
    assert cells_of(page, "m:val_loss") == ["2.00001", "2.00002", "nan", "-inf"]
    assert cells_of(page, "p:seed")[:2] == ["3141592650", "3141592651"]
    assert cells_of(page, "p:lr")[:2] == ["1.23451e-5", "1.23452e-5"]
    assert cells_of(page, "p:n")[:2] == ["100000000000000000", "100000000000000001"]
    assert "2.00001" in page.locator(".winner").inner_text()
    # the last finite point of a run that ended otherwise is not its result
    assert page.locator("#legend button").all_inner_texts()[-2:] == ["nan\nnan", "below\n-inf"]
    assert ",below,success,-inf," in page.evaluate("tableAsCsv()")
    page.get_by_label("Filter").fill("val_loss>1")
    expect(page.locator("#row-count")).to_have_text("2 of 4 rows")


def test_the_mean_of_curves_has_the_rows_that_the_table_has_and_says_how_many_reach_a_step(
    new_flow: Callable[..., Any], new_row: Callable[..., Any], open_page: Open
) -> None:
    broken = {"ok": False, "failure_class": "expect", "reason": "expected loss<1, was 2"}
    flow = new_flow().start([new_row("a", 0), new_row("b", 1, "failed", **broken)])
    flow.run("a", [{"step": s, "loss": 1.0} for s in range(3)])
    flow.run("b", [{"step": s, "loss": 2.0} for s in range(2)])
    cells = {name: f"a.py,{i},lr=1" for i, name in enumerate("ab")}
    flow.before_the_sweep().sweep(cells).end()
    page = open_page(write_report([flow.folder], flow.page))
    page.evaluate("view.group = 'params'; refresh()")
    said = page.evaluate("[1, 2].map((i) => said({ line: shown.visible[0], i }))")
    assert said[0].startswith("loss 1.5 ") and said[0].endswith("mean of 2 rows")
    assert said[1].startswith("loss 1 ") and said[1].endswith("mean of 1 row")
