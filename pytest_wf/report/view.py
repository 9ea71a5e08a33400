"""Types of views: parts of the page, with their data from the records."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pytest_wf.report.build import Page
from pytest_wf.report.flow_records import FlowRecords


class PageView(NamedTuple):
    """A part that occurs once, drawn by ``views/<name>.html.j2``.

    The partial gets the result of `show` as `shown`: dataclasses as dicts, secrets masked. A view
    that shows nothing (None, or an empty list) is left out.
    """

    name: str
    show: Callable[[Page], object]
    #: Text of its link in the page's header; empty for none.
    link: str = ""


class FlowView(NamedTuple):
    """A part for each flow of the page. Its partial also gets `label`, the flow's."""

    name: str
    show: Callable[[FlowRecords], object]
    link: str = ""
