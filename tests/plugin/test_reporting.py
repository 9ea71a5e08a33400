"""What a flow shows: JUnit, Allure and the terminal, each by its contract, none with a secret."""

from __future__ import annotations

import base64
import html
import json
import os
import pty
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import junitparser
import pytest

from pytest_wf.court.phases import CONTRACTS
from pytest_wf.flow.header import header_lines
from pytest_wf.testing import TRAINER, write_project
from pytest_wf.wire.files import sha256_file

SECRET = 'tr0ub4dor&3/"quoted"+end'
NAME = "WF_TEST_SECRET"

#: Prints its whole environment, plain and in base64, at every offset.
OPEN_TRAINER = (
    TRAINER
    + f"""
import base64
for head in ("", "a", "ab"):
    print(base64.b64encode((head + os.environ["{NAME}"] + "tail").encode()).decode(), flush=True)
print(os.environ["{NAME}"], json.dumps(dict(os.environ)), flush=True)
sys.exit(status)
"""
)
OPEN_TRAINER = OPEN_TRAINER.replace("sys.exit(status)\n\nimport", "\nimport")

OPEN_PHASES = f"""
import os
import warnings

import allure
import pytest


@pytest.fixture
def talkative():
    print("set up", os.environ["{NAME}"])
    yield
    print("torn down", os.environ["{NAME}"])


@pytest.mark.phase("P55", command="show")
def test_shows(wf_attach, talkative):
    \"\"\"Shows the secret everywhere.\"\"\"
    secret = os.environ["{NAME}"]
    print(secret)
    warnings.warn("mind " + secret)
    wf_attach("secret.txt", secret)
    allure.attach(secret, "by the author")
    allure.dynamic.description(secret)
    with allure.step("step " + secret):
        pass


@pytest.mark.phase("P70", rows=True)
def test_loss_fell(wf_run):
    \"\"\"The fixture's metrics are at hand.\"\"\"
    wf_run.follow()
    assert wf_run.metrics["train_loss"] < 3


@pytest.mark.phase("P85", command="look")
def test_asserts():
    \"\"\"Shows the secret by failing.\"\"\"
    text = "." * 105 + os.environ["{NAME}"] + "." * 200  # too long to be shown whole
    assert os.environ["{NAME}"] == "no" or text == "no" or "no" in os.environ
"""

STATUS = re.compile(r"PHASE=P\d\d STATUS=(ok|skip|fail) CODE=\d+ ARTIFACT=\S.*")
COURT = re.compile(
    r"PHASE=P\d\d COURT=(pass|fail) DET=(pass|fail) CONST=(pass|fail|unverified) VERDICT=\S.*"
)


class Flown:
    """A flow that has ended, and all that it said."""

    def __init__(
        self,
        root: Path,
        *words: str,
        stdout: int = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "flows/", "--wf-flow", *words],
            cwd=root,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=120,
        )
        self.code = done.returncode
        self.output = (done.stdout or b"").decode()
        self.errors = done.stderr.decode()

    @property
    def cases(self) -> dict[str, Any]:
        """The test cases of reports/junit.xml by name."""
        return {case.name: case for case in self.suite}

    @property
    def suite(self) -> Any:
        """The one suite of reports/junit.xml."""
        return next(iter(junitparser.JUnitXml.fromfile(str(self.root / "reports" / "junit.xml"))))

    def facts(self, case: str) -> dict[str, str]:
        """What the suite's properties say of a case."""
        return {
            p.name.rpartition("/")[2]: p.value
            for p in self.suite.properties()
            if p.name.startswith(f"{case}/")
        }

    @property
    def allure(self) -> list[dict[str, Any]]:
        """The results in reports/allure-results."""
        folder = self.root / "reports" / "allure-results"
        return [json.loads(path.read_text()) for path in folder.glob("*-result.json")]


