"""The page in a real browser: nothing loaded, nothing broken, everything reachable."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pytest_wf.report.page import write_report
from tests.support.browser import DESK, PHONE, Open, runs_in
from tests.support.waiting import until

pytestmark = pytest.mark.browser


@pytest.fixture
def halted(halted_flow: Any) -> Path:
    return write_report([halted_flow.folder], halted_flow.page)


@pytest.fixture
def seeds(new_flow: Callable[..., Any], new_row: Callable[..., Any]) -> Path:
    """Four groups of three seeds, the last of which failed twice with a great loss."""
    flow = new_flow()
    rows, cells = [], {}
    for i in range(11):
        state, value = ("failed", 1e6) if i > 8 else ("success", 0.9250449 + i // 3)
        rows.append(new_row(f"r{i}", i, state, metrics={"val_loss": value}))
        cells[f"r{i}"] = f"gpt2.py,{i % 3},lr={1 + i // 3}e-4"
        flow.run(f"r{i}", [{"step": 1, "val_loss": 4.0}, {"step": 2, "val_loss": value}])
    flow.start(rows)
    flow.sweep(cells).end()
    return write_report([flow.folder], flow.page)


def counted(page: Page) -> tuple[int, int]:
    """Curves and points that the plot holds."""
    data = page.locator("#chart")
    return int(str(data.get_attribute("data-curves"))), int(str(data.get_attribute("data-points")))


def is_drawn(page: Page) -> None:
    """Wait until the plot has its scales: it draws a moment after it was made."""
    until(lambda: page.evaluate("shown.full !== null"), "the plot is drawn")


def open_everything(page: Page) -> None:
    """Open each part of the page that can be opened, with a row of the table, and draw all."""
    opened = "document.querySelectorAll('{}').forEach((d) => {{ d.open = true; }})"
    page.evaluate(opened.format("details:not(.menu)"))
    page.locator("td.is-run button").last.click()
    page.evaluate(opened.format("details"))
    page.evaluate("byId('scatters') && drawParameters()")


def drawn_pixels(page: Page) -> int:
    """Pixels of the plot that something was drawn on."""
    count: int = page.evaluate(
        """() => {
          const canvas = document.querySelector("#chart canvas");
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          let count = 0;
          for (let i = 3; i < data.length; i += 4) count += data[i] > 128;
          return count;
        }"""
    )
    return count


def test_every_point_of_metrics_jsonl_is_in_the_plot(
    passed: Path, open_page: Open, passed_flow: Any
) -> None:
    page = open_page(passed)
    files = (passed_flow.project / "reports" / "runs").glob("*/metrics.jsonl")
    points = [len(path.read_text().splitlines()) for path in files]
    assert counted(page) == (7, sum(points))
    plotted = page.evaluate("shown.plot.data.slice(1).map((d) => d[0].length)")
    assert sorted(plotted) == sorted(points)
    is_drawn(page)
    assert drawn_pixels(page) > 2_000
    assert page.locator("td.is-spark canvas").count() == 7


def test_the_best_row_comes_first_and_columns_sort_both_ways_and_back(
    passed: Path, open_page: Open
) -> None:
    page = open_page(passed)
    ranked = [*(f"lr-{i}" for i in range(6)), "wide"]
    assert runs_in(page) == ranked
    assert page.locator("tr:has(.best) td.is-run button").all_inner_texts() == ["lr-0"]
    winner = page.locator(".winner").inner_text().split("\n")
    assert winner[1:6] == ["lr-0", "lowest final val_loss", "1.75", "lr 0.0003", "depth 6"]
    heading = page.locator('th[data-key="p:lr"]')
    heading.get_by_role("button").click()
    assert runs_in(page)[-1] == "wide"
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").click()
    assert runs_in(page)[0] == "wide"
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").click()
    assert runs_in(page) == ranked
    assert heading.get_attribute("aria-sort") is None


def test_the_filter_narrows_table_and_curves_alike(passed: Path, open_page: Open) -> None:
    page = open_page(passed)
    page.get_by_label("Filter").fill("gpt2.py depth=7")
    expect(page.locator("#table td.is-run")).to_have_count(2)
    assert runs_in(page) == ["lr-1", "lr-4"]
    assert counted(page)[0] == 2
    page.get_by_label("Filter").fill("lr>0.0012 depth!=8 state=success")
    expect(page.locator("#table td.is-run")).to_have_count(1)
    assert runs_in(page) == ["lr-4"]
    page.get_by_label("Filter").fill("no such run")
    expect(page.locator("#table td.is-run")).to_have_count(0)
    assert page.locator("#row-count").inner_text() == "0 of 7 rows"
    assert "No curve to draw" in page.locator("#chart").inner_text()
    page.get_by_label("Filter").fill("")
    expect(page.locator("#table td.is-run")).to_have_count(7)
    page.get_by_role("button", name="failed 1").click()
    assert runs_in(page) == ["wide"]
    assert counted(page)[0] == 1


def test_parameters_of_failed_rows_alone_are_not_compared(passed: Path, open_page: Open) -> None:
    page = open_page(passed)
    page.get_by_role("button", name="failed 1").click()
    page.locator("#parameters").scroll_into_view_if_needed()
    expect(page.locator("#parameter-note")).to_have_text("None of the rows shown has succeeded.")


def test_an_override_of_one_row_alone_is_not_compared_with_an_unknown_default(
    new_flow: Callable[..., Any], new_row: Callable[..., Any], open_page: Open
) -> None:
    flow = new_flow()
    flow.start([new_row(run_id, i) for i, run_id in enumerate(("baseline", "lr-1"))])
    flow.sweep({"baseline": "gpt2.py,1,", "lr-1": "gpt2.py,1,lr=1e-4"}).end()
    page = open_page(write_report([flow.folder], flow.page))
    page.locator("#parameters").scroll_into_view_if_needed()
    expect(page.locator("#parameter-note")).to_contain_text("No parameter has two known values")
    expect(page.locator("#parameter-note")).to_contain_text("uses a default of the trainer")


def test_a_condition_that_is_not_complete_hides_no_row_and_is_named(
    passed: Path, open_page: Open
) -> None:
    page = open_page(passed)
    words = page.get_by_label("Filter")
    for incomplete in ("lr>", "lr>=", "lr!", "lr<1e-", "state="):
        words.fill(f"depth=7 {incomplete}")
        expect(page.locator("#row-count")).to_have_text(f"2 of 7 rows; {incomplete} is incomplete")
        assert words.get_attribute("aria-invalid") == "true"
    words.fill("depth=7 lr<1e-3")
    expect(page.locator("#row-count")).to_have_text("1 of 7 rows")
    assert words.get_attribute("aria-invalid") == "false"


def test_a_link_at_the_top_groups_rows_that_differ_only_by_their_seed(
    seeds: Path, open_page: Open
) -> None:
    page = open_page(seeds)
    page.get_by_role("link", name="show the mean of each group").click()
    expect(page.get_by_role("heading", name="Rows", exact=True)).to_be_in_viewport()
    expect(page.locator("tr.group")).to_have_count(4)
    assert page.get_by_label("Group by").input_value() == "params"
    text = "ofGroup(columnOf('m:val_loss'), list.groups.at(-1).rows).text"
    assert page.evaluate(text) == "all failed"
    states = "(...states) => withoutResult(states.map((state) => ({ state })))"
    assert page.evaluate(f"({states})('failed', 'pending')") == "none succeeded"
    assert page.evaluate(f"({states})('pending', 'running')") == "no result"
    assert "without the curves of 2 failed rows" in page.locator("#curve-count").inner_text()


def test_a_failed_row_is_no_end_of_the_colours_of_the_others(seeds: Path, open_page: Open) -> None:
    page = open_page(seeds)
    assert page.locator("#legend").inner_text().split("\n") == [
        *("final val_loss", "0.92504 (lowest)", "2.925", "dashed: failed")
    ]
    failed = "shown.lines.filter((line) => hasFailed(line.rows[0])).map((line) => line.colour)"
    assert page.evaluate(failed) == [page.evaluate("theme.colour('quiet')")] * 2


def test_a_group_shows_how_many_rows_failed_and_the_values_of_parameters(
    passed: Path, open_page: Open
) -> None:
    page = open_page(passed)
    texts = "['state', 'p:depth'].map((key) => ofGroup(columnOf(key), page.rows.slice(4)).text)"
    assert page.evaluate(texts) == ["2 success, 1 failed", "6, 7, 8"]


def test_a_row_opens_to_its_log_numbers_and_files(passed: Path, open_page: Open) -> None:
    page = open_page(passed)
    button = page.get_by_role("button", name="wide", exact=True).last
    button.focus()
    page.keyboard.press("Enter")
    detail = page.locator("tr.chosen .detail")
    assert "torch.OutOfMemoryError" in detail.locator("pre").inner_text()
    assert detail.locator("figure canvas").count() == 2
    assert "2.35, from metrics.jsonl" in detail.inner_text()
    href = detail.get_by_role("link", name="stdout.log").get_attribute("href")
    assert (passed.parent / str(href)).is_file()
    page.keyboard.press("Enter")
    assert page.locator(".detail").count() == 0


def test_hovering_names_the_nearest_curve(passed: Path, open_page: Open) -> None:
    page = open_page(passed)
    is_drawn(page)
    plot = page.locator("#chart .u-over")
    plot.scroll_into_view_if_needed()
    plot.hover(position={"x": 300, "y": 40})
    assert page.locator("#chart .tip b").inner_text() == "wide"
    assert "val_loss" in page.locator("#chart .tip").inner_text()
    plot.click(position={"x": 300, "y": 40})
    assert page.locator("tr.chosen td.is-run button").inner_text() == "wide"


def test_the_keyboard_walks_along_curves_and_from_one_to_the_next(
    passed: Path, open_page: Open
) -> None:
    page = open_page(passed)
    page.locator("#chart").focus()
    readout = page.locator("#readout")
    page.keyboard.press("ArrowDown")
    assert readout.inner_text() == "lr-0: val_loss 1.1789 at step 590"
    page.keyboard.press("ArrowLeft")
    assert readout.inner_text().endswith("at step 580")
    page.keyboard.press("ArrowDown")
    assert readout.inner_text().startswith("lr-1: ")
    page.keyboard.press("Enter")
    assert page.locator("tr.chosen td.is-run button").inner_text() == "lr-1"


def test_log_scales_zoom_and_other_metrics_draw(passed: Path, open_page: Open) -> None:
    page = open_page(passed)
    page.get_by_label("log y").check()
    page.get_by_label("log x").check()
    assert page.evaluate("[shown.plot.scales.x.distr, shown.plot.scales.y.distr]") == [3, 3]
    assert "7 are at or below zero" in page.locator("#curve-count").inner_text()
    page.get_by_label("Metric").select_option(label="train_loss")
    assert "train_loss" in page.evaluate("said({ line: shown.visible[0], i: 0 })")
    is_drawn(page)
    reset = page.get_by_role("button", name="Reset zoom")
    assert reset.is_disabled()
    box = page.locator("#chart .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 64, steps=4)
    page.mouse.up()
    assert page.evaluate("shown.plot.scales.x.min > shown.full[0][0]")
    reset.click()
    expect(reset).to_be_disabled()


def test_a_curve_can_be_switched_off_in_the_legend(passed: Path, open_page: Open) -> None:
    page = open_page(passed)
    page.locator("#legend").get_by_role("button", name="lr-3").click()
    assert counted(page)[0] == 6
    page.keyboard.press("Enter")
    assert counted(page)[0] == 7


def test_dark_follows_the_system_and_the_button_overrules_it(passed: Path, open_page: Open) -> None:
    page = open_page(passed, scheme="dark")
    back = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(back)
    assert page.evaluate("theme.isDark()")
    button = page.get_by_role("button", name="Theme")
    button.click()
    assert button.inner_text() == "Theme: light"
    assert page.evaluate(back) != dark
    assert not page.evaluate("theme.isDark()")
    page.reload()
    assert page.get_by_role("button", name="Theme: light").is_visible()


@pytest.mark.parametrize("which", ["passed", "halted"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_down_and_never_sideways(
    which: str, scheme: str, open_page: Open, request: pytest.FixtureRequest
) -> None:
    page = open_page(request.getfixturevalue(which), PHONE, scheme)
    open_everything(page)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    wide = """() => [...document.querySelectorAll("main *")].filter((e) =>
      e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("#table, pre, svg")).length"""
    assert page.evaluate(wide) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("which", "size"),
    [("passed", DESK), ("passed", PHONE), ("halted", DESK)],
    ids=["passed-desk", "passed-phone", "halted-desk"],
)
def test_axe_finds_nothing_serious(
    which: str,
    scheme: str,
    size: tuple[int, int],
    open_page: Open,
    request: pytest.FixtureRequest,
) -> None:
    page = open_page(request.getfixturevalue(which), size, scheme, for_axe=True)
    open_everything(page)
    page.add_script_tag(path=str(resources.files("axe_playwright_python") / "axe.min.js"))
    found = page.evaluate("axe.run(document)")
    told = [
        (v["id"], v["impact"], [node["html"][:120] for node in v["nodes"][:3]])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    assert told == []
    assert len(found["passes"]) > 15


def test_a_killed_flow_opens_and_says_where_it_ended(
    new_flow: Callable[..., Any], open_page: Open
) -> None:
    flow = new_flow().start()
    flow.phase("P00").phase("P10").phase("P20", verdict=False)
    page = open_page(write_report([flow.folder], flow.page))
    assert page.locator("h1").inner_text() == "Not finished: it ended in P20 TARGET_BIND"


def test_hostile_text_is_shown_and_never_run(new_flow: Callable[..., Any], open_page: Open) -> None:
    evil = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
    row = {"run_id": "r1", "index": 0, "state": "failed", "reason": evil, "failure_class": evil}
    flow = new_flow()
    flow.start([{**row, "metrics": {evil: evil}}]).phase("P20", resolved_target=evil)
    flow.run("r1", [{"step": 1, evil: 1.0}, {"step": 2, evil: 2.0}], log=evil)
    flow.sweep()
    page = open_page(write_report([flow.folder], flow.page))
    page.get_by_role("button", name="r1", exact=True).click()
    is_drawn(page)
    page.locator("#chart .u-over").hover(position={"x": 30, "y": 30})
    assert evil in page.locator(".detail").inner_text()
    assert evil in page.locator("#chart .tip").inner_text()
    assert page.locator("img").count() == 0


def test_two_sweeps_stand_in_one_plot_and_one_table(
    new_flow: Callable[..., Any], open_page: Open
) -> None:
    flows = []
    for number in range(2):
        flow = new_flow()
        last = {"loss": 2.0 - number}
        flow.start([{"run_id": "a", "index": 0, "state": "success", "ok": True, "metrics": last}])
        aside = ".superseded/f-1/a" if number == 0 else ""
        flow.run("a", [{"step": i, "loss": 2.0 - number} for i in range(5)], folder=aside)
        flow.sweep().end()
        flows.append(flow)
    page = open_page(write_report([flow.folder for flow in flows], flows[0].page))
    assert page.locator("tr:has(.best)").inner_text().startswith("B\t1\ta")
    assert page.locator("h1").all_inner_texts() == ["A Passed", "B Passed"]
    assert counted(page) == (2, 10)
    assert "A a" in page.locator("#legend").inner_text()
    compared = page.get_by_role("region", name="The same runs compared").locator("tbody tr")
    assert compared.all_inner_texts() == ["a\t2\t1\t-1 (-50.0%)"]


def test_a_thousand_rows_are_shown_in_pages_that_follow_filter_and_order(
    new_flow: Callable[..., Any], open_page: Open
) -> None:
    flow = new_flow()
    rows: list[dict[str, Any]] = [
        {
            "run_id": f"run-{i:04d}",
            "index": i,
            "state": "success",
            "ok": True,
            "metrics": {"loss": i},
        }
        for i in range(1000)
    ]
    flow.start(rows).before_the_sweep()
    reports = [{"step": s, "loss": 3 - s / 200} for s in range(200)]
    for row in rows:
        flow.run(row["run_id"], [{**r, "loss": r["loss"] + row["index"] / 1000} for r in reports])
    flow.sweep().end()
    page = open_page(write_report([flow.folder], flow.page))
    assert counted(page) == (1000, 200_000)
    assert len(runs_in(page)) == 50
    page.locator('th[data-key="m:loss"] button').click()
    page.locator('th[data-key="m:loss"] button').click()
    assert runs_in(page)[0] == "run-0999"
    page.locator("#pages button").last.click()
    assert runs_in(page)[-1] == "run-0900"
    page.get_by_label("Filter").fill("run-00")
    expect(page.locator("#row-count")).to_have_text("100 of 1,000 rows")
    assert counted(page) == (100, 20_000)
