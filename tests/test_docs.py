"""Law 8: what is documented is what the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer

from pytest_wf.cli.main import app
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.flow.extensions import installed
from pytest_wf.flow.operations.doctor import CONNECTION, RELAY_CHECKS
from pytest_wf.flow.readiness.account_checks import ACCOUNT_CHECKS
from pytest_wf.flow.readiness.commit_checks import COMMIT_CHECKS
from pytest_wf.flow.readiness.local_checks import LOCAL_CHECKS
from pytest_wf.flow.readiness.pod_checks import POD_CHECKS
from pytest_wf.plugin.other_plugins import MARKS, REFUSED
from pytest_wf.project.project import Options
from pytest_wf.project.trainers.families import BY_NAME
from pytest_wf.wire import fsm
from pytest_wf.wire.trainer import variables
from tests.support import ROOT, reference

KEYS = installed().config_keys()
LIFECYCLE = (ROOT / "docs" / "lifecycle.md").read_text(encoding="utf-8")
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*.md"),
        ROOT / "reports" / "README.md",
    )
)


def _table(text: str, first: str) -> list[list[str]]:
    """The cells of the Markdown table whose header begins with `first`."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def _commands() -> set[str]:
    """The names of all `wf` commands."""
    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_the_lifecycle_table_is_the_contracts() -> None:
    told = [(code, name, does) for code, name, does, _ in _table(LIFECYCLE, "code")]
    assert told == [(c.code, c.name, c.intent) for c in CONTRACTS.values()]


def test_the_table_of_the_doctors_checks_is_the_checks() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    told = [(name.strip("`"), of, claim) for name, of, claim in _table(page, "check")]
    here = [(c.name, "here", c.claim) for c in LOCAL_CHECKS]
    commit = [(c.name, "commit", c.claim) for c in COMMIT_CHECKS]
    account = [(c.name, "account", c.claim) for c in ACCOUNT_CHECKS]
    relay = [(c.name, "relay", c.claim) for c in RELAY_CHECKS]
    pod = [(c.name, "pod", c.claim) for c in POD_CHECKS]
    checks = [*here, *commit, *account, *relay, *pod]
    assert [row for row in told if row[0] != CONNECTION] == checks
    assert len({name for name, *_ in told}) == len(told)


def test_every_command_of_the_tables_exists() -> None:
    named = {row[3].strip("`") for row in _table(LIFECYCLE, "code") if row[3]}
    assert named <= _commands()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|`)wf ([a-z][a-z-]+)", text, re.MULTILINE)) <= _commands()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_links_to_files_that_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_files_that_the_architecture_names_are_in_the_package() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rooms = text.split("```")[1]
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", text))
    named |= set(re.findall(r"\b([a-z_]+/)(?= )", rooms)) | set(re.findall(r"`([a-z_/]+/)`", text))
    assert len(named) > 20
    package = ROOT / "pytest_wf"
    have = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    have |= {f"{path.relative_to(package)}/" for path in package.rglob("*") if path.is_dir()}
    assert named - have == set()


def test_the_generated_options_are_the_parsers(pytester: pytest.Pytester) -> None:
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    told = {row[0].strip("`"): row for row in _table(page, "option")}
    shown = pytester.runpytest_subprocess("--help").stdout.str()
    assert set(told) == set(re.findall(r"--wf-[a-z]+", shown)) - {"--wf-flow"}
    defaults = Options()
    for name in ("provision", "sweep", "fetch"):
        assert told[f"--wf-{name}"][2] == f"`{getattr(defaults, name)}`"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    found = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert found == reference.page(name), "run: make docs"


def test_every_family_of_trainers_has_a_section() -> None:
    text = (ROOT / "docs" / "trainers.md").read_text(encoding="utf-8")
    assert [name for name in BY_NAME if f"\n## {name}\n" not in text] == []


def test_every_option_and_mark_that_a_flow_refuses_is_documented() -> None:
    page = (ROOT / "docs" / "selections.md").read_text(encoding="utf-8")
    refused = [why.split()[0] for why in REFUSED.values()]
    assert [name for name in (*refused, *MARKS) if f"`{name}`" not in page] == []


def test_every_config_key_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)`", text, re.MULTILINE))
    assert documented >= {key.name for key in KEYS}
    prose = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"\b(?:WF|SWEEP|RUN|SSH|LIUM|OPS|CHECKOUT|TRAIN)_[A-Z0-9_]+\b", prose))
    others = {"WF_POD_ROOT", "WF_MEMBER", "WF_DATA_CREATED", "LIUM_API_KEY", *fsm.STATES}
    others |= {"WF_TEST_TORCH_PYTHON", "WF_TEST_OLD_TORCH", "WF_TEST_TRAINERS_PYTHON"}
    # built in, and the key that the guide on keys adds
    others |= {"SSH_AUTH_SOCK", "WF_MEMBER", "WF_TEAM", *variables.NAMES}
    assert named - others <= {key.name for key in KEYS}


def test_the_teardown_default_is_what_the_lifecycle_says() -> None:
    defaults = {key.name: key.default for key in KEYS}
    assert defaults["WF_DEFAULT_TEARDOWN"] == "keep"
    assert defaults["WF_TEARDOWN_ON_FAILURE"] == "keep"
    assert defaults["WF_DELETE_UNFETCHED"] == "0"


#: Calls that write a file for good, and the modules that only define them or write in development.
_WRITES = {"write_atomic", "write_json", "replace_file", "fsync", "flush_together"}
_NO_WRITERS = {"wire/files.py", "evidence/flushing.py", "schemas/__main__.py"}


def _writes(module: Path) -> bool:
    calls = (n.func for n in ast.walk(ast.parse(module.read_text())) if isinstance(n, ast.Call))
    names = {c.id if isinstance(c, ast.Name) else getattr(c, "attr", "") for c in calls}
    return bool(names & _WRITES)


def test_the_table_of_what_is_flushed_names_each_module_that_writes_files() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    named = {name for row in _table(text, "file") for name in re.findall(r"`([\w/]+\.py)`", row[1])}
    package = ROOT / "pytest_wf"
    writers = {
        module.relative_to(package).as_posix()
        for module in package.rglob("*.py")
        if _writes(module)
    }
    assert named == writers - _NO_WRITERS
