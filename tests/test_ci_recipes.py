"""The recipes for CI: legal for the system that reads them, and true of this package."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_groovy
import typer
from ruamel.yaml import YAML
from tree_sitter import Language, Parser

from pytest_wf.cli.main import app
from pytest_wf.flow.extensions import installed
from pytest_wf.testing import write_project
from tests.support import ROOT

FOLDER = ROOT / "docs" / "ci"
GITHUB, GITLAB = FOLDER / "github-actions.yml", FOLDER / "gitlab-ci.yml"
JENKINS, CONFIG = FOLDER / "Jenkinsfile", FOLDER / "workflow.env"
RECIPES = (GITHUB, GITLAB, JENKINS)
KEYS = installed().config_keys()


def scripts(recipe: Path) -> list[str]:
    """The shell scripts of a recipe."""
    if recipe == JENKINS:
        found = re.findall(r"\bsh '''(.*?)'''", recipe.read_text(), re.DOTALL)
        # as Groovy reads it
        return [re.sub(r"\\(\n|.)", lambda m: m[1].strip("\n"), text) for text in found]
    document: Any = YAML(typ="safe").load(recipe.read_text())
    if recipe == GITHUB:
        return [step["run"] for step in document["jobs"]["sweep"]["steps"] if "run" in step]
    job = document["sweep"]
    return ["\n".join(job[part]) for part in ("before_script", "script", "after_script")]


def commands(recipe: Path) -> list[list[str]]:
    """The pytest and wf command lines of a recipe, as words."""
    text = "\n".join(scripts(recipe)).replace("\\\n", " ")
    found = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [words for words in found if words and words[0] in ("pytest", "wf")]


@pytest.mark.parametrize(
    ("recipe", "schema"), [(GITHUB, "vendor.github-workflows"), (GITLAB, "vendor.gitlab-ci")]
)
def test_a_recipe_keeps_the_schema_of_its_system(recipe: Path, schema: str) -> None:
    words = ["-m", "check_jsonschema", "--builtin-schema", schema, str(recipe)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_jenkinsfile_is_groovy() -> None:
    parser = Parser(Language(tree_sitter_groovy.language()))
    assert not parser.parse(JENKINS.read_bytes()).root_node.has_error
    assert parser.parse(JENKINS.read_bytes()[:-3]).root_node.has_error


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.name)
def test_every_script_of_a_recipe_is_a_shells(recipe: Path) -> None:
    assert len(scripts(recipe)) >= 3
    for script in scripts(recipe):
        done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + script


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.name)
def test_every_command_of_a_recipe_is_one_that_this_package_has(recipe: Path) -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    asked = commands(recipe)
    assert [words[1:] for words in asked if words[0] == "wf"] == [["pod-list"]] or (
        recipe == JENKINS and ["wf", "pod-list", "||", "true"] in asked
    )
    assert {words[1] for words in asked if words[0] == "wf"} <= known
    flows = [words for words in asked if words[0] == "pytest"]
    assert [("--collect-only" in words) for words in flows] == [True, False]
    assert {"--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete"} <= set(flows[1])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.name)
def test_the_flow_of_a_recipe_is_a_plan_under_the_config_for_ci(
    recipe: Path, tmp_path: Path
) -> None:
    root = write_project(tmp_path)
    config = root / "flows" / "workflow.env"
    config.write_text(config.read_text() + CONFIG.read_text())
    (words,) = [w for w in commands(recipe) if w[0] == "pytest" and "--collect-only" not in w]
    for sweep in ("start", "resume"):
        asked = [word.replace("$SWEEP", sweep) for word in words[1:]]
        assert f"--wf-sweep={sweep}" in asked
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *asked, "--collect-only", "-q"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "P99" in done.stdout


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.name)
@pytest.mark.parametrize("line", ["", "LIUM_TARGET=\n", "LIUM_TARGET=other\n"])
def test_a_pod_of_an_earlier_job_is_taken_whatever_the_config_names(
    recipe: Path, line: str, tmp_path: Path
) -> None:
    (tmp_path / "flows").mkdir()
    config = tmp_path / "flows" / "workflow.env"
    config.write_text(f"LIUM_YES=1\n{line}WF_DEFAULT_TEARDOWN=keep")
    (script,) = [text for text in scripts(recipe) if "LIUM_TARGET" in text]
    taking = script[script.index("sed -i") :].removesuffix("\n").replace("fi\n", "")
    taking = re.sub(r"\n\s*fi\s*$", "", taking)
    environ = {"PATH": "/usr/bin:/bin", "TARGET": "pod-1"}
    subprocess.run(["sh", "-euc", taking], cwd=tmp_path, env=environ, check=True, timeout=120)
    kept = [text for text in config.read_text().splitlines() if text]
    assert kept == ["LIUM_YES=1", "WF_DEFAULT_TEARDOWN=keep", "LIUM_TARGET=pod-1"]


def test_the_config_for_ci_has_keys_that_exist_and_secrets_that_the_recipes_hand_over() -> None:
    told = dict(re.findall(r"^([A-Z_]+)=(.*)$", CONFIG.read_text(), re.MULTILINE))
    assert set(told) <= {key.name for key in KEYS}
    assert (told["LIUM_YES"], told["WF_TEARDOWN_ON_FAILURE"]) == ("1", "keep")
    for recipe in RECIPES:
        for name in ("LIUM_API_KEY", *told["WF_SECRET_ENV"].split()):
            assert name in recipe.read_text(), (recipe.name, name)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.name)
def test_a_recipe_keeps_reports_whatever_came_and_lets_one_job_at_a_pod(recipe: Path) -> None:
    text = recipe.read_text()
    assert "reports/junit.xml" in text
    if recipe == JENKINS:
        assert "disableConcurrentBuilds()" in text
        assert re.search(r"post \{\s+always \{", text)
        return
    document: Any = YAML(typ="safe").load(text)
    if recipe == GITLAB:
        job = document["sweep"]
        assert job["resource_group"] and job["timeout"]
        assert job["artifacts"]["when"] == job["cache"]["when"] == "always"
        assert job["artifacts"]["reports"]["junit"] == "reports/junit.xml"
        return
    assert document["concurrency"]["cancel-in-progress"] is False
    steps = document["jobs"]["sweep"]["steps"]
    flow = next(i for i, step in enumerate(steps) if step.get("name") == "Flow")
    assert all(step["if"] == "always()" for step in steps[flow + 1 :])
