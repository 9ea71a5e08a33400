"""A flow over a link with a round trip of 50 ms, beside the same work done by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.bench.by_hand import ByHand
from tests.support.bench.cpu import Group
from tests.support.bench.figures import Figures, alternate
from tests.support.bench.projects import WHOLE_FLOW, Project
from tests.support.network import Delay
from tests.support.sshd import Sshd

ONE_WAY_S = 0.025
HOW = "delayed by a TCP proxy: each byte comes 25 ms later, connecting itself is not delayed"


@pytest.fixture
def delayed() -> Iterator[Callable[[Sshd], int]]:
    """Makes ports of 127.0.0.1 that lead to a server, with a delay each way."""
    made: list[Delay] = []

    def port_of(sshd: Sshd) -> int:
        made.append(Delay(sshd.host, sshd.port, ONE_WAY_S))
        return made[-1].port

    yield port_of
    for proxy in made:
        proxy.close()


@pytest.mark.timeout(900)
def test_a_flow_over_a_slow_link(
    times: int,
    figures: Figures,
    new_pod: Callable[..., tuple[Sshd, Group]],
    delayed: Callable[[Sshd], int],
    tmp_path: Path,
) -> None:
    sshd, group = new_pod()
    project = Project(tmp_path / "project", ["one,default.py,1,sleep=0.2,"], group)
    project.use_pod(sshd, tmp_path / "pod", delayed(sshd))
    his_sshd, his_group = new_pod()
    by_hand = ByHand(tmp_path / "by-hand", project.root, his_sshd, his_group)
    his_port = delayed(his_sshd)

    def ours(number: int) -> Mapping[str, float]:
        cost = project.flow(*WHOLE_FLOW)
        return {**cost, "round trips": project.round_trips}

    def his(number: int) -> Mapping[str, float]:
        row = "python3 train.py default.py seed=1 sleep=0.2 out_dir=$OUT"
        return by_hand.run(number, [row], his_port)

    ours(0)  # the pod has the agent from here on
    ways = {"flow, on the pod of the last one": ours, "by hand, poll of 0.1 s": his}
    figures.add("1 row of 0.2 s, a round trip of 50 ms", alternate(ways, times), HOW)
