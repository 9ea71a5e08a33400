"""A flow's Allure results: phases with their steps and evidence, rows with metrics and logs.

Allure's own reporter writes one result for each test; here each result is completed from
the flow's records before it is written. Ids of histories come from phase codes and run ids, so
a history continues when tests are moved or renamed, and from campaign to campaign.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from pytest_wf.config.ranking import Ranking, rank
from pytest_wf.flow.rows.row_text import notes_of
from pytest_wf.project.parameters import parameters_of, shown
from pytest_wf.wire.ownership import make_folder
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.rows import RowStatus
from pytest_wf.wire.safe_text import readable

if TYPE_CHECKING:
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.flow.state import FlowState
    from pytest_wf.plugin.allure.mask import AllureMask

#: In a larger sweep, good rows have neither attachments nor parameters, to limit the number of
#: files, and P70 has a table of all rows. Failed rows are complete, up to
#: this number of them.
FULL_ROWS = 500

_OUR_FILES = ("categories.json", "environment.properties", "executor.json", "allurerc.json")


class AllureView:
    """Completes the results of Allure's reporter, if that is active.

    `own_dir` is the folder of its results, unless the user asked for another.
    """

    def __init__(self, config: pytest.Config, own_dir: Path | None, redactor: Redactor) -> None:
        self._config = config
        self._own_dir = own_dir
        near = (own_dir, own_dir.parent) if own_dir is not None else ()
        self._new_dirs = [folder for folder in near if not folder.exists()]
        self._redactor = redactor
        self._mask: AllureMask | None = None
        self._shown_by: dict[str, str] = {}
        self._whole_failures = 0
        #: Complete results of rows, by run id.
        self._whole: dict[str, str] = {}
        #: The name of the page in P99's result; the page is drawn later.
        self._page_name = ""

    @property
    def _folder(self) -> Path | None:
        folder = getattr(self._config.option, "allure_report_dir", None)
        return Path(os.path.abspath(folder)) if folder and self._reporter() else None

    def open(self) -> None:
        """Mask secrets in what Allure writes from now on."""
        folder = self._folder
        if folder is not None:
            from pytest_wf.plugin.allure.mask import AllureMask

            self._mask = AllureMask(folder, self._redactor)

    @property
    def trouble(self) -> str:
        """Why results are missing; '' if none are."""
        return self._mask.trouble if self._mask is not None else ""

    def close(self) -> None:
        """Stop masking."""
        if self._mask is not None:
            self._mask.close()

    # ---- results ------------------------------------------------------------------------

    def phase_ended(self, item: pytest.Item, record: PhaseRecord, flow: FlowState) -> None:
        """Name the phase's result, add its work and its court, attach its records."""
        result = self._result()
        if result is None:
            return
        import allure

        from pytest_wf.plugin.allure.steps import PhaseFiles, phase_steps

        code = record.contract.code
        self._label_phase(result, item, code, record.contract.name, flow)
        files = PhaseFiles(flow.store.dir, code)
        result.steps = phase_steps(files, result.steps)
        if record.status == "skip" and self._mask is not None:
            self._mask.skip(result.uuid, record.skipped)
        for kind in ("evidence", "verdict"):
            if files.path(kind).is_file():
                allure.attach.file(str(files.path(kind)), kind, allure.attachment_type.JSON)
        if record.failure is not None or code == "P50":
            for role, path in _logs(files.read("evidence")):
                allure.attach.file(path, role, allure.attachment_type.TEXT)
        if code == "P50":
            self._link_commit(files.read("evidence"))
        if code == "P70" and flow.watched.rows:
            table = _table(flow.watched.rows, rank(flow.watched.rows, flow.config.wf_rank_by))
            allure.attach(table, "rows", allure.attachment_type.CSV)
        if code == "P99":
            self._link_page(result)

    def row_ended(self, item: pytest.Item, row: RowStatus, flow: FlowState) -> None:
        """Show the latest status of a row, its metrics, and the end of a failed row's log."""
        result = self._result()
        if result is None:
            return
        import allure

        run_id = row.run_id
        self._label_row(result, item, row)
        if not self._is_whole(row, len(flow.project.rows)):
            return
        for name, value in _parameters(flow, run_id).items():
            self._parameter(result, name, value)
        self._whole.setdefault(run_id, result.uuid)
        texts = {"row": row.as_json(), "metrics": row.metrics}
        for name, content in texts.items():
            if content:
                text = json.dumps(content, indent=1, sort_keys=True, default=str)
                allure.attach(text, name, allure.attachment_type.JSON)
        if row.notes:
            text = readable("\n".join(notes_of(row)))
            allure.attach(text, "notes", allure.attachment_type.TEXT)
        tail = flow.watched.log_tail(run_id)
        if tail:
            allure.attach(readable(tail), "end of the log", allure.attachment_type.TEXT)

    def halted(self, item: pytest.Item, code: str, run_id: str | None, flow: FlowState) -> None:
        """Name the result of a test that a halt skipped."""
        result = self._result()
        if result is None:
            return
        if run_id is None:
            self._label_phase(result, item, code, flow.contracts[code].name, flow)
        else:
            self._label_row(result, item, RowStatus(run_id, "halted"))

    # ---- files --------------------------------------------------------------------------

    def complete(self, summary: dict[str, Any], flow: FlowState, ranking: Ranking) -> None:
        """Write the files beside the results, and the ranks of rows into theirs."""
        folder = self._folder
        if folder is None:
            return
        _add_ranks(
            folder, {self._whole[r]: n for r, n in ranking.ranks.items() if r in self._whole}
        )
        from pytest_wf.plugin.allure import files
        from pytest_wf.plugin.allure.steps import PhaseFiles

        evidence = PhaseFiles(flow.store.dir, "P99").read("evidence")
        best = (summary.get("best") or {}).get("run_id", "")
        facts = files.environment(evidence, summary, _parameters(flow, best))
        masked = {name: self._redactor.shown(value) for name, value in facts.items()}
        found = files.categories()
        written: dict[str, Any] = {
            "categories.json": found,
            "allurerc.json": {"name": f"Flow {flow.flow_id}", "categories": found},
            "environment.properties": files.as_properties(masked),
        }
        build = files.executor(os.environ)
        if build:
            written["executor.json"] = self._redactor.shown_value(build)
        files.write_files(folder, written, overwrite=self._own_dir is not None)

    def page_drawn(self, page: Path | None, message: str) -> None:
        """Write the page that P99's result links to, or the message why there is none."""
        folder, name = self._folder, self._page_name
        if folder is None or not name:
            return
        from html import escape

        from pytest_wf.wire.files import write_atomic

        text = page.read_bytes() if page is not None else f"<p>{escape(message)}</p>".encode()
        write_atomic(str(folder / name), text)

    def clear_old_results(self) -> None:
        """Remove the results of earlier flows, if the folder is the default one."""
        if self._own_dir is not None:
            make_folder(str(self._own_dir), "results for Allure")
            patterns = ("*-result.json", "*-container.json", "*-attachment*", *_OUR_FILES)
            for pattern in patterns:
                for path in self._own_dir.glob(pattern):
                    path.unlink()

    def write_no_report(self) -> None:
        """Remove the empty folder of a flow that was refused at collection."""
        if self._own_dir is not None:
            for folder in self._new_dirs:
                try:
                    folder.rmdir()  # only if it is empty: the reporter creates it early
                except OSError:
                    break

    # ---- inside -------------------------------------------------------------------------

    def _reporter(self) -> Any:
        listener = self._config.pluginmanager.get_plugin("allure_listener")
        return listener.allure_logger if listener is not None else None

    def _result(self) -> Any:
        """The result of the running test; None without Allure."""
        reporter = self._reporter()
        return reporter.get_test(None) if reporter is not None else None

    def _label_phase(
        self, result: Any, item: pytest.Item, code: str, name: str, flow: FlowState
    ) -> None:
        from pytest_wf.court.phases import CONTRACTS

        result.name = f"{code} {name}"
        _label(result, item, "parentSuite", "lifecycle")
        _label(result, item, "suite", "core phases" if code in CONTRACTS else "project phases")
        _label(result, item, "severity", "critical")
        _label(result, item, "tag", code, more=True)
        _label(result, item, "phase", code)
        _label(result, item, "flow_id", flow.flow_id)
        self._identify(result, f"phase:{code}")

    def _label_row(self, result: Any, item: pytest.Item, row: RowStatus) -> None:
        run_id, kind = row.run_id, row.failure_class
        first = self._shown_by.setdefault(run_id, item.nodeid) == item.nodeid
        _label(result, item, "parentSuite", "sweep")
        _label(result, item, "suite", f"{row.state}: {kind}" if kind else row.state)
        _label(result, item, "severity", "normal")
        _label(result, item, "run_id", run_id)
        for tag in dict.fromkeys(filter(None, (kind, *(note.code for note in row.notes)))):
            _label(result, item, "tag", tag, more=True)
        if first:
            result.name = run_id
            if row.finished_at and row.duration_s is not None:
                from pytest_wf.plugin.allure.steps import epoch_ms

                with suppress(ValueError):  # the time comes from the pod and may be invalid
                    stop = epoch_ms(row.finished_at)
                    self._settle(result, start=stop - int(1000 * row.duration_s), stop=stop)
        function = getattr(item, "originalname", None) or item.name
        self._identify(result, f"row:{run_id}" if first else f"row:{run_id}:{function}")
        for parameter in result.parameters:
            parameter.excluded = True

    def _identify(self, result: Any, identity: str) -> None:
        digest = hashlib.sha256(f"pytest-wf:{identity}".encode()).hexdigest()[:32]
        self._settle(result, historyId=digest, testCaseId=digest)

    def _settle(self, result: Any, **values: Any) -> None:
        """Set values that Allure's listener would set again before it writes the result."""
        if self._mask is not None:
            self._mask.settle(result.uuid, values)

    def _parameter(self, result: Any, name: str, value: str) -> None:
        from allure_commons.model2 import Parameter

        if value:
            result.parameters.append(Parameter(name=name, value=value, excluded=True))

    def _is_whole(self, row: RowStatus, rows: int) -> bool:
        """Whether the row's result is complete."""
        if rows <= FULL_ROWS:
            return True
        if (row.ok and not row.notes) or self._whole_failures >= FULL_ROWS:
            return False
        self._whole_failures += 1
        return True

    def _link_commit(self, evidence: Any) -> None:
        import allure

        from pytest_wf.plugin.allure.files import commit_url

        git_sha = evidence.get("git_sha") or ""
        url = commit_url(evidence.get("repo_url") or "", git_sha)
        if url:
            allure.dynamic.link(url, name=f"commit {git_sha[:12]}")

    def _link_page(self, result: Any) -> None:
        from allure_commons.model2 import Attachment

        self._page_name = f"{uuid4()}-attachment.html"
        page = Attachment(name="report.html", source=self._page_name, type="text/html")
        result.attachments.append(page)


