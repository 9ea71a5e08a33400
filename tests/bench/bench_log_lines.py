"""How fast the lines of a log are read, what that costs a trainer, and what is wrongly read."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import time
import traceback
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_wf.agent.run.log_pump import PIECE_BYTES
from pytest_wf.agent.run.metrics.log.lines import LogLines
from pytest_wf.agent.run.metrics.log.names import is_measured
from pytest_wf.agent.run.metrics.reader import Run
from pytest_wf.testing import write_project
from tests.support.bench.figures import Figures, alternate

MEGABYTE = 10**6
REPO = Path(__file__).parents[2]
NOISE = REPO / "tests/agent/run/metrics/log_noise.txt"

#: Works for about a millisecond a line; with the seed 1 it prints reports, else no numbers.
TRAINER = """\
import json, os, sys, time

settings = dict(word.split("=", 1) for word in sys.argv[2:])
os.makedirs(settings["out_dir"], exist_ok=True)

def work(times):
    total = 0
    for i in range(times):
        total += i * i
    return total

began = time.perf_counter()
work(10**6)
times = int(10**6 / (time.perf_counter() - began) / 1000)
began = time.perf_counter()
for step in range(5000):
    work(times)
    if settings["seed"] == "1":
        loss = 9 / (step + 1)
        print("step %05d/05000 | loss %.6f | lr 1.00e-04 | tok/sec: 1,272,000" % (step, loss))
    else:
        print("the same length without any number in it, so there is nothing to read.")
    sys.stdout.flush()
spent = time.perf_counter() - began
with open(os.path.join(settings["out_dir"], "spent.json"), "w") as f:
    json.dump([times, spent], f)
"""


def rate_of(text: str) -> float:
    """Megabytes a second, of pieces as the log pump gives them."""
    reader = LogLines(Run(""))
    began = time.process_time()
    for start in range(0, len(text), PIECE_BYTES):
        reader.take_log(text[start : start + PIECE_BYTES])
    return len(text.encode()) / MEGABYTE / (time.process_time() - began)


def standard_library() -> str:
    """The sources of the standard library's modules."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    return "".join(path.read_text("utf-8", errors="replace") for path in paths)


def reports(count: int) -> Iterator[str]:
    """Lines that are reports."""
    for step in range(count):
        loss = 7 - step / count
        yield f"step {step}/{count} | loss {loss:.4f} | lr 1.0e-04 | tok/sec: 1,272,000\n"


def usual_log(count: int) -> str:
    """A progress bar, a logger, warnings and, in every tenth line, a report."""
    lines = []
    for step, report in enumerate(reports(count)):
        now = f"2026-01-01 10:{step // 600 % 60:02}:{step // 10 % 60:02},{step % 1000:03}"
        bar = f"{step * 100 // count}%|{'#' * (step * 40 // count):40}| {step}/{count}"
        lines += [
            f"{now} - data.loader - INFO - shard {step % 99} of 99 is open on worker {step % 4}\n",
            f"{now} - data.loader - DEBUG - took {step % 700}.{step % 9} ms for 1024 documents\n",
            f"  {bar} [00:{step % 60:02}<12:34, 9.8it/s]\n",
            f"[rank{step % 8}]: W0101 10:00:00.{step:06} 140{step % 999:03} utils.py:88] break\n",
            "/opt/venv/lib/python3.11/site-packages/torch/nn/modules/conv.py:456: UserWarning: x\n",
            "  return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation)\n",
            f"NCCL INFO Channel {step % 32:02}/32 : 0 1 2 3 via P2P/CUMEM\n",
            f"wrote /mnt/out/run-{step % 7}/ckpt_{step:06}.pt in {step % 5}.{step % 100:02} s\n",
            "\n",
            report,
        ]
    return "".join(lines)


def new_shapes(count: int) -> str:
    """Reports of which no two have one shape."""
    return "".join(f"step {n}: loss_{n:x}{'g' * (n % 40)} 0.5\n" for n in range(count))


def test_the_rate_of_reading(figures: Figures, times: int) -> None:
    texts = {
        "a usual log, 1 report in 10 lines": usual_log(20_000),
        "source text": standard_library(),
        "reports alone": "".join(reports(50_000)),
        "reports of ever new shapes": new_shapes(20_000),
    }
    ways = {name: lambda _, text=text: {"MB/s": rate_of(text)} for name, text in texts.items()}
    figures.add("reading log lines", alternate(ways, times))


def test_the_memory_of_a_reader(figures: Figures) -> None:
    text = "".join(f"{'a=0 ' * 120}{n:x}{'g' * (n % 9)} step 1: loss 0.5\n" for n in range(3000))
    reader = LogLines(Run(""))
    tracemalloc.start()
    for start in range(0, len(text), PIECE_BYTES):
        reader.take_log(text[start : start + PIECE_BYTES])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    figures.add("memory for shapes of lines", {"the worst": [{"MB": most / MEGABYTE}]})


def test_false_finds(figures: Figures) -> None:
    def printed(*words: str) -> str:
        return subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=True).stdout

    failures = ""
    for text in ("{", "[1, ", '{"loss": 2.5, }', "nul"):
        try:
            json.loads(text)
        except ValueError:
            failures += traceback.format_exc() * 100
    texts = {
        "standard library": standard_library(),
        "changelog and history": (REPO / "CHANGELOG.md").read_text()
        + printed("git", "log", "--stat", "-500"),
        "tracebacks": failures,
        "pip, apt, git, compilers": NOISE.read_text() * 50,
    }
    costs = {}
    for name, text in texts.items():
        found: list[dict[str, float]] = []
        reader = LogLines(Run(""))
        reader.values.on_report = lambda _, values, found=found: found.append(values)
        reader.take_log(text)
        reader.finish()
        ranking = sum(any(map(is_measured, values)) for values in found)
        size = len(text) / MEGABYTE
        per_mb = {"reports/MB": len(found) / size, "ranking names/MB": ranking / size}
        costs[name] = [{"MB": size, **per_mb}]
    figures.add("what is read where nothing is", costs)


@pytest.mark.timeout(300)
def test_the_trainer_waits_for_no_reader(tmp_path: Path, figures: Figures) -> None:
    """5,000 lines at about 1,000 a second, rows with and without reports in turn."""
    rows = [f"row-{n},default.py,{n % 2},," for n in range(8)]
    root = write_project(tmp_path / "project", rows=rows, trainer=TRAINER)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "flows/", "--wf-flow", "--wf-wait=true"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    spent: dict[int, list[float]] = {0: [], 1: []}
    for n in range(8):
        path = root / f".wf/pod/outputs/row-{n}/out/spent.json"
        times, seconds = json.loads(path.read_text())
        spent[n % 2].append(seconds / times)
    # the least is least disturbed by what else the machine does
    ratio = min(spent[1]) / min(spent[0])
    figures.add("wall time of a trainer", {"with reports by without": [{"ratio": ratio}]})
