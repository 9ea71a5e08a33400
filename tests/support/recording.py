"""The README's pictures: a real flow as it is on a terminal, and its page.

``python -m tests.support.recording`` runs the flow and writes both; a test runs it too, and
compares the words of the first.
"""

from __future__ import annotations

import html
import platform
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_wf.testing import write_project
from tests.support import ROOT, environment
from tests.support.flow_project import Project

SVG = ROOT / ".github" / "images" / "flow.svg"
PNG = ROOT / ".github" / "images" / "report.png"
COMMAND = "pytest flows/ --wf-flow --wf-wait=true --wf-fetch=all"
ROWS = (
    "mhc-lr-1e-3,default.py,1,lr=0.001,",
    "mhc-lr-3e-3,default.py,1,lr=0.003,",
    "mhc-lr-1e-2,default.py,1,lr=0.01,",
    "mhc-large,default.py,1,lr=0.003 depth=48,",
)
#: Its losses follow from its settings alone.
TRAINER = """\
import json, math, os, sys

settings = dict(word.split("=", 1) for word in sys.argv[2:])
distance = abs(math.log10(float(settings["lr"])) + 2.6)
with open(os.path.join(settings["out_dir"], "metrics.jsonl"), "w") as f:
    for step in range(0, 1001, 20):
        if "depth" in settings and step > 300:
            sys.exit("torch.OutOfMemoryError: CUDA out of memory.")
        loss = 2.9 + 0.4 * distance + 8 * math.exp(-step / (120 + 60 * distance))
        wave = 0.03 * math.sin(step / 31)
        report = {"step": step, "train_loss": loss + wave, "val_loss": loss + 0.1}
        f.write(json.dumps(report) + "\\n")
"""
_WIDTH, _LINE, _MARGIN = 112, 20, 16
_STYLE = """\
text { font: 14px ui-monospace, Menlo, Consolas, monospace; fill: #d8dee9; white-space: pre }
.dim { fill: #7d8899 } .good { fill: #8fce7f } .bad { fill: #ff8a80 } .bold { font-weight: 700 }
g { animation: show 0.01s both } @keyframes show { from { opacity: 0 } to { opacity: 1 } }
@media (prefers-reduced-motion: reduce) { g { animation: none } }
"""
#: What differs from flow to flow: times, ids, digests, places, sizes.
_VARIES = (
    (r"[fc]-\d{8}T\d{6}Z-[0-9a-f]+", "ID"),
    (r"\b[0-9a-f]{8,40}\b", "DIGEST"),
    (r"\b\d+(\.\d+)? ?(s|ms|min|B|kB|MB)\b( \(\d+:\d+:\d+\))?", "SIZE"),
    (r"\b\d+\.\d+\.\d+\S*", "VERSION"),
    (r"\b(no|\d+) GPUs?\b", "GPUS"),
    (r"[ =-]{2,}", " "),
)


def record(folder: Path) -> tuple[Project, list[str]]:
    """Run the flow in `folder`; its project, and the lines that it printed for people."""
    (folder / "project").mkdir()
    root = write_project(folder / "project", rows=ROWS, trainer=TRAINER)
    environ = {**environment.clean_environ(folder / "home"), "COLUMNS": str(_WIDTH)}
    project = Project(root, environ)
    flown = project.flow(
        "--wf-wait=true", "--wf-fetch=all", "--wf-terminal=human", "-p", "no:cacheprovider"
    )
    assert flown.code == 1, flown.output
    return project, list(_shown(flown.output.replace(str(root), "~/lm")))


def words(lines: Iterable[str]) -> list[str]:
    """What the lines say, without what differs from flow to flow."""
    found = []
    for line in lines:
        for pattern, name in _VARIES:
            line = re.sub(pattern, name, line)
        found.append(line.strip())
    return [line for line in found if line]


def words_of(svg: str) -> list[str]:
    """The same of a picture."""
    return words(html.unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", svg))


def _shown(output: str) -> Iterator[str]:
    """The command and what the flow says of itself, without its news and pytest's own sections."""
    yield f"$ {COMMAND}"
    phases = re.findall(r"^(?:pytest-wf|P\d\d) .*", output, re.MULTILINE)
    (table,) = re.findall(r"^\d+ rows: .*?^next: .*?$", output, re.MULTILINE | re.DOTALL)
    yield from (line.replace(platform.node(), "pod-1") for line in phases)
    yield ""
    yield from table.splitlines()


def drawn(lines: list[str]) -> str:
    """The lines as an SVG in which they appear one after the other."""
    height = len(lines) * _LINE + 2 * _MARGIN
    width = round(_WIDTH * 8.45) + 2 * _MARGIN
    parts = [
        f'<g style="animation-delay: {0.25 * number:.2f}s">'
        f'<text x="{_MARGIN}" y="{_MARGIN + 14 + number * _LINE}" class="{_class(line)}">'
        f"{html.escape(line)}</text></g>"
        for number, line in enumerate(lines)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    title = f"<title>{COMMAND}</title>"
    back = f'<rect width="{width}" height="{height}" rx="8" fill="#1d2330"/>'
    return "\n".join([head, title, f"<style>{_STYLE}</style>", back, *parts, "</svg>"]) + "\n"


def _class(line: str) -> str:
    if line.startswith(("$", "next: ")):
        return "bold"
    if line.startswith("* ") or re.match(r"P\d\d \S+ +ok", line):
        return "good"
    return "bad" if re.search(r"FAILED|failed", line) else "dim" if line.startswith("wf ") else ""


def photograph(page: Path, out: Path) -> None:
    """A picture of the top of the page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
        window.goto(page.as_uri())
        window.wait_for_timeout(500)
        window.screenshot(path=str(out))
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        project, lines = record(Path(temporary))
        SVG.write_text(drawn(lines), encoding="utf-8")
        photograph(project.root / "reports" / "report.html", PNG)
