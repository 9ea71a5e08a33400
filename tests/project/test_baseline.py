"""The baseline of a project: taken from a good flow alone, and asked for before anything runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.court.auditor_process import Auditors
from pytest_wf.court.courtroom import Courtroom
from pytest_wf.errors import InputError
from pytest_wf.evidence import chain
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.project.baseline import BASELINE, read_baseline
from pytest_wf.project.baseline_writer import set_baseline
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options
from pytest_wf.schemas import load as load_schema
from pytest_wf.wire.files import pretty_json
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.rows import RowStatus
from tests.support import damage
from tests.support import good_flow as good
from tests.support.project import ENV, write_flows

PASS = 'echo \'{"verdict": "pass", "violated_laws": [], "evidence_refs": [], "remediation": ""}\''
CSV = "run_id,config,seed,overrides,notes,expect\n"

Close = Callable[..., Path]


def row(run_id: str, **changes: Any) -> RowStatus:
    good = {"state": "success", "ok": True, "metrics": {"loss": 3.25, "step": 9, "odd": "nan"}}
    return RowStatus(run_id, **{**good, **changes})


BROKEN = row("a", state="failed", ok=False, failure_class="expect")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_flows(tmp_path, f"{CSV}a,c.py,1,,,\nb,c.py,2,,,\n")


@pytest.fixture
def close(root: Path) -> Close:
    """Makes the folder of a flow that verifies, with rows and an end as asked."""

    def closed(name: str, rows: Sequence[RowStatus] = (), **end: Any) -> Path:
        store = EvidenceStore(root / "reports" / "flows", name, Redactor())
        store.write_start(good.start().model_copy(update={"flow_id": name}))
        room = Courtroom(store, Auditors(PASS, 30), True, root)
        seen = {row.run_id: row.as_json() for row in rows}
        for code, more in (("P50", {}), ("P70", {"rows": seen, "git_sha": good.GIT})):
            evidence = good.evidence(code, flow_id=name, **more)
            assert room.hold(evidence, good.contract(code), good.world(code))
        good.close(store, **end)
        return store.dir

    return closed


def refused(root: Path, flow: Path) -> str:
    with pytest.raises(InputError) as caught:
        set_baseline(root, flow)
    assert not (root / BASELINE).exists()
    return str(caught.value)


def problems(root: Path, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_project(root, Options(**options), {})
    return [str(problem) for problem in caught.value.problems]


def test_the_rows_of_a_good_flow_become_the_baseline(root: Path, close: Close) -> None:
    done = set_baseline(root, close("f-1", rows=[row("a"), row("b", metrics={"loss": 3})]))
    assert (done.before, done.kept_at) == (None, None)
    found = read_baseline(root)
    assert found is not None
    assert (found.record.flow_id, found.record.git_sha) == ("f-1", good.GIT)
    assert dict(found.row("a")) == {"loss": 3.25, "step": 9}
    assert dict(found.row("b")) == {"loss": 3}
    assert dict(found.row("c")) == {}
    assert found.sha256 == done.sha256


def test_what_is_written_is_what_its_schema_says(root: Path, close: Close) -> None:
    import jsonschema

    set_baseline(root, close("f-1", rows=[row("a")]))
    written = json.loads((root / BASELINE).read_bytes())
    jsonschema.validate(written, load_schema("baseline.schema.json"))


@pytest.mark.parametrize(
    ("summary", "told"),
    [
        ({"exit_code": 1, "failed_case": "P70"}, "the flow is not ok (code 193, P70)"),
        ({"rows": []}, "no rows"),
        ({"rows": [row("a", ok=None, state="running")]}, "row a has not ended"),
        ({"rows": [BROKEN]}, "row a is not ok (expect)"),
        ({"rows": [row("a"), row("b", metrics={"loss": "nan"})]}, "row b has no metrics"),
    ],
)
def test_a_flow_that_is_no_measure_is_refused_and_says_why(
    root: Path, close: Close, summary: dict[str, Any], told: str
) -> None:
    assert told in refused(root, close("f-1", **{"rows": [row("a")], **summary}))


def test_all_that_is_wrong_with_a_flow_is_told_at_once(root: Path, close: Close) -> None:
    rows = [row("a", ok=None, state="pending"), row("b", metrics={})]
    flow = close("f-1", exit_code=1, rows=rows)
    text = refused(root, flow)
    assert all(part in text for part in ("not ok", "row a has not ended", "row b has no metrics"))


def test_a_flow_that_somebody_touched_is_refused_by_the_file_s_name(
    root: Path, close: Close
) -> None:
    flow = close("f-1", rows=[row("a")])
    path = flow / "flow.summary.json"
    summary = json.loads(path.read_text().replace("3.25", "3.75"))
    path.write_bytes(pretty_json(summary))
    text = refused(root, flow)
    assert "flow.summary.json: changed" in text
    assert "does not verify" in text
    summary["digest"] = chain.own_digest(summary)
    path.write_bytes(pretty_json(summary))
    said = "flow.summary.json: inconsistent: rows[a].metrics.loss is 3.75, and the records say 3.25"
    assert said in refused(root, flow)


def test_a_folder_that_is_none_is_refused(root: Path) -> None:
    assert "not a flow's folder" in refused(root, root / "nowhere")


def test_the_baseline_before_is_kept_and_named(root: Path, close: Close) -> None:
    set_baseline(root, close("f-1", rows=[row("a")]))
    old = (root / BASELINE).read_bytes()
    done = set_baseline(root, close("f-2", rows=[row("a", metrics={"loss": 3})]))
    assert done.before is not None
    assert done.before.record.flow_id == "f-1"
    assert done.kept_at == root / "flows" / "baseline.f-1.json"
    assert done.kept_at.read_bytes() == old
    same = set_baseline(root, close("f-3", rows=[row("a", metrics={"loss": 3})]))
    assert same.kept_at is None  # the same numbers: nothing is lost


def test_a_file_in_its_place_that_is_no_baseline_is_kept_too(root: Path, close: Close) -> None:
    (root / BASELINE).write_text("my notes\n")
    done = set_baseline(root, close("f-1", rows=[row("a")]))
    assert done.kept_at is not None
    assert done.kept_at.read_text() == "my notes\n"
    (root / BASELINE).write_text("other notes\n")
    again = set_baseline(root, close("f-2", rows=[row("a")]))
    assert again.kept_at not in (None, done.kept_at)
    assert done.kept_at.read_text() == "my notes\n"


#: A baseline stands in version control; it may be edited, and may be absent.
HARMED = [kind for kind in damage.KINDS if kind not in ("flip_bit", "missing")]


@pytest.mark.parametrize("kind", HARMED)
def test_a_damaged_baseline_is_named_and_set_anew_as_told(
    root: Path, close: Close, kind: str
) -> None:
    set_baseline(root, close("f-1", rows=[row("a")]))
    damage.KINDS[kind](root / BASELINE)
    with pytest.raises(InputError, match=r"flows/baseline\.json: .* `wf baseline set <flow_dir>`"):
        read_baseline(root)
    done = set_baseline(root, close("f-2", rows=[row("a")]))
    assert done.kept_at is not None and os.path.lexists(done.kept_at)
    found = read_baseline(root)
    assert found is not None and found.record == done.record


def test_a_flow_without_the_baseline_that_it_asks_for_is_refused_at_once(root: Path) -> None:
    (root / "flows" / "workflow.env").write_text(f"{ENV}WF_EXPECT=loss<9; loss<=1.1*baseline\n")
    (root / "flows" / "sweep.csv").write_text(f"{CSV}a,c.py,1,,,\nb,c.py,2,,,step>=baseline\n")
    config, csv = problems(root)
    assert config.startswith("flows/workflow.env:6: WF_EXPECT=")
    assert "loss<=1.1*baseline: there is no flows/baseline.json." in config
    assert csv.startswith('flows/sweep.csv:3: expect="step>=baseline"')
    assert "wf baseline set" in csv


def test_a_row_or_a_metric_that_the_baseline_lacks_is_named(root: Path, close: Close) -> None:
    set_baseline(root, close("f-1", rows=[row("a")]))
    (root / "flows" / "workflow.env").write_text(f"{ENV}WF_EXPECT=loss<=1.1*baseline\n")
    (root / "flows" / "sweep.csv").write_text(f"{CSV}a,c.py,1,,,rate>baseline\nb,c.py,2,,,\n")
    config, csv = problems(root)
    assert "flows/baseline.json has no loss of b." in config
    assert "flows/baseline.json has no rate of a." in csv
    (root / "flows" / "sweep.csv").write_text(f"{CSV}a,c.py,1,,,\n")
    assert load_project(root, Options(), {}).baseline is not None


def test_a_baseline_that_cannot_be_read_stops_those_alone_who_ask_for_it(root: Path) -> None:
    (root / BASELINE).write_text('{"rows": {"a": {"metrics": {"loss": NaN}}}}')
    assert load_project(root, Options(), {}).baseline is None
    (root / "flows" / "workflow.env").write_text(f"{ENV}WF_EXPECT=loss<=baseline\n")
    (problem,) = problems(root)
    assert problem.startswith("flows/baseline.json: not a baseline: ")
    stop = load_project(root, Options(sweep="skip"), {}, reads_csv=False)
    assert stop.baseline is None  # a sweep can be stopped while its baseline is being mended
