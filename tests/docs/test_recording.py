"""The README's picture of a terminal is what a flow prints now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import recording


@pytest.mark.slow
def test_the_recording_says_what_a_flow_says(tmp_path: Path) -> None:
    _, lines = recording.record(tmp_path)
    found = recording.words_of(recording.SVG.read_text(encoding="utf-8"))
    assert found == recording.words(lines), "run: python -m tests.support.recording"
