"""The gallery of the documentation site: every example, with the report of a real flow.

``python -m tests.support.gallery`` runs a flow of each example with the libraries that
WF_TEST_TRAINERS_PYTHON has, and writes the reports into build/gallery. The names of examples as
arguments select them. mkdocs loads this module as a hook, which adds the page and the reports.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from pytest_wf.testing import commit_all
from tests.support import ROOT, environment
from tests.support.flow_project import Project

EXAMPLES = ROOT / "examples"
OUT = ROOT / "build" / "gallery"
_ROW = re.compile(r"^\| \[`(\w+)`\]\(\w+\) \| (.*) \|$", re.MULTILINE)
_PAGE = """\
# Gallery

The example trainers of the folder `examples/`, each with the report of a flow that trained it for
this site.

| trainer | needs | takes | for | report |
|---|---|---|---|---|
"""


def page(reports: Path = OUT) -> str:
    """The gallery as Markdown: the table of examples/README.md, with links to `reports`."""
    rows = []
    for name, cells in _ROW.findall((EXAMPLES / "README.md").read_text(encoding="utf-8")):
        made = (reports / f"{name}.html").exists()
        link = f"[report](gallery/{name}.html)" if made else "not made for this build of the site"
        rows.append(f"| `{name}` | {cells} | {link} |\n")
    return _PAGE + "".join(rows)


def make(name: str, folder: Path, python: str) -> Path:
    """Train an example in a project below `folder` with `python`; the report of the flow."""
    root = folder / name
    for part in (name, "shared"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(EXAMPLES / part, root / "examples" / part, ignore=ignored)
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    # a row that uses all cores would wait for the threads of the others
    environ = {**environment.clean_environ(folder / "home"), "OMP_NUM_THREADS": "1"}
    project = Project(root, environ)
    made = project.wf("init", "--script", f"examples/{name}/{_script(name)}")
    assert made.returncode == 0, made.stderr
    own = EXAMPLES / name / "sweep.csv"
    shutil.copy(own if own.exists() else ROOT / "flows" / "sweep.csv", root / "flows")
    # the Python has what they need
    project.configure(
        REMOTE_PYTHON_BIN=python, CHECKOUT_INSTALL_CMD="", WF_FLOW_WAIT_INTERVAL_SECS="1"
    )
    commit_all(root, "An example")
    flown = project.start("--wf-wait=true", "--wf-fetch=all")
    flown.output = flown.process.communicate()[0]
    assert flown.code == 0, flown.output
    return root / "reports" / "report.html"


def _script(name: str) -> str:
    return "main.py" if (EXAMPLES / name / "main.py").exists() else "train.py"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the gallery and its reports to the site; mkdocs calls this."""
    files.append(File.generated(config, "gallery.md", content=page()))
    for report in sorted(OUT.glob("*.html")):
        files.append(File.generated(config, f"gallery/{report.name}", abs_src_path=str(report)))
    return files


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    known = [name for name, _ in _ROW.findall((EXAMPLES / "README.md").read_text(encoding="utf-8"))]
    with tempfile.TemporaryDirectory() as temporary:
        for name in sys.argv[1:] or known:
            python = os.environ.get("WF_TEST_TRAINERS_PYTHON", sys.executable)
            shutil.copy(make(name, Path(temporary), python), OUT / f"{name}.html")
