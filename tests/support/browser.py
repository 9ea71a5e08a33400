"""Pages in a real browser: what tests of the HTML page share beside their fixtures."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

DESK, PHONE = (1280, 800), (360, 740)

#: Opens a file: its path, the window's size, the colour scheme.
Open = Callable[..., Page]


def runs_in(page: Page) -> list[str]:
    """Run ids in the table, in their order."""
    return page.locator("#table tr[data-run] td.is-run button").all_inner_texts()
