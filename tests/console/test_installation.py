"""What P50 installed, in one line."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_wf.console.installation import installation_line

DONE = {"seconds": 12.34, "added": 14, "changed": 2, "removed": 0, "of_torch": []}


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (
            {"installation": DONE},
            "installed in 12.3 s: packages: 14 added, 2 changed, 0 removed; "
            "torch and its packages: unchanged",
        ),
        (
            {"installation": {**DONE, "of_torch": ["triton 3.6 added", "torchvision 0.2 added"]}},
            "installed in 12.3 s: packages: 14 added, 2 changed, 0 removed; "
            "torch and its packages: triton 3.6 added, torchvision 0.2 added",
        ),
        (
            {"installed": False, "install_skipped": True},
            "nothing to install: what CHECKOUT_INSTALL_CMD reads has not changed",
        ),
        ({"installation": DONE, "verified_only": True}, ""),
        ({"installed": False, "install_skipped": False}, ""),
        ({"installation": "12 s"}, ""),
        (
            {"installation": {"seconds": "1", "of_torch": 3}},
            "installed: packages: ; torch and its packages: unchanged",
        ),
    ],
)
def test_an_installation_is_one_line(facts: dict[str, Any], line: str) -> None:
    assert installation_line(facts) == line


def test_a_long_list_is_cut() -> None:
    names = [f"nvidia-{number} 1.0 added" for number in range(1000)]
    assert len(installation_line({"installation": {**DONE, "of_torch": names}})) == 301
