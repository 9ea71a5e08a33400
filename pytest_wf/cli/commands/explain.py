"""`wf explain`: the meaning of a failure code, a kind of failure or a row's failure class."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import typer

from pytest_wf.cli.output import Json, fail, print_lines, user_errors
from pytest_wf.config.problems import nearest
from pytest_wf.court.explanations import FAILURES, ROWS, Explanation, next_step, shown
from pytest_wf.court.next_command import PHASES
from pytest_wf.errors import WfError
from pytest_wf.wire.failures import KINDS, kind_of

app = typer.Typer()

_CODE = re.compile(r"(?:WF-)?([0-9]{2,3})", re.IGNORECASE)


class Entry(NamedTuple):
    """The explanation of a failure."""

    #: Such as ``315 torch`` or ``row oom``.
    name: str
    explanation: Explanation
    #: '' if it is not the same for all of them.
    next: str


@app.command("explain")
def explain(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="CODE|KIND|CLASS...",
            help="A code such as 315, a kind such as torch, or a row's failure class such as oom",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Explain a failure and what to do about it; needs no project and no network.

    Example: wf explain 315
    """
    with user_errors(as_json):
        found = {word: list(_entries(word)) for word in words}
        for word in (word for word in words if not found[word]):
            error = WfError(
                f"{word}: no code, kind or class of a failure.",
                nearest(word, {**FAILURES, **ROWS}) or "A code is in the line that begins WF-.",
            )
            fail(4, error, "config", as_json)
        entries = [entry for of_word in found.values() for entry in of_word]
        print_lines([_document(entries)] if as_json else _lines(entries))


def _entries(word: str) -> Iterator[Entry]:
    code = _CODE.fullmatch(word)
    kind = kind_of(int(code[1])) if code else word
    if kind in FAILURES:
        number = code[1] if code else str(KINDS[kind])
        name = f"{number if len(number) == 3 else f'x{number}'} {kind}"
        yield Entry(name, FAILURES[kind], next_step(kind) or _next_of_phases(kind))
    if word in ROWS:
        yield Entry(f"row {word}", ROWS[word], "")


def _next_of_phases(kind: str) -> str:
    """The command to run next for a kind of failure, if all phases of its family agree."""
    family = {"1": ("P00",), "2": ("P10", "P20", "P30"), "3": ("P40", "P50"), "4": ("P60", "P70")}
    steps = {PHASES[phase] for phase in family.get(str(KINDS[kind])[:-2], ())}
    return shown(steps.pop()) if len(steps) == 1 else ""


def _lines(entries: list[Entry]) -> Iterator[str]:
    for name, (cause, remedy), following in entries:
        yield f"{name}: {cause}."
        yield f"  to do: {remedy}."
        if following:
            yield f"  next:  {following}"


def _document(entries: list[Entry]) -> str:
    return json.dumps(
        [
            {
                "name": entry.name,
                "cause": entry.explanation.cause,
                "remedy": entry.explanation.remedy,
                "next": entry.next,
            }
            for entry in entries
        ]
    )
