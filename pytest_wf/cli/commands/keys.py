"""`wf keys`: documentation of config keys on the terminal; needs no network."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_wf.cli.conftests import extensions_of
from pytest_wf.cli.output import Json, fail, print_lines, user_errors
from pytest_wf.config import dotenv
from pytest_wf.config.keys import Key
from pytest_wf.config.problems import nearest
from pytest_wf.errors import InputError, WfError
from pytest_wf.flow.extensions import installed
from pytest_wf.project.project import find_root
from pytest_wf.wire.trainer.variables import VARIABLES

app = typer.Typer()

_WIDTH = 100


@app.command("keys")
def keys(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these keys", metavar="KEY")
    ] = None,
    as_json: Json = False,
) -> None:
    """List config keys, including those of the project's providers; with KEY, all about it."""
    with user_errors(as_json):
        table = {key.name: key for key in _project_keys()}
        for name in names or ():
            if name.upper() not in table:
                error = WfError(f"{name}: not a config key.", _remedy(name.upper(), table))
                fail(4, error, "config", as_json)
        chosen = [table[name.upper()] for name in names or table]
        if as_json:
            print_lines([json.dumps({"keys": [_document(key) for key in chosen]}, indent=2)])
        elif names:
            print_lines(line for key in chosen for line in _page(key))
        else:
            print_lines(_overview(chosen))


def _remedy(name: str, table: Iterable[str]) -> str:
    if any(variable.name == name.lstrip("$") for variable in VARIABLES):
        return "A row's command has it as a variable: run `wf keys TRAIN_COMMAND_TEMPLATE`."
    return nearest(name, table) or "Run `wf keys` for the list."


def _project_keys() -> Sequence[Key]:
    """The keys that a config may have in this project; without a project, those installed."""
    try:
        root = find_root(Path.cwd())
    except InputError:
        return installed().config_keys()
    return extensions_of(root).config_keys()


def example(key: Key) -> str:
    """A line of workflow.env that sets `key`."""
    value = key.example or key.default
    # references in a default are expanded
    return f"{key.name}={value if value == key.default else dotenv.quoted(value)}"


def default(key: Key) -> str:
    """The value of `key` if the config has none."""
    return "none: the key is required" if key.required else key.default or "empty"


def meaning(key: Key) -> str:
    """The meaning of `key`, and of an empty value if that is special."""
    return f"{key.doc} Empty means none." if key.empty_counts else key.doc


def _document(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "section": key.section,
        "provider": key.provider,
        "type": key.type,
        "default": key.default,
        "required": key.required,
        "read_by": key.phase,
        "meaning": meaning(key),
        "example": example(key),
        "refers_to": dict(key.terms),
    }


def _overview(keys: Sequence[Key]) -> Iterator[str]:
    """One line per key, in the groups of the config."""
    width = max(len(key.name) for key in keys)
    for section, group in groupby(keys, lambda key: key.section):
        yield f"{section}:"
        for key in group:
            head = f"  {key.name:<{width}}  "
            yield head + textwrap.shorten(key.doc, _WIDTH - len(head), placeholder=" ...")
    yield "`wf keys KEY` has the type, default and an example of a key."


def _page(key: Key) -> Iterator[str]:
    yield key.name
    facts = {
        "meaning": meaning(key),
        "type": key.type,
        "default": default(key),
        "section": key.section,
        "read by": key.phase,
    }
    for name, text in facts.items():
        yield from _entry(f"  {name:<8} ", text)
    yield f"  example  {example(key)}"
    if key.terms:
        yield "  its value may refer to:"
    width = max((len(term) for term, _ in key.terms), default=0)
    for term, text in key.terms:
        yield from _entry(f"    {term:<{width}}  ", text)


def _entry(head: str, text: str) -> Iterator[str]:
    """`head` and `text`, wrapped with a hanging indent."""
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