def _wf(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from pytest_wf.cli.main import main; main()", *words],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Flown:
    """A flow in which everybody shows the secret: trainer, phases, fixtures, assertions."""
    root = write_project(
        tmp_path_factory.mktemp("shown"),
        config={"WF_SECRET_ENV": NAME},
        rows=("good,default.py,1,,", "bad,default.py,1,exit=3,"),
        trainer=OPEN_TRAINER,
    )
    (root / "flows" / "test_open.py").write_text(OPEN_PHASES)
    return Flown(root, "--wf-wait=true", "--wf-fetch=all", "-v", "-l", env={NAME: SECRET})


def forms(secret: str) -> Iterator[str]:
    """How a secret may be written down."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield urllib.parse.quote(secret, safe="")
    yield html.escape(secret)
    yield secret[:8]
    yield secret[-8:]
    for head in ("", "a", "ab"):
        whole = base64.b64encode((head + secret).encode()).decode()
        yield whole[4:-4]  # what does not depend on the neighbours


def leaks(text: str) -> list[str]:
    return [form for form in forms(SECRET) if form in text]


# ---- secrets ---------------------------------------------------------------------------------


def test_a_secret_is_in_no_file_that_a_flow_leaves_here_or_on_the_pod(shown: Flown) -> None:
    read = {path: path.read_bytes() for path in shown.root.rglob("*") if path.is_file()}
    kinds = {part for path in read for part in path.relative_to(shown.root).parts[:2]}
    assert {"junit.xml", "allure-results", "flows", "runs", "pod"} <= kinds
    found = {path: leaks(raw.decode("utf-8", "replace")) for path, raw in read.items()}
    assert {path: forms for path, forms in found.items() if forms} == {}


def test_a_secret_is_not_on_the_terminal(shown: Flown) -> None:
    assert shown.code == 1
    assert leaks(shown.output + shown.errors) == []
    assert "UserWarning: mind [redacted]" in shown.output
    assert "os.environ" in shown.output


def test_a_fetched_log_shows_where_secrets_stood(shown: Flown) -> None:
    log = (shown.root / "reports" / "runs" / "good" / "stdout.log").read_text()
    assert "[redacted]" in log
    assert '"RUN_ID": "good"' in log


def test_the_wf_command_shows_the_log_as_it_is_on_the_pod(shown: Flown) -> None:
    told = _wf(shown.root, "logs", "good")
    assert told.returncode == 0, told.stderr
    assert "[redacted]" in told.stdout
    assert leaks(told.stdout + told.stderr) == []


@pytest.mark.parametrize(
    "body",
    [
        f"assert os.environ['{NAME}'] == 'no'\n",
        "@pytest.fixture\ndef broken():\n"
        f"    raise RuntimeError(os.environ['{NAME}'])\n\n"
        "@pytest.mark.phase('P05', command='x')\ndef test_mine(broken):\n    'Mine.'\n",
        "@pytest.mark.phase('P05', command='x')\ndef test_mine():\n    'Mine.'\n"
        f"    pytest.skip(os.environ['{NAME}'])\n",
        "@pytest.fixture\ndef broken():\n    yield\n"
        f"    raise RuntimeError(os.environ['{NAME}'])\n\n"
        "@pytest.mark.phase('P05', command='x')\ndef test_mine(broken):\n    'Mine.'\n",
    ],
    ids=["while it is imported", "in set-up", "as a reason to skip", "in teardown"],
)
def test_a_failure_outside_of_a_phases_body_shows_no_secret_either(
    project: Path, body: str
) -> None:
    config = project / "flows" / "workflow.env"
    config.write_text(config.read_text() + f"WF_SECRET_ENV={NAME}\n")
    (project / "flows" / "test_mine.py").write_text(f"import os\n\nimport pytest\n\n{body}")
    flown = Flown(project, env={NAME: SECRET})
    assert flown.code in (1, 2)
    assert "[redacted]" in flown.output
    reports = [path for path in (project / "reports").rglob("*") if path.is_file()]
    # where a module cannot be imported, no flow begins and no report is written
    assert bool(reports) == (flown.code == 1)
    told = [flown.output, flown.errors, *(path.read_text() for path in reports)]
    assert leaks("".join(told)) == []


# ---- JUnit and Allure ------------------------------------------------------------------------


def test_junit_has_a_case_for_each_phase_with_code_verdict_and_evidence(shown: Flown) -> None:
    by_code = {}
    for case in shown.cases:
        told = shown.facts(case)
        if "wf.run_id" not in told:
            by_code[told["wf.phase"]] = told
    assert sorted(by_code) == sorted([*CONTRACTS, "P55", "P85"])
    for code, told in by_code.items():
        failed = code == "P85"
        assert told["wf.verdict"] == ("fail" if failed else "pass"), code
        assert told["wf.code"] == ("593" if failed else "0"), code
        assert told["wf.evidence_sha256"] == sha256_file(told["wf.evidence"])
    assert len(by_code["P99"]["wf.chain_head"]) == 64


def test_junit_has_a_case_for_each_row_with_attempts_and_metrics(shown: Flown) -> None:
    good = shown.facts("test_row_trains_to_its_end[good]")
    assert good["wf.row_state"] == "success"
    assert (good["wf.code"], good["wf.attempts"], good["wf.exit_code"]) == ("0", "1", "0")
    assert float(good["wf.metric.train_loss"]) == 1.0
    bad = shown.facts("test_row_trains_to_its_end[bad]")
    assert (good["wf.rank"], "wf.rank" in bad) == ("1", False)
    assert (bad["wf.row_state"], bad["wf.code"], bad["wf.exit_code"]) == ("failed", "421", "3")
    assert bad["wf.failure_class"] == "user"


def test_a_failed_row_is_explained_by_the_end_of_its_log(shown: Flown) -> None:
    (failure,) = shown.cases["test_row_trains_to_its_end[bad]"].result
    assert failure.message.startswith("row bad failed, class user, exit status 3")
    assert "assert wf_run.ok" not in failure.text
    assert "the trainer gives up on purpose" in failure.text
    assert "step 2: train loss 1.0000" in failure.text


def test_a_failed_phase_says_why_in_a_line_and_all_of_it_below(shown: Flown) -> None:
    (failure,) = shown.cases["test_asserts"].result
    assert failure.message.startswith("P85 ASSERTS: code 593: assert ")
    for told in ("test_open.py", "court: deterministic fail", "evidence: /", "next: pytest flows/"):
        assert told in failure.text
    assert "FAILED flows/test_open.py::test_asserts - P85 ASSERTS: code 593" in shown.output


def test_a_rows_fixture_gives_a_second_case_its_metrics(shown: Flown) -> None:
    assert all(shown.cases[f"test_loss_fell[{run}]"].is_passed for run in ("good", "bad"))


def test_allure_has_phases_with_their_evidence_and_rows_with_theirs(shown: Flown) -> None:
    folder = shown.root / "reports" / "allure-results"
    suites: dict[str, list[str]] = {"lifecycle": [], "sweep": []}
    for result in shown.allure:
        labels = {label["name"]: label["value"] for label in result["labels"]}
        suites[labels["parentSuite"]].append(result["name"])
        files = {a["name"]: folder / a["source"] for a in result["attachments"]}
        if labels["parentSuite"] == "sweep":
            row = json.loads(files["row"].read_text())
            assert row["run_id"] == labels["run_id"]
        else:
            verdict = json.loads(files["verdict"].read_text())
            assert verdict["evidence_sha256"] == sha256_file(str(files["evidence"]))
            assert result["name"].startswith(verdict["phase_id"])
    assert len(suites["lifecycle"]) == len(CONTRACTS) + 2
    assert len(suites["sweep"]) == 4


def _halt_at_once(project: Path) -> None:
    config = project / "flows" / "workflow.env"
    config.write_text(config.read_text() + "WF_SECRET_ENV=WF_NOBODY_SETS_THIS\n")


def test_results_of_an_earlier_flow_do_not_stay_among_those_of_the_next(project: Path) -> None:
    _halt_at_once(project)
    assert len(Flown(project).allure) == len(Flown(project).allure) == 13


def test_a_halted_flow_is_a_whole_list_with_the_rest_skipped(project: Path) -> None:
    _halt_at_once(project)
    flown = Flown(project)
    assert flown.code == 1
    outcomes = {"passed": 0, "halted": 0}
    for name, case in flown.cases.items():
        if case.is_passed:
            outcomes["passed"] += 1
        elif name != "test_precheck":
            (skipped,) = case.result
            assert skipped.message == "halted by P00 (code 101)"
            outcomes["halted"] += 1
    assert outcomes == {"passed": 2, "halted": 10}
    statuses = [result["status"] for result in flown.allure]
    assert sorted(statuses) == ["failed", *["passed"] * 2, *["skipped"] * 10]


def test_the_users_own_places_for_reports_win(project: Path) -> None:
    _halt_at_once(project)
    Flown(project, "--junitxml=own/junit.xml", "--alluredir=own/allure")
    assert (project / "own" / "junit.xml").is_file()
    assert list((project / "own" / "allure").glob("*-result.json"))
    assert not (project / "reports" / "junit.xml").exists()
    assert not (project / "reports" / "allure-results").exists()


def test_another_folder_for_reports_takes_both(project: Path) -> None:
    _halt_at_once(project)
    Flown(project, "--wf-reports=elsewhere")
    assert (project / "elsewhere" / "junit.xml").is_file()
    assert list((project / "elsewhere" / "allure-results").glob("*-result.json"))
    assert not (project / "reports" / "junit.xml").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["-k", "nowhere"],
        ["--wf-csv=absent.csv"],
        ["-n", "auto"],
        ["--collect-only"],
        ["flows/twice"],
        ["flows/broken"],
    ],
)
def test_a_flow_that_does_not_begin_leaves_older_reports_as_they_are(
    pytester: pytest.Pytester, project: Path, words: list[str]
) -> None:
    (project / "flows" / "twice").mkdir()
    (project / "flows" / "broken").mkdir()
    if "flows/broken" in words:
        (project / "flows" / "broken" / "test_broken.py").write_text("def (\n")
    if "flows/twice" in words:
        (project / "flows" / "twice" / "test_again.py").write_text(
            "import pytest\n\n@pytest.mark.phase('P40')\ndef test_again(wf_flow):\n    'Again.'\n"
        )
    reports = project / "reports"
    (reports / "allure-results").mkdir(parents=True)
    old = {reports / "junit.xml": "<old/>", reports / "allure-results" / "a-result.json": "{}"}
    for path, text in old.items():
        path.write_text(text)
    pytester.runpytest_inprocess("flows/", "--wf-flow", *words)
    assert {path: path.read_text() for path in reports.rglob("*") if path.is_file()} == old


# ---- the terminal ----------------------------------------------------------------------------

PRINTING = """
import pytest


@pytest.fixture
def unended():
    yield
    print("no line end after this phase", end="")


@pytest.mark.phase("P05", command="print")
def test_prints(unended):
    \"\"\"Leaves the cursor anywhere.\"\"\"
    print("no line end in this phase", end="")
    pytest.fail("enough")
"""


@pytest.mark.parametrize("words", [[], ["-q"], ["-qq"], ["-v"], ["-s"], ["-v", "-s"], ["-rA"]])
def test_contract_lines_begin_in_the_first_column(project: Path, words: list[str]) -> None:
    (project / "flows" / "test_prints.py").write_text(PRINTING)
    flown = Flown(project, *words)
    assert flown.code == 1
    _keeps_the_contract(flown.output, ["P00", "P05", "P90", "P99"])


def test_contract_lines_are_the_same_on_a_terminal_where_asked_for(project: Path) -> None:
    _halt_at_once(project)
    said = _on_a_terminal(project, "--color=yes", "--wf-terminal=contract")
    _keeps_the_contract(said, ["P00", "P90", "P99"])


def test_on_a_terminal_each_phase_is_one_line(project: Path) -> None:
    _halt_at_once(project)
    shown = _on_a_terminal(project, "--color=no")
    said = re.sub(r"[^\n]*\x1b\[J", "", shown)  # the live view clears what it wrote
    assert not re.search(r"PHASE=|COURT=|mode=|chain head", said)
    assert re.search(r"(?m)^pytest-wf \S+, flows/workflow\.env [0-9a-f]{12}, flow, local, ", said)
    phases = re.findall(r"(?m)^(P\d\d) [A-Z_]+ +(ok|skip|skipped|FAILED 1\d\d)  .*$", said)
    assert [code for code, _ in phases] == sorted(CONTRACTS)
    found = dict(phases)
    assert (found["P00"][:8], found["P40"], found["P90"]) == ("FAILED 1", "skipped", "ok")
    assert re.search(r"(?m)^P40 BOOTSTRAP +skipped +halted by P00 \(code 1\d\d\)", said)
    assert re.search(r"(?m)^FAILED flows/test_\w+\.py::test_precheck", said)
    assert re.search(r"(?m)^next: ", said)


def _on_a_terminal(project: Path, *words: str) -> str:
    ours, theirs = pty.openpty()
    flown = Flown(project, *words, stdout=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 1 << 16)
        except OSError:  # the other end is closed, and all of it is read
            break
    os.close(ours)
    assert flown.code == 1
    return said.decode().replace("\r\n", "\n")


def test_contract_lines_stand_without_pytests_own_reporter_too(project: Path) -> None:
    _halt_at_once(project)
    _keeps_the_contract(Flown(project, "-p", "no:terminal").output, ["P00", "P90", "P99"])


def test_a_whole_flows_contract_lines_come_in_the_order_of_its_phases(shown: Flown) -> None:
    _keeps_the_contract(shown.output, sorted([*CONTRACTS, "P55", "P85"]))


def _keeps_the_contract(output: str, codes: list[str]) -> None:
    lines = output.splitlines()
    keys = [line.partition("=")[0] for line in header_lines(None, mode="flow", flow_id="")]
    header = [line for line in lines if line.partition("=")[0] in keys]
    assert [line.partition("=")[0] for line in header] == keys
    assert "mode=flow" in header
    told = [line for line in lines if re.search(r"PHASE=P|COURT=|CONST=", line)]
    assert [line[6:9] for line in told] == [code for code in codes for _ in range(2)]
    for status, court in zip(told[::2], told[1::2], strict=True):
        assert STATUS.fullmatch(status), status
        assert COURT.fullmatch(court), court


def test_a_row_that_nobody_waits_for_is_launched_and_counted_so(
    project: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    (project / "flows" / "sweep.csv").write_text(
        f"run_id,config,seed,overrides,notes\nwaits,default.py,1,wait_for={gate},\n"
    )
    try:
        flown = Flown(project, "-v")
        assert flown.code == 0, flown.output
        assert re.search(r"\bLAUNCHED\b", flown.output)
        assert re.search(r"11 passed, 1 launched", flown.output)
        (skipped,) = flown.cases["test_row_trains_to_its_end[waits]"].result
        assert skipped.message.startswith("launched, not awaited (")
    finally:
        gate.touch()
        _wf(project, "sweep-watch")
