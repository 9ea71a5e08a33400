"""A reports folder that goes away, or whose disk fails, ends the flow with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import odd_volume
from tests.support.flow_project import Project

MOVED = "os.rename('reports', 'elsewhere')"
DELETED = "shutil.rmtree('reports')"
REPLACED = MOVED + "; open('reports', 'w').close()"


@pytest.mark.fault("C8")
@pytest.mark.parametrize(
    ("code", "harm"),
    [
        pytest.param("P35", MOVED, id="moved early"),
        pytest.param("P35", REPLACED, id="replaced early", marks=pytest.mark.long),
        pytest.param("P85", DELETED, id="deleted late", marks=pytest.mark.long),
        pytest.param("P85", REPLACED, id="replaced late"),
    ],
)
def test_a_reports_folder_that_goes_away_fails_the_flow_with_a_sentence(
    project: Project, code: str, harm: str
) -> None:
    project.phase(code, f"import os, shutil; os.chdir({str(project.root)!r}); {harm}")
    flown = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 1, flown.output
    assert "Traceback" not in flown.output, flown.output
    assert "INTERNALERROR" not in flown.output
    said = flown.line("wf: the summary could not be written: ")
    assert "removed or changed" in said or "Not a directory" in said


@pytest.mark.fault("C8")
@pytest.mark.skipif(not odd_volume.has_compiler(), reason="no C compiler is installed")
def test_a_local_disk_that_fails_to_flush_ends_the_flow_with_a_sentence(
    project: Project, tmp_path: Path
) -> None:
    project.environ = {**project.environ, **odd_volume.environ(tmp_path, "fails-to-flush")}
    flown = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 4, flown.output
    assert "Input/output error" in flown.output
    assert "Traceback" not in flown.output, flown.output
    assert "INTERNALERROR" not in flown.output, flown.output
