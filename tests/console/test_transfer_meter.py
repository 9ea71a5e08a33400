"""How a fetch comes along."""

from __future__ import annotations

from pytest_wf.console.transfer_meter import Meter, Rate


def test_a_meter_tells_what_came_and_what_is_to_come() -> None:
    told: list[tuple[int, int]] = []
    meter = Meter(lambda *n: told.append(n))
    meter.expect(100)
    meter.add(10)
    meter.spare(40)
    meter.add(50)
    meter.expect(20)
    meter.add(20)
    assert told == [(10, 100), (60, 60), (80, 80)]


def test_a_rate_is_that_of_the_last_seconds() -> None:
    now = [0.0]
    rate = Rate(lambda: now[0])
    assert rate.line(0, 10**9) == "0 B of 1.0 GB, 0%"
    now[0] = 10
    assert rate.line(10**8, 10**9) == "100.0 MB of 1.0 GB, 10%, 10.0 MB/s, about 1 min left"
    for second in range(11, 61):
        now[0] = second
        line = rate.line(10**8 + (second - 10) * 10**6, 10**9)
    assert line == "150.0 MB of 1.0 GB, 15%, 1.0 MB/s, about 14 min left"
    assert rate.line(10**9, 10**9).startswith("1.0 GB of 1.0 GB, 100%, ")
    assert rate.line(0, 0).startswith("0 B of 0 B")
