"""The documentation as a site: it builds strictly, and its search finds what people ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lunr import get_default_builder

from pytest_wf.cli.commands.docs import find_pages, read_pages
from tests.support import ROOT

#: Questions in people's words, and the page that must be among the first three found.
QUESTIONS = {
    "rerun failed runs": "how-to/failed-rows",
    "retrain after editing the csv": "how-to/edit-rows",
    "train a subset of the rows": "how-to/some-rows",
    "stop a running sweep": "how-to/stop",
    "one sweep on several pods": "how-to/several-pods",
    "pod is gone forget its rows": "how-to/several-pods",
    "two sweeps in one repo": "how-to/several-sweeps",
    "pip install requirements": "how-to/dependencies",
    "where do I put my dataset": "how-to/data",
    "upload to wandb": "how-to/track",
    "mlflow tracking": "how-to/track",
    "load results into pandas dataframe": "how-to/results-in-pandas",
    "resume from checkpoint": "how-to/checkpoints",
    "how much does it cost": "how-to/costs",
    "share a pod with colleagues": "how-to/shared-pod",
    "pod does not answer": "how-to/silent-pod",
    "disk full free space": "how-to/make-room",
    "upgrade to a new version": "how-to/upgrade",
    "uninstall": "how-to/remove",
    "delete everything": "how-to/remove",
    "how to get my checkpoint": "how-to/checkpoints",
    "test the first row quickly before the sweep": "how-to/smoke-run",
    "close laptop and come back later": "how-to/come-back",
    "slack notification": "how-to/messages",
    "fail if loss is too high": "how-to/expectations",
    "run a command on the pod": "how-to/tasks",
    "corrupt campaign file": "how-to/damaged-files",
    "prove that results were not changed": "how-to/verify",
    "write my own phase": "extending/phase",
    "add another cloud provider": "extending/provider",
    "hugging face trainer": "trainers",
    "github actions": "tutorial/ci",
    "ssh host": "tutorial/your-pod",
    "rent a gpu": "tutorial/rented-pod",
    "exit status": "command-reference",
    "error 315 torch": "failures",
    "lightning metrics csv": "metrics",
    "train on several gpus": "trainers",
    "conda environment": "how-to/dependencies",
    "cuda out of memory": "failures",
    "cancel the experiment": "how-to/stop",
    "hyperparameter grid search": "tutorial/your-trainer",
    "which row is best": "metrics",
    "compare two flows": "how-to/results-in-pandas",
    "uncommitted changes": "doctor",
    "private github repository": "tutorial/your-pod",
    "see the log while it trains": "how-to/come-back",
    "download the trained model": "how-to/checkpoints",
    "retry after a crash": "how-to/checkpoints",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` builds it."""
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def index(site: Path) -> Any:
    """The index of the site's search, built from its own data with lunr in Python.

    Titles count as the theme's search counts them: a thousand times a word of the text.
    """
    data = json.loads((site / "search" / "search_index.json").read_text())
    builder = get_default_builder()
    builder.ref("location")
    builder.field("title", boost=1000)
    builder.field("text", boost=1)
    for document in data["docs"]:
        builder.add(document)
    return builder.build()


def _first_pages(found: Sequence[Any]) -> list[str]:
    """The pages of search results, each once, without their sections."""
    locations = [one["ref"].partition("#")[0].removesuffix(".html") for one in found]
    return [page for page in dict.fromkeys(locations) if page != "index"][:3]


@pytest.mark.parametrize(("question", "page"), QUESTIONS.items(), ids=list(QUESTIONS))
def test_the_search_of_the_site_finds_the_page(index: Any, question: str, page: str) -> None:
    assert page in _first_pages(index.search(question))


@pytest.mark.parametrize(("question", "page"), QUESTIONS.items(), ids=list(QUESTIONS))
def test_wf_docs_finds_the_page(question: str, page: str) -> None:
    assert page in [found.name for found in find_pages(read_pages(), question)][:3]


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = [path.read_text() for path in site.rglob("*.html")]
    assert len(pages) > 40
    tags = (part.partition(">")[0] for text in pages for part in text.split("<"))
    loaded = [tag for tag in tags if tag.startswith(("script", "link"))]
    assert [one for one in loaded if "://" in one and "canonical" not in one] == []
