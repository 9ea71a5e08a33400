"""What the line of a phase says to people."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_wf.plugin.terminal.people_lines import detail_of


@pytest.mark.parametrize(
    ("code", "facts", "said"),
    [
        ("P00", {"rows": 7, "warnings": []}, "7 rows"),
        ("P00", {"rows": 1, "warnings": ["w"]}, "1 row, 1 warning"),
        (
            "P30",
            {
                "probe": {"gpus": [{"name": "H100"}, {"name": "H100"}]},
                "connection": {"host": "pod"},
                "state": "POD_READY",
            },
            "pod, 2x H100, POD_READY",
        ),
        ("P40", {"installed": ["tmux"], "verified_only": False}, "installed tmux"),
        ("P50", {"git_sha": "ea1d0685" * 5, "branch": "main"}, "ea1d0685 main"),
        ("P60", {"campaign_id": "c-1", "to_run": ["a"]}, "1 row to train, c-1"),
        (
            "P70",
            {"counts": {"total": 3, "ok": 2, "failed": 1, "in_progress": 0}},
            "3 rows: 2 ok, 1 failed",
        ),
        ("P80", {"runs": {"a": {}}, "bytes": 1_500_000}, "1 run, 1.5 MB"),
        ("P90", {"deleted": True, "kept": None}, "the pod is deleted"),
        ("P90", {"deleted": False, "kept": "x", "usd_per_hour": 2.5}, "x is kept at $2.5/h"),
        ("P90", {"deleted": False, "kept": None}, "there is no pod"),
        ("P50", {}, ""),
        ("P45", {"anything": 1}, ""),
    ],
)
def test_a_phase_says_what_it_did_in_a_few_words(
    code: str, facts: dict[str, Any], said: str
) -> None:
    assert detail_of(code, facts) == said
