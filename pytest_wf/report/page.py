"""Renders the page as one HTML file: styles, scripts and data inlined, nothing fetched.

All text from a pod, a trainer or a config is escaped: by Jinja in HTML,
by `script_json` in the data, and by `textContent` in
scripts. A content security policy is a second protection: it allows only the digests of the
two inlined scripts and styles, and no address.

The plots are uPlot's (MIT, vendored in static/uplot): 50 kB inlined, where plotly takes 4 MB,
and fast enough for a thousand curves.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata, resources
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import jinja2
from jinja2.bccache import Bucket
from markupsafe import Markup

from pytest_wf.report.build import Page, build
from pytest_wf.report.data import data_of, script_json
from pytest_wf.report.running import Running
from pytest_wf.report.view import FlowView, PageView
from pytest_wf.report.views import VIEWS
from pytest_wf.wire.files import write_atomic
from pytest_wf.wire.ownership import REPORT, NotOurs, is_foreign_file, replace_file
from pytest_wf.wire.redact import Redactor

_STATIC = "pytest_wf.report"
_STYLES = ("uplot/uPlot.min.css", "page.css")
_SCRIPTS = (
    "uplot/uPlot.iife.min.js",
    "stats.js",
    "page.js",
    "view_state.js",
    "columns.js",
    "selection.js",
    "curves.js",
    "parameters.js",
    "row_table.js",
    "live.js",
    "main.js",
)


def write_report(
    folders: Sequence[Path],
    out: Path,
    redactor: Redactor | None = None,
    running: Running | None = None,
) -> Path:
    """Draw the flows in `folders` into the file `out`, and return its path.

    `running` has the data of a flow that draws its own page before its end. Raises InputError if a
    folder is not a flow's, NotOurs if `out` is a file that this product did not make, OSError if it
    cannot be written.
    """
    out = out.resolve()
    if is_foreign_file(str(out), REPORT):
        raise NotOurs(str(out))
    page = build(folders, out.parent, running)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(str(out), render(page, redactor or Redactor()).encode("utf-8", "replace"), REPORT)
    return out


def render(page: Page, redactor: Redactor) -> str:
    """The page's HTML.

    Every text in it is made readable, and secrets known to `redactor` are masked, before it is
    escaped.
    """
    style = "\n".join(_static(name) for name in _STYLES)
    script = "\n".join(_static(name) for name in _SCRIPTS)
    environment = _environment()
    drawn = [_draw(view, page, redactor, environment) for view in VIEWS]
    return environment.get_template("page.html.j2").render(
        title=redactor.shown(_title(page)),
        views=[view for view in drawn if view.html],
        drawn_at=page.drawn_at,
        version=page.version,
        every_s=page.drawn_every_s,
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        style_digest=_digest(style),
        script_digest=_digest(script),
        data=Markup(script_json(data_of(page, redactor))),  # noqa: S704 - escaped for where it stands
    )


class _Drawn(NamedTuple):
    """A view as HTML; empty if it shows nothing."""

    name: str
    link: str
    anchor: str
    html: str


def _draw(
    view: FlowView | PageView, page: Page, redactor: Redactor, environment: jinja2.Environment
) -> _Drawn:
    partial = environment.get_template(f"{view.name}.html.j2")
    if isinstance(view, FlowView):
        found = [(flow.label, view.show(flow)) for flow in page.flows]
    else:
        found = [("", view.show(page))]
    html = "\n".join(
        partial.render(shown=redactor.shown_value(_plain(shown)), label=label)
        for label, shown in found
        if shown
    )
    anchor = "-".join(filter(None, (view.name, found[0][0])))
    return _Drawn(view.name, view.link, anchor, Markup(html))  # noqa: S704 - Jinja's


def _plain(value: Any) -> Any:
    """`value` with dicts for dataclasses."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value


def _title(page: Page) -> str:
    flows = page.flows
    what = flows[0].outcome.headline if len(flows) == 1 else f"{len(flows)} flows compared"
    return " · ".join([what, *(flow.folder.flow_id for flow in flows)])


def _static(name: str) -> str:
    text = (resources.files(_STATIC) / "static" / name).read_text(encoding="utf-8")
    assert "</" not in text.replace("</svg", "") or "</script" not in text.lower()
    return text


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(raw).decode()}"


class _CompiledTemplates(jinja2.BytecodeCache):
    """Keeps compiled templates where Python keeps compiled modules, if it may write there."""

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """The path of a template's compiled form."""
        return importlib.util.cache_from_source(filename or name)

    def get_source_checksum(self, source: str) -> str:
        """A digest of the template and of what compiles it."""
        return super().get_source_checksum(f"{metadata.version('jinja2')} {source}")

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take the compiled form if it is there, whole, and of this template."""
        with suppress(OSError, EOFError, ValueError, TypeError, UnpicklingError):
            bucket.bytecode_from_string(Path(bucket.key).read_bytes())

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the compiled form."""
        if sys.dont_write_bytecode:
            return
        with suppress(OSError):
            os.makedirs(os.path.dirname(bucket.key), exist_ok=True)
            write_atomic(bucket.key, bucket.bytecode_to_string(), flush=None)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(_STATIC, folder) for folder in ("static", "views")]
        ),
        bytecode_cache=_CompiledTemplates(),
    )
    filters: dict[str, Callable[..., str]] = {"duration": duration}
    environment.filters.update(filters)
    return environment


def duration(seconds: float | None) -> str:
    """Seconds for people: 420 ms, 7.4 s, 3 min 05 s, 2 h 07 min."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
