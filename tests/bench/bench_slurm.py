"""Rows as jobs of a real Slurm, beside `sbatch --array` and submitit with the same trainer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import slurm
from tests.support.bench import other_tools
from tests.support.bench.figures import WALL, Figures, alternate
from tests.support.login_node import login_node
from tests.support.slurm import Slurm
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

COUNTS = (20, 200)
LARGE = 1000
LONGEST_S = 1200
TRAINER = """\
import os, time, uuid
began = time.time()
time.sleep(0.05)
with open(os.path.join({folder!r}, uuid.uuid4().hex), "w") as f:
    f.write("%f %f" % (began, time.time()))
"""
SUBMITIT = """\
import subprocess, sys, submitit
folder, python, script, count = sys.argv[1:]
executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
executor.update_parameters(timeout_min=10, slurm_array_parallelism=1000)
for job in executor.map_array(subprocess.check_call, [[python, script]] * int(count)):
    job.result()
"""

#: Prepares so many runs of a trainer as jobs; what it returns runs them, until the end of the last
#: one is seen.
Way = Callable[[Slurm, Path, str, int], Callable[[], None]]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """A cluster of its own."""
    why = slurm.why_not()
    if why:
        pytest.skip(why)
    made = Slurm()
    monkeypatch.setenv("SLURM_CONF", str(made.conf))
    monkeypatch.setenv("PATH", made.environ["PATH"])
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.timeout(7200)
def test_rows_as_jobs(
    times: int, count: int, figures: Figures, cluster: Slurm, tmp_path: Path
) -> None:
    ways = {"flow's job array": _ours, "sbatch --array": _plain, "submitit": _submitit}
    why = other_tools.why_no_submitit()
    if why:
        figures.miss("submitit", why)
        del ways["submitit"]

    def measured(name: str) -> Callable[[int], dict[str, float]]:
        def run(number: int) -> dict[str, float]:
            place = tmp_path / f"{name.split(maxsplit=1)[0]}-{number}"
            return _cost(ways[name], cluster, place, count)

        return run

    costs = alternate({name: measured(name) for name in ways}, times)
    figures.add(f"{count} rows of 50 ms as jobs on two nodes of four cores", costs)


def _cost(way: Way, cluster: Slurm, place: Path, count: int) -> dict[str, float]:
    ended = place / "ended"
    ended.mkdir(parents=True)
    text = TRAINER.format(folder=str(ended))
    run = way(cluster, place, text, count)
    began = time.time()
    run()
    seen = time.time()
    ran = [[float(word) for word in path.read_text().split()] for path in ended.iterdir()]
    assert len(ran) == count
    return {
        WALL: seen - began,
        "submit to start, s": min(first for first, _ in ran) - began,
        "a row, ms": 1000 * (seen - began) / count,
        "end to seen, s": seen - max(last for _, last in ran),
    }


def _ours(_cluster: Slurm, place: Path, trainer: str, count: int) -> Callable[[], None]:
    pod = login_node(place / "pod")
    pod.trainer(trainer)

    def run() -> None:
        pod.start(*[make_row(f"r{number}") for number in range(count)])
        until(lambda: pod.status()["supervisor"] != "alive", "all have ended", LONGEST_S)
        assert {row["state"] for row in pod.rows().values()} == {"success"}

    return run


def _plain(cluster: Slurm, place: Path, trainer: str, count: int) -> Callable[[], None]:
    asked = [f"--array=0-{count - 1}", "--output=/dev/null", f"--chdir={place}"]
    command = f"--wrap={sys.executable} {_script(place, trainer)}"

    def run() -> None:
        number = cluster.client("sbatch", "--parsable", *asked, command).strip()
        listing = ("squeue", "-h", "-r", "-t", "all", "-j", number, "-o", "%T")

        def have_ended() -> bool:
            return set(cluster.client(*listing).split()) == {"COMPLETED"}

        until(have_ended, "all have ended", LONGEST_S)

    return run


def _submitit(cluster: Slurm, place: Path, trainer: str, count: int) -> Callable[[], None]:
    own = [str(place / "jobs"), sys.executable, _script(place, trainer), str(count)]
    words = [sys.executable, "-c", SUBMITIT, *own]
    environ = {**cluster.environ, "PYTHONPATH": str(other_tools.SUBMITIT)}

    def run() -> None:
        subprocess.run(words, env=environ, cwd=place, check=True, timeout=LONGEST_S)

    return run


def _script(place: Path, trainer: str) -> str:
    script = place / "train.py"
    script.write_text(trainer)
    return str(script)
