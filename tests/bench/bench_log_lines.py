"""How fast the lines of a log are read, what that costs a trainer, and what is wrongly read."""

from __future__ import annotations

import json
import shlex
import subprocess
import sysconfig
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_wf.agent.run.log_pump import PIECE_BYTES
from pytest_wf.agent.run.metrics.log.lines import LogLines
from pytest_wf.agent.run.metrics.log.metric_names import is_measured
from pytest_wf.agent.run.metrics.reader import Run
from tests.support.bench.cpu import Group
from tests.support.bench.figures import Figures, alternate, quantities
from tests.support.bench.projects import Project

MEGABYTE = 10**6
REPO = Path(__file__).parents[2]
NOISE = REPO / "tests/agent/run/metrics/log_noise.txt"

LINES = 5000
#: A real training: stochastic gradient descent of a linear model, of which each step is reported.
#: With samples=0 it says how many samples a step take a millisecond. Else it leaves CPU seconds of
#: itself and of what runs it, and wall seconds.
TRAINER = """\
import glob, json, os, random, sys, time

settings = dict(word.split("=", 1) for word in sys.argv[2:])
os.makedirs(settings["out_dir"], exist_ok=True)


def above():
    pid, found = os.getppid(), []
    for _ in range(2):  # the row's runner, and the supervisor that started it
        found.append(pid)
        with open("/proc/%d/stat" % pid) as f:
            pid = int(f.read().rpartition(")")[2].split()[1])
    return found


def spent(pids):
    total = 0
    for pid in pids:
        for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
            with open(path) as f:
                total += int(f.read().split()[0])
    return total / 1e9


random.seed(int(settings["seed"]))
truth = [random.uniform(-1, 1) for _ in range(16)]
weights = [0.0] * 16


def step(samples):
    loss = 0.0
    for _ in range(samples):
        x = [random.gauss(0, 1) for _ in truth]
        error = sum((w - t) * v for w, t, v in zip(weights, truth, x))
        loss += error * error
        for place, v in enumerate(x):
            weights[place] -= 0.001 * error * v
    return loss / samples


def timed(samples):
    began = time.process_time()
    step(samples)
    return time.process_time() - began


samples = int(settings["samples"])
if not samples:
    print(max(1, round(0.001 / (min(timed(50) for _ in range(20)) / 50))))
    sys.exit()
pids = above()
others, own, began = spent(pids), time.process_time(), time.monotonic()
for number in range(1, 5001):
    loss = step(samples)
    print("step %05d/05000 | loss %.6f | lr 1.00e-03 | tok/sec: 1,272,000" % (number, loss))
    sys.stdout.flush()
own, wall = time.process_time() - own, time.monotonic() - began
time.sleep(0.1)  # what is in the pipe is read
with open(os.path.join(settings["out_dir"], "spent.json"), "w") as f:
    json.dump([own, spent(pids) - others, wall], f)
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


@pytest.mark.timeout(900)
def test_what_reading_costs_a_trainer(
    times: int, figures: Figures, new_group: Callable[[], Group], tmp_path: Path
) -> None:
    """5,000 lines, each after about a millisecond of training."""
    (tmp_path / "train.py").write_text(TRAINER)

    def by_hand(line: str, samples: str, out: Path) -> str:
        out.mkdir()
        words = f"python3 train.py default.py seed=1 out_dir={out} samples={samples} {line}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    samples = by_hand("", "0", tmp_path / "samples").strip()
    rows = [f"row,default.py,1,samples={samples},"]
    project = Project(tmp_path / "project", rows, new_group(), trainer=TRAINER)

    def cost_of(out: Path) -> dict[str, float]:
        trainer_s, others_s, wall_s = json.loads((out / "spent.json").read_text())
        return {
            "lines/s": LINES / wall_s,
            "wall ms a line": 1e3 * wall_s / LINES,
            "trainer, us CPU a line": 1e6 * trainer_s / LINES,
            "reading, us CPU a line": 1e6 * others_s / LINES,
        }

    def row(number: int) -> dict[str, float]:
        project.flow("--wf-wait=true")
        return cost_of(project.root / ".wf/pod/outputs/row/out")

    def tee(number: int) -> dict[str, float]:
        out = tmp_path / f"tee{number}"
        # in a cgroup of their own: `tee` is no ancestor of the trainer
        readers = new_group()
        by_hand(f"| {enter(readers)} tee {out}/log", samples, out)
        trainer_s, _, wall_s = json.loads((out / "spent.json").read_text())
        (out / "spent.json").write_text(json.dumps([trainer_s, readers.cpu_s(), wall_s]))
        return cost_of(out)

    def redirected(number: int) -> dict[str, float]:
        out = tmp_path / f"redirected{number}"
        by_hand(f"> {out}/log", samples, out)
        trainer_s, _, wall_s = json.loads((out / "spent.json").read_text())
        (out / "spent.json").write_text(json.dumps([trainer_s, 0, wall_s]))
        return cost_of(out)

    costs = alternate(
        {"a row": row, "by hand, | tee": tee, "by hand, > log": redirected}, 2 * times
    )
    wall = {way: found["wall ms a line"].median for way, found in quantities(costs).items()}
    longer = {way: f"{100 * (ms / wall['by hand, > log'] - 1):.1f} %" for way, ms in wall.items()}
    note = (
        f"wall time of the trainer, beyond that with its output in a file: {longer}; reading: the "
        "CPU of a row's runner, and of its supervisor while it trains"
    )
    figures.add(f"reading {LINES} lines of a trainer", costs, note)


def enter(group: Group) -> str:
    """The words of a shell that start a command in `group`."""
    return shlex.join(group.inside)
