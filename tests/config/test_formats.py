"""The forms of values, where a whole config would say too little of them."""

from __future__ import annotations

import pytest

from pytest_wf.config.formats import ttl_s


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("2h", 7200), ("1d", 86400)])
def test_a_time_to_live_is_told_in_seconds(text: str, seconds: int) -> None:
    assert ttl_s(text) == seconds
