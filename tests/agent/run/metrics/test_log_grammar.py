"""The grammar of log lines: what the lines of public trainers say, and what says nothing."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.agent.run.metrics.log.form import Count
from pytest_wf.agent.run.metrics.log.grammar import read_line
from pytest_wf.agent.run.metrics.log.lines import LogLines
from pytest_wf.agent.run.metrics.log.metric_names import is_measured
from pytest_wf.agent.run.metrics.numbers import number
from pytest_wf.agent.run.metrics.reader import Run

#: What pip, apt, git, compilers, interpreters and changelogs print.
NOISE = Path(__file__).with_name("log_noise.txt")
#: A mean and its deviation, of which the mean is taken.
SPREAD = re.compile(r"([-+]?[0-9]+\.[0-9]+)\+-?[0-9]+\.[0-9]+")
FORMATS = Path(__file__).with_name("log_formats.txt")


def formats() -> Iterator[tuple[str, str]]:
    """Each line, and what it says."""
    lines = FORMATS.read_text("utf-8").splitlines()[1:]
    for line, says in zip(lines[::2], lines[1::2], strict=True):
        yield line.replace("\\t", "\t").replace("\\e", "\x1b"), says.partition("-> ")[2]


def told(line: str) -> str:
    """What a line says, as log_formats.txt spells it."""
    found = read_line(line)
    if found is None:
        return "nothing"
    parts = [f"step {_told(found.step)}"] if found.step else []
    parts += [f"epoch {_told(found.epoch)}"] if found.epoch else []
    values = ", ".join(f"{name}={value!r}" for name, value in found.values.items())
    return "; ".join([*parts, values] if values else parts)


def _told(count: Count) -> str:
    return f"{count.at:g}" + (f" of {count.total}" if count.total else "")


@pytest.mark.parametrize(("line", "says"), list(formats()))
def test_a_line_of_a_public_trainer_is_read(line: str, says: str) -> None:
    assert told(line) == says


@pytest.mark.parametrize(
    "line",
    [
        *("error = None", "score = 3", "loss: 12 files", "return 0.5", "Accuracy-1.2.3"),
        *("error 0.5 percent of it", "see loss.py:12", "saved to loss-2.5.ckpt", "loss 2026-11-28"),
        *("listening on localhost:8080", "torch 2.9", "python: 3.11", "size: 10.5GB", "took 2.5 s"),
        *(
            "accuracy improved from 0.5",
            "loss (3, 224, 224)",
            "loss 12:30",
        ),
        *("learning_rate = 0.001", '  File "loss.py", line 3, in score', "ValueError: score 3"),
        *("loss_weight = 0.5", "Namespace(lr=0.1, score_threshold=0.3, epochs=14)"),
        "error at 10.0.0.1:8080",
    ],
)
def test_a_line_without_a_measurement_is_no_report(line: str) -> None:
    assert read_line(line) is None


@pytest.mark.parametrize(
    "part",
    [
        *(
            "eta: 12s",
            "May 1",
            "v_num=3",
            "pid=12",
            "rank 0",
            "[Rank 0]",
            "port 80",
            "localhost:8080",
            "v1.2.3",
        ),
        *("train.py:88", "(trainer:732)", "saved 3 files", "55% MFU", "1.2M tok/s", "part 3/10"),
        *("shape=(3, 224, 224)", "improved from 0.5", "2026-11-28 10:00:00,123"),
        "number of nan values: 3 of 4",
    ],
)
def test_what_is_no_metric_is_left_out_of_a_report(part: str) -> None:
    found = read_line(f"step 3: loss 2.5 | {part} | lr 1")
    assert found is not None
    assert found.values == {"loss": 2.5, "lr": 1}


@given(st.text(alphabet="0123456789.,_eE+-kKMG%msnaif:/ x()[]'\"=|", max_size=12))
def test_no_number_of_a_line_is_taken_in_part(text: str) -> None:
    for line in (f"loss: {text}", f"step 1 | loss={text}", f"'loss': {text}, 'lr': 1"):
        found = read_line(line)
        if found is not None and "loss" in found.values:
            pieces = text.strip(" '\"()[]:|").replace("|", " ").split(" ")
            heads = [number(head) for piece in pieces for head in _heads(piece)]
            heads += [float(mean) for mean in SPREAD.findall(text)]
            value = found.values["loss"]
            assert value in heads or value != value


def _heads(piece: str) -> Iterator[str]:
    """`piece` up to each place where a value may end."""
    for end in range(1, len(piece) + 1):
        if end == len(piece) or piece[end] in ",;|()[]{}\"'":
            yield piece[:end].lstrip("([\"'").rstrip(":")


@given(st.sampled_from([line for line, _ in formats()]), st.randoms(use_true_random=False))
def test_lines_that_differ_in_digits_alone_are_read_alike(line: str, random: Random) -> None:
    """Each as if it were the first one: what is kept of one line serves for the others."""
    reader = LogLines(Run(""))
    reports: list[dict[str, Any]] = []
    reader.values.on_report = lambda _, values: reports.append(values)
    reader.take_log(line)
    for _ in range(4):
        reports.clear()
        other = re.sub("[0-9]", lambda _: random.choice("0123456789"), line)
        reader.take_log(other)
        assert _plain(reports) == _plain(_alone(other))


def _alone(line: str) -> list[dict[str, Any]]:
    found = read_line(line)
    if found is None or not found.values:
        return []
    epoch = {} if found.epoch is None else {"epoch": found.epoch.at}
    return [{**epoch, **found.values}]


def _plain(reports: list[dict[str, Any]]) -> list[str]:
    return [repr(sorted(report.items())) for report in reports]


def test_what_tools_print_has_no_measurement() -> None:
    reader = LogLines(Run(""))
    reader.take_log(NOISE.read_text("utf-8"))
    reader.finish()
    assert not [name for name in reader.values.summary() if is_measured(name)]


def test_the_standard_library_has_no_measurement() -> None:
    reader = LogLines(Run(""))
    for path in Path(sysconfig.get_paths()["stdlib"]).glob("*.py"):
        reader.take_log(path.read_text("utf-8", errors="replace"))
    assert not [name for name in reader.values.summary() if is_measured(name)]