def _label(result: Any, item: pytest.Item, name: str, value: str, *, more: bool = False) -> None:
    """Set a label, unless the phase's author has set it, in the body or with a decorator."""
    from allure_commons.model2 import Label
    from allure_pytest.utils import allure_labels

    present = {label.name for label in result.labels} | {str(n) for n, _ in allure_labels(item)}
    if more or name not in present:
        result.labels.append(Label(name=name, value=value))


def _parameters(flow: FlowState, run_id: str) -> dict[str, str]:
    """The parameters of the row `run_id` as text; empty if there is no such row."""
    planned = next((row for row in flow.project.rows if row.run_id == run_id), None)
    if planned is None:
        return {}
    found = parameters_of(planned.config, planned.seed, planned.argv)
    return {name: shown(value) for name, value in found.items()}


def _logs(evidence: Any) -> list[tuple[str, str]]:
    """Role and path of the logs among a phase's artifacts on this machine."""
    return [
        (artifact["role"], artifact["path"])
        for artifact in evidence.get("artifacts") or ()
        if artifact["where"] == "local"
        and artifact["path"].endswith((".log", ".txt"))
        and artifact["bytes"]
        and os.path.isfile(artifact["path"])
    ]


def _add_ranks(folder: Path, ranks: Mapping[str, int]) -> None:
    """Add ranks, by the ids of results, to results that were written before all rows had ended.

    A result that cannot be read or replaced is left unchanged.
    """
    for path in folder.glob("*-result.json") if ranks else ():
        new = path.with_suffix(".new")
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            place = ranks.get(result["uuid"])
            if place is None:
                continue
            added = {"name": "rank", "value": str(place), "excluded": True}
            result["parameters"] = [*result.get("parameters", ()), added]
            new.write_text(json.dumps(result), encoding="utf-8")
            os.replace(new, path)
        except (OSError, ValueError, LookupError, TypeError):
            with suppress(OSError):
                new.unlink(missing_ok=True)


def _table(rows: list[RowStatus], ranking: Ranking) -> str:
    """All rows of a campaign in CSV."""
    columns = ("run_id", "state", "attempts", "failure_class", "exit_code", "duration_s")
    metrics = sorted({name for row in rows for name in row.metrics})
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow([*columns, "rank", *metrics, "notes"])
    for row in rows:
        values = [getattr(row, c) for c in columns]
        values += [ranking.ranks.get(row.run_id), *(row.metrics.get(m) for m in metrics)]
        values.append("; ".join(note.code for note in row.notes))
        table.writerow(["" if value is None else value for value in values])
    return out.getvalue()
