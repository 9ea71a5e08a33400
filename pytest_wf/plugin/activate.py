"""Starts a flow: reads the project, refuses what cannot work, registers plugins."""

from __future__ import annotations

import atexit
import gc
import os
from dataclasses import replace
from pathlib import Path

import pytest

import pytest_wf.plugin.fixtures
from pytest_wf.errors import InputError
from pytest_wf.flow.extensions import Extensions, register
from pytest_wf.flow.secrets import redactor_of
from pytest_wf.plugin.collection import Collection
from pytest_wf.plugin.html_page import ReportPage
from pytest_wf.plugin.other_plugins import refuse_incompatible
from pytest_wf.plugin.reporting import Reporting
from pytest_wf.plugin.selection import ignore_addopts
from pytest_wf.project.load import load_project
from pytest_wf.project.project import CONFIG, Options, Project
from pytest_wf.wire.ownership import (
    JUNIT,
    REPORT,
    NotOurs,
    is_foreign_file,
    is_foreign_folder,
)
from pytest_wf.wire.process import heed_children


def activate(config: pytest.Config, *, interactive: bool) -> None:
    """Register the plugins of a flow. Raises pytest.UsageError with all mistakes.

    `interactive` says whether pytest was started on a terminal, where it can ask for consent.
    """
    # the interpreter's last collections would look at each object of a process that ends
    atexit.register(gc.freeze)
    heed_children()
    ignored = ignore_addopts(config)
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
    if config.option.maxfail == 1:
        project = replace(project, config=replace(project.config, sweep_fail_fast=True))
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
        Collection(config, project, reporting, ignored, interactive=interactive), "wf-collection"
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
        smoke=get("wf_smoke"),
        last_failed=bool(get("lf", False)),
        pods=get("wf_pods"),
        root_from_here=_root_from_here(config),
    )


def root_of(config: pytest.Config) -> Path:
    """The project of the flow: the one around the first path on the command line.

    pytest's own root may be above it, or any directory given by `--rootdir`.
    """
    for arg in config.args:
        path = Path(os.path.abspath(config.invocation_params.dir / arg.partition("::")[0]))
        for folder in (path, *path.parents):
            if os.path.lexists(folder / CONFIG):
                return folder
            if folder.name == CONFIG.parent.name and folder in (path, path.parent):
                return folder.parent  # a folder of flows without a config; no other is searched
    return config.rootpath


def _root_from_here(config: pytest.Config) -> str:
    """The root relative to the directory in which pytest was started; '' if it is the same."""
    root = os.path.relpath(root_of(config), config.invocation_params.dir)
    return "" if root == os.curdir else root


def _refuse_unwritable(project: Project) -> None:
    """Raise pytest.UsageError naming every folder that a flow could not write its files to.

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
            wrong.append(f'{name}="{folder}": {there} {why}. Name a writable folder.')
    if wrong:
        raise pytest.UsageError(*wrong)


def _default_reports(config: pytest.Config, project: Project) -> Path | None:
    """Set the paths of JUnit and Allure results that the user did not set.

    Returns the folder of Allure results if it is the default one.
    """
    folder = project.root / project.options.reports
    if getattr(config.option, "xmlpath", None) is None:
        config.option.xmlpath = str(folder / "junit.xml")
    if getattr(config.option, "allure_report_dir", "") is None:
        config.option.allure_report_dir = str(folder / "allure-results")
        return folder / "allure-results"
    return None


def _refuse_foreign(config: pytest.Config, project: Project) -> None:
    """Raise pytest.UsageError naming every report that would replace a file that no flow made."""
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
