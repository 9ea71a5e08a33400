"""What a view is: one part of the page, with what it shows out of the records."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pytest_wf.report.build import Page
from pytest_wf.report.flow_records import FlowRecords


class PageView(NamedTuple):
    """A part that is there once, drawn by ``views/<name>.html.j2``.

    The partial gets what `show` returns as `shown`: dataclasses as dicts, secrets masked. A view
    that shows nothing (None, or an empty list) is left out.
    """

    name: str
    show: Callable[[Page], object]
    #: Text of the link to it in the page's header; empty for none.
    link: str = ""


class FlowView(NamedTuple):
    """A part that each flow of the page has. Its partial gets `label`, the flow's, too."""

    name: str
    show: Callable[[FlowRecords], object]
    link: str = ""
