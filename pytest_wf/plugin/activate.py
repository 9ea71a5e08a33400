"""From ``--wf-flow`` to a flow: read the project, refuse what cannot work, register."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pytest_wf.plugin.fixtures
from pytest_wf.errors import InputError
from pytest_wf.flow.extensions import Extensions, register
from pytest_wf.flow.secrets import redactor_of
from pytest_wf.plugin.collection import Collection
from pytest_wf.plugin.html_page import ReportPage
from pytest_wf.plugin.reporting import Reporting
from pytest_wf.project.project import CONFIG, Options, Project, load_project
from pytest_wf.wire.ownership import (
    JUNIT,
    REPORT,
    NotOurs,
    is_foreign_file,
    is_foreign_folder,
)

#: Options of other plugins that repeat, reorder or shorten what must run once, in order.
_REFUSED = (
    ("numprocesses", "-n runs tests in several processes, and a flow is one sequence on one pod"),
    ("tx", "--tx distributes tests, and a flow is one sequence on one pod"),
    ("setuponly", "--setup-only runs no phase and would look green"),
    ("setupplan", "--setup-plan runs no phase and would look green"),
    ("usepdb", "--pdb stops a flow in the middle while the pod is still billed"),
    ("reruns", "--reruns repeats phases; rows are retried on the pod (RUN_RETRIES)"),
    ("stepwise", "--stepwise leaves phases out"),
    ("continue_on_collection_errors", "--continue-on-collection-errors runs half a flow"),
)


def activate(config: pytest.Config, *, interactive: bool) -> None:
    """Register the plugins of a flow. Raises pytest.UsageError with every mistake at once.

    `interactive` says whether pytest was started on a terminal, where consent can be asked for.
    """
    refuse_incompatible(config)
    manager = config.pluginmanager
    register(manager)
    try:
        providers = Extensions(config.hook).providers()
        project = load_project(root_of(config), options_of(config), os.environ, providers)
    except InputError as e:
        raise pytest.UsageError(*(str(p) for p in e.problems)) from None
    _refuse_foreign(config, project)
    if not config.option.collectonly:
        _refuse_unwritable(project)
    # a failed row must not end the session: the court decides on a halt
    config.option.maxfail = 0
    manager.register(pytest_wf.plugin.fixtures, "wf-fixtures")
    own_allure_dir = None if config.option.collectonly else _default_reports(config, project)
    redactor = redactor_of(project, os.environ)
    quiet_s = project.config.wf_flow_wait_interval_secs
    reporting = Reporting(config, own_allure_dir, redactor, quiet_s)
    manager.register(reporting, "wf-reporting")
    page = ReportPage(reporting, project.root / project.options.reports / "report.html")
    manager.register(page, "wf-page")
    manager.register(
        Collection(config, project, reporting, interactive=interactive), "wf-collection"
    )


def options_of(config: pytest.Config) -> Options:
    """The flow options, typed."""
    get = config.getoption
    return Options(
        provision=get("wf_provision"),
        sweep=get("wf_sweep"),
        wait=get("wf_wait") == "true",
        fetch=get("wf_fetch"),
        teardown=get("wf_teardown"),
        config=Path(get("wf_config")) if get("wf_config") else None,
        csv=Path(get("wf_csv")) if get("wf_csv") else None,
        reports=Path(get("wf_reports")),
        campaign=get("wf_campaign"),
    )


def root_of(config: pytest.Config) -> Path:
    """The project whose flow was asked for: the one around the path that was named first.

    pytest's own root may be above it, or anywhere that `--rootdir` says.
    """
    for arg in config.args:
        path = Path(os.path.abspath(config.invocation_params.dir / arg.partition("::")[0]))
        for folder in (path, *path.parents):
            if os.path.lexists(folder / CONFIG):
                return folder
            if folder.name == CONFIG.parent.name and folder in (path, path.parent):
                return folder.parent  # a folder of flows that lacks its config; no other counts
    return config.rootpath


def refuse_incompatible(config: pytest.Config) -> None:
    """Raise pytest.UsageError for options that would break a flow's order or its ends."""
    # reported once: xdist turns -n into --tx
    wrong = [why for name, why in _REFUSED if config.getoption(name, None)]
    if config.getoption("numprocesses", None):
        wrong = [why for why in wrong if not why.startswith("--tx")]
    if config.getoption("timeout_method", None) == "thread":
        wrong.append("--timeout-method=thread kills the process: no teardown, no summary")
    if not any(config.pluginmanager.hasplugin(name) for name in ("timeout", "pytest_timeout")):
        wrong.append("-p no:timeout takes every phase's time limit away")
    if not __debug__ and config.getoption("assertmode", None) == "plain":
        wrong.append("--assert=plain under python -O leaves out every assertion of every phase")
    if wrong:
        raise pytest.UsageError(*(f"not with --wf-flow: {why}." for why in wrong))


def _refuse_unwritable(project: Project) -> None:
    """Raise pytest.UsageError naming every place that a flow could not write its files to.

    Creates nothing, as a refused flow leaves no folder behind.
    """
    config = project.config
    wrong = []
    for name, folder in (
        ("--wf-reports", project.options.reports),
        ("WF_FLOW_EVIDENCE_DIR", Path(config.wf_flow_evidence_dir)),
        ("WF_CHECKLIST_PATH", Path(config.wf_checklist_path).parent),
    ):
        place = project.root / folder
        there = next(p for p in (place, *place.parents) if os.path.lexists(p))
        why = "" if there.is_dir() else "is not a folder"
        if not why and not os.access(there, os.W_OK | os.X_OK):
            why = "cannot be written to"
        if why:
            wrong.append(f'{name}="{folder}": {there} {why}. Name a folder that can be written.')
    if wrong:
        raise pytest.UsageError(*wrong)


def _default_reports(config: pytest.Config, project: Project) -> Path | None:
    """Set the paths of JUnit and Allure results that the user did not set.

    Returns the folder of Allure results where it is ours.
    """
    folder = project.root / project.options.reports
    if getattr(config.option, "xmlpath", None) is None:
        config.option.xmlpath = str(folder / "junit.xml")
    if getattr(config.option, "allure_report_dir", "") is None:
        config.option.allure_report_dir = str(folder / "allure-results")
        return folder / "allure-results"
    return None


def _refuse_foreign(config: pytest.Config, project: Project) -> None:
    """Raise pytest.UsageError naming every report that would replace what a flow did not make."""
    folder, option = project.root / project.options.reports, config.option
    files = {"report.html": REPORT}
    if getattr(option, "xmlpath", None) is None:
        files["junit.xml"] = JUNIT
    foreign = [
        name for name, begins in files.items() if is_foreign_file(str(folder / name), begins)
    ]
    if getattr(option, "allure_report_dir", "") is None:
        allure = "allure-results"
        foreign += [allure] if is_foreign_folder(str(folder / allure)) else []
    found = [NotOurs(str(folder / name)) for name in foreign]
    wrong = [f'--wf-reports="{project.options.reports}": {e.message}. {e.remedy}' for e in found]
    if wrong:
        raise pytest.UsageError(*wrong)
