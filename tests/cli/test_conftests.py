"""What a project's conftest.py brings holds for `wf` commands as it does for the flow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

PAGE = (ROOT / "docs" / "extending" / "provider.md").read_text(encoding="utf-8")
(PROVIDER,) = re.findall(r"```python\n(# conftest.py: a provider\n.*?)```", PAGE, re.DOTALL)
CONTRACT = """
from pytest_wf.project.data_contract import DataContract

def pytest_wf_data_contracts(config, rows):
    assert [row.run_id for row in rows] == ["one", "two"]
    return [DataContract("books", 'test -s "$DATA_DIR/books.txt"', remedy="Write some books.")]
"""


@pytest.fixture
def below(wf: Any) -> dict[str, str]:
    """Keys that keep a pod of any name within the project."""
    pod = wf.root / ".wf" / "pod"
    return {
        "OPS_REMOTE_REPO": f"{pod}/repo",
        "OPS_REMOTE_OUTPUTS_DIR": f"{pod}/outputs",
        "REMOTE_ENV_PATH": f"{pod}/project.env",
    }


def test_commands_reach_a_pod_that_only_the_conftest_knows(wf: Any, below: dict[str, str]) -> None:
    noise = "import sys\nprint('hello')\nprint('hello', file=sys.stderr)\n"
    (wf.root / "conftest.py").write_text(f"{noise}\n{PROVIDER}")
    wf.configure(OPS_DEFAULT_HOST="office", **below)

    told = wf("pod-status", "--json")

    assert told.document["state"] == "POD_READY"
    assert "hello" not in told.errors


@pytest.mark.long
def test_checkout_holds_the_contracts_on_data_of_the_project_and_the_built_in_one(
    wf: Any, tmp_path: Path
) -> None:
    # found as pytest finds it: by what its ini file says of paths
    (wf.root / "pytest.ini").write_text("[pytest]\npythonpath = tools\n")
    (wf.root / "tools").mkdir()
    (wf.root / "tools" / "contracts.py").write_text(CONTRACT)
    (wf.root / "flows" / "conftest.py").write_text(
        "from contracts import pytest_wf_data_contracts as pytest_wf_data_contracts\n"
    )
    data = tmp_path / "data"
    data.mkdir()
    wf.configure(DATA_DIR=str(data))
    wf.all_good("pod-status", "bootstrap")

    told = wf("checkout")
    assert told.code == 1
    assert told.problems[0].startswith("the data contract 'books' does not hold: exit status 1.")
    assert told.problems[0].endswith("Write some books.")

    (data / "books.txt").write_text("three of them\n")
    held = {one["contract"]: one for one in wf("checkout", "--json").document["data"]}
    assert held["books"]["checked"] is True
    assert held["fineweb"]["facts"]["why"] == "no training config names it"

    csv = wf.root / "flows" / "sweep.csv"
    csv.write_text(csv.read_text().replace("one,default.py,1,", "one,default.py,1,dataset=fineweb"))
    told = wf("checkout")
    assert told.code == 1
    assert "has no whole FineWeb shard to train on and none to validate on" in told.problems[0]


def test_a_data_contract_that_cannot_be_is_a_mistake_in_its_file(
    new_wf: Callable[..., Any],
) -> None:
    wf = new_wf()
    wrong = CONTRACT.replace("'test -s", "'' and 'test -s")
    (wf.root / "conftest.py").write_text(wrong)

    told = wf("checkout")

    assert told.code == 4
    line = len(wrong.splitlines())
    assert f"conftest.py:{line}: data contract 'books': it needs a command" in told.problems[0]


def test_a_checkout_reads_the_csv_that_says_which_data_is_needed(wf: Any) -> None:
    (wf.root / "flows" / "sweep.csv").unlink()

    told = wf("checkout")

    assert told.code == 4
    assert "sweep.csv: no such file." in told.problems[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_module_anywhere\n", "ModuleNotFoundError: No module named 'no_such_mod"),
        ("def pytest_wf_providers(config):\n    return []\n", "pytest_wf_providers"),
    ],
    ids=["import", "hook"],
)
def test_a_conftest_that_cannot_be_loaded_stops_what_would_reach_a_pod(
    new_wf: Callable[..., Any], text: str, why: str
) -> None:
    wf = new_wf()
    (wf.root / "conftest.py").write_text(text)

    told = wf("pod-status", "--json")

    assert told.code == 4
    assert why in json.loads(told.out)["error"]["message"]
    assert str(wf.root) in told.problems[0]
    assert why in told.problems[0]
    assert not (wf.root / ".wf").exists()
    assert wf("checklist-status").code == 0, "what reaches no pod needs no provider"
