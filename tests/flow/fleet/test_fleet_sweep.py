"""The merged sweep of simulated pods: rows that move, and what the pods are asked for."""

from __future__ import annotations

from pathlib import Path

from tests.support.bench.simulated_fleet import simulate


def test_each_row_is_trained_once_and_the_idle_pods_get_rows_of_slow_ones(tmp_path: Path) -> None:
    took = simulate(tmp_path, 3, 30)
    assert took["rows moved"] >= 3
    assert took["ticks"] < 20


def test_pods_do_not_send_each_others_rows_again_and_again(tmp_path: Path) -> None:
    few, many = (simulate(tmp_path / str(pods), pods, 200) for pods in (2, 20))
    # each pod names all rows once, when rows may move; else a row comes from its own pod
    assert many["MB received"] < 2 * few["MB received"]
