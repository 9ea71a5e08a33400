"""The gallery of examples on the site."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, gallery


def test_the_gallery_names_every_example_and_links_to_the_reports_that_were_made(
    tmp_path: Path,
) -> None:
    (tmp_path / "bigram.html").touch()
    page = gallery.page(tmp_path)
    examples = {path.parent.name for path in (ROOT / "examples").glob("*/README.md")}
    assert set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE)) == examples
    assert re.findall(r"gallery/\w+\.html", page) == ["gallery/bigram.html"]


@pytest.mark.slow
@pytest.mark.long
def test_a_report_of_the_gallery_is_the_page_of_a_real_flow(tmp_path: Path) -> None:
    report = gallery.make("bigram", tmp_path, sys.executable)
    runs = report.parent / "runs"
    summaries = [json.loads(path.read_text()) for path in runs.glob("*/summary.json")]
    assert [one["ok"] for one in summaries] == [True, True, True]
    text = report.read_text(encoding="utf-8")
    assert all(one["run_id"] in text for one in summaries)
