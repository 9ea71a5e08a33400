"""Tables in a log: lines below names, and frames."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.agent.run.metrics.log import lines
from pytest_wf.agent.run.metrics.log.lines import LogLines
from pytest_wf.agent.run.metrics.log.tables import Part, part_of
from pytest_wf.agent.run.metrics.numbers import number
from pytest_wf.agent.run.metrics.reader import Run

SPREAD = re.compile(r"([-+]?[0-9]+\.[0-9]+)\+-?[0-9]+\.[0-9]+")
FRAME = """\
-----------------------------------------
| rollout/                |             |
|    ep_len_mean          | 22.7        |
|    ep_rew_mean          | 25.1        |
| time/                   |             |
|    total_timesteps      | 4,096       |
| train/                  |             |
|    approx_kl            | 0.008732273 |
-----------------------------------------
"""
DASHES = """\
E    #       LOSS TOK2VEC  LOSS TAGGER  TAG_ACC  SCORE
---  ------  ------------  -----------  -------  ------
  0       0          0.00        53.42    23.42    0.23
  1     200         12.34        13.42    83.42    0.83
"""
TIMES = """\
epoch     train_loss  valid_loss  accuracy  time
0         0.123456    0.234567    0.981     00:12
better model found at epoch 0
1         0.113456    nan         0.985     00:12
"""
BARS = """\
| Epoch | Train Loss | Val Loss |
|-------|------------|----------|
|     1 |     2.3012 |   2.4012 |
"""
PROGRESS = """\
      Epoch    GPU_mem   box_loss   cls_loss  Instances       Size
      1/100      2.5G      1.234      2.345         64        640: 100%|####| 8/8 [00:03<00:00]
                 Class     Images  Instances      Box(P          R      mAP50
                   all        128        929       0.64      0.537      0.605
"""
RICH = """\
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃        Test metric        ┃       DataLoader 0        ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│         test_acc          │    0.9876000285148621     │
│         test_loss         │    0.05123456             │
└───────────────────────────┴───────────────────────────┘
"""
REST = """\
      Iter       Train Loss   Remaining Time
         1           1.1234            1.23m
         2           1.0234           58.12s
"""
TABS = "Step\tTraining Loss\tValidation Loss\n500\t0.5123\t0.4123\n"


def reports_of(text: str) -> list[tuple[int | None, dict[str, Any]]]:
    """The reports of a log, line by line."""
    found: list[tuple[int | None, dict[str, Any]]] = []
    reader = LogLines(Run(""))
    reader.values.on_report = lambda step, values: found.append((step, values))
    for line in text.splitlines():
        reader.take_log(line)
    reader.finish()
    return found


@pytest.mark.parametrize(
    ("text", "reports"),
    [
        (
            FRAME,
            [
                (
                    4096,
                    {
                        "rollout/ep_len_mean": 22.7,
                        "rollout/ep_rew_mean": 25.1,
                        "train/approx_kl": 0.008732273,
                    },
                )
            ],
        ),
        (
            DASHES,
            [
                (at, {"LOSS_TOK2VEC": a, "LOSS_TAGGER": b, "TAG_ACC": c, "SCORE": d, "epoch": e})
                for at, a, b, c, d, e in (
                    (0, 0, 53.42, 23.42, 0.23, 0),
                    (200, 12.34, 13.42, 83.42, 0.83, 1),
                )
            ],
        ),
        (BARS, [(1, {"Train_Loss": 2.3012, "Val_Loss": 2.4012, "epoch": 1})]),
        (
            PROGRESS,
            [
                (
                    1,
                    {
                        "GPU_mem": 2.5e9,
                        "box_loss": 1.234,
                        "cls_loss": 2.345,
                        "Instances": 64,
                        "Size": 640,
                        "epoch": 1,
                    },
                )
            ],
        ),
        (RICH, [(1, {"test_acc": 0.9876000285148621, "test_loss": 0.05123456})]),
        (
            REST,
            [(1, {"Train_Loss": 1.1234}), (2, {"Train_Loss": 1.0234, "Remaining_Time": 58.12})],
        ),
        (TABS, [(500, {"Training_Loss": 0.5123, "Validation_Loss": 0.4123})]),
    ],
)
def test_a_table_of_a_public_trainer_is_read(
    text: str, reports: list[tuple[int, dict[str, float]]]
) -> None:
    assert reports_of(text) == reports


def test_other_lines_between_those_of_a_table_do_not_end_it() -> None:
    found = reports_of(TIMES)
    assert [step for step, _ in found] == [0, 1]
    assert found[1][1]["accuracy"] == 0.985
    assert found[1][1]["valid_loss"] != found[1][1]["valid_loss"], "it is NaN"
    assert "time" not in found[1][1]


def test_two_frames_are_two_reports() -> None:
    assert [step for step, _ in reports_of(FRAME + FRAME.replace("4,096", "8,192"))] == [4096, 8192]


def test_a_border_is_learnt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[str] = []

    def learn(line: str) -> Part | None:
        learnt.append(line)
        return part_of(line)

    monkeypatch.setattr(lines, "part_of", learn)
    assert len(reports_of(FRAME * 3)) == 3
    assert learnt.count(FRAME.splitlines()[0]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "+-------+------+\n| lr    | 0.1  |\n| steps | 1000 |\n+-------+------+\n",
        "Name   Size   Users\nnode1   12   3\n1   2   3\n",
        "| Name | Type | Params |\n|------|------|--------|\n| loss | CrossEntropy | 0 |\n",
        "epoch  loss  lr\n1  0.5\n1  0.5  0.1  3\n1  0.5  high\n",
        "1  2  3\n0.5  0.25  0.125\n",
    ],
)
def test_what_has_no_measurement_or_other_cells_is_no_table(text: str) -> None:
    assert reports_of(text) == []


@given(st.text(alphabet="0123456789.,_eE+-kM%nasi/", min_size=1, max_size=9))
def test_no_number_of_a_table_is_taken_in_part(text: str) -> None:
    for table in (f"step  loss  acc\n1  {text}  0.5", f"| a | 1 |\n| loss | {text} |"):
        for _, values in reports_of(table):
            value = values.get("loss", math.nan)
            means = [float(mean) for mean in SPREAD.findall(text)]
            assert value != value or value in [number(text), *means]


@given(st.lists(st.sampled_from([*FRAME.splitlines(), *BARS.splitlines(), "| a | 1 |", "loss 2"])))
def test_parts_of_tables_in_any_order_are_read_or_left_out(lines: list[str]) -> None:
    for _, values in reports_of("\n".join(lines)):
        assert all(isinstance(value, (int, float)) for value in values.values())
