"""The generated pages of the reference, each from the code that it describes.

``python -m tests.support.reference`` writes them into `docs/`; a test compares them.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer

from pytest_wf import hookspecs, schemas
from pytest_wf.cli.catalogue import CATALOGUE, EXITS
from pytest_wf.cli.main import app
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.plugin import MARKERS, fixtures
from pytest_wf.project.flow_options import FLOW_OPTIONS
from tests.support import ROOT

_HEAD = "<!-- made by `make docs`; do not edit -->\n"


def options() -> Iterator[str]:
    """The options of a flow."""
    yield "# Options of a flow"
    yield ""
    yield "`pytest flows/ --wf-flow` and `wf flow` take these; `--x=value` and `--x value` are the"
    yield "same. Of pytest's own options, [selections](selections.md) says which select rows and"
    yield "which are refused. A value that is not legal is a mistake (exit status 4)."
    yield ""
    yield "| option | values | default | meaning |"
    yield "|---|---|---|---|"
    for option in FLOW_OPTIONS:
        default = {None: "", "": ""}.get(option.default, f"`{option.default}`")
        values = ", ".join(f"`{value}`" for value in option.values) or "none"
        yield _cells(f"`{option.name}`", values, default, f"{_without_default(option.help)}.")


def _without_default(text: str) -> str:
    """The help of an option, whose default has a column of its own."""
    return re.sub(r" \(default: [a-z]+\)$", "", text)


def commands() -> Iterator[str]:
    """The `wf` commands, in their groups."""
    yield "# `wf` commands"
    yield ""
    yield "`wf <command> --help` shows the same on the terminal. Of every command that reads the"
    yield "config, `--wf-config` names another one, and `--json` asks for one JSON document."
    yield "\n## Exit status\n"
    yield "| exit status | means |\n|---|---|"
    yield from (_cells(str(status), text) for status, text in EXITS.items())
    yield "\n`wf flow` exits as pytest does: 0 passed, 1 a failed phase or row, 2 interrupted,"
    yield "4 a mistake, 5 nothing selected. `wf task-wait` exits as the task did."
    found: Mapping[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for group in dict.fromkeys(entry.group for entry in CATALOGUE.values()):
        yield f"\n## {group}"
        for name, entry in CATALOGUE.items():
            if entry.group == group:
                yield from _command(f"wf {name}", found[name], entry.examples)


def _command(name: str, command: Any, examples: tuple[str, ...] = ()) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = " ".join(_argument(p) for p in arguments)
    yield f"\n### `{name} {words}`".rstrip("` ") + "`"
    yield ""
    yield re.sub(r"\n\n?Example: .*", "", inspect.cleandoc(command.help or ""))
    rows = [_cells(f"`{_argument(p)}`", p.help) for p in arguments if getattr(p, "help", None)]
    rows += [
        _cells(", ".join(f"`{word}`" for word in p.opts), p.help or "")
        for p in command.params
        if p.param_type_name == "option" and p.name not in ("config", "as_json")
    ]
    if rows:
        yield "\n| argument or option | meaning |\n|---|---|"
        yield from rows
    if examples:
        yield "\n```sh"
        yield from examples
        yield "```"
    for sub, one in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {sub}", one)


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def fixture_page() -> Iterator[str]:
    """Fixtures and the mark of a phase."""
    yield "# Fixtures and the mark `phase`"
    yield ""
    for mark in MARKERS:
        usage, _, meaning = mark.partition(": ")
        yield f"`@pytest.mark.{usage}`: {meaning}\n"
    yield "| fixture | gives |"
    yield "|---|---|"
    for name, value in vars(fixtures).items():
        if name.startswith("wf_"):
            yield _cells(f"`{name}`", " ".join((inspect.getdoc(value.__wrapped__) or "").split()))
    yield ""
    yield "None of them changes the pod's state: operations do. `wf_run` is for tests that are"
    yield "marked `rows=True`: they run once for each row."
    yield "[Write a phase](extending/phase.md) shows them at work."
    yield ""
    yield "The built-in phases, whose codes are taken:"
    yield ""
    yield "| code | name | does |"
    yield "|---|---|---|"
    for contract in CONTRACTS.values():
        yield _cells(contract.code, contract.name, contract.intent)


def hooks() -> Iterator[str]:
    """The hooks, as the plugin author's manual has them."""
    yield "# Hooks"
    yield ""
    yield _markdown(inspect.getdoc(hookspecs) or "")
    for name in hookspecs.__all__:
        spec = getattr(hookspecs, name)
        yield f"\n## {name}\n\n```python\ndef {name}{inspect.signature(spec)}".replace("'", "")
        yield "```\n"
        yield _markdown(inspect.getdoc(spec) or "")


def _markdown(text: str) -> str:
    """A docstring as Markdown: what is indented is code."""
    text = text.replace("``", "`")
    return re.sub(
        r"(?:(?<=\n\n))((?:    .*\n?|\n(?=    ))+)",
        lambda m: f"```python\n{textwrap.dedent(m[1]).strip()}\n```\n",
        text,
    )


def schema_page() -> Iterator[str]:
    """The JSON that a flow writes."""
    yield "# JSON Schemas"
    yield ""
    yield "Every JSON file that a flow writes has a schema in the package, in"
    yield "`pytest_wf/schemas/`. `pytest_wf.schemas.load(name)` gives it, and"
    yield "`pytest_wf.schemas.names()` lists all. Fields may be added in a new version; one that is"
    yield "here keeps its name and its meaning."
    for name in schemas.names():
        schema = schemas.load(name)
        yield f"\n## {name.removesuffix('.schema.json')}"
        yield ""
        yield f"`{name}`: " + " ".join(str(schema.get("description", "")).split())
        yield from _fields(schema)
        for title, part in schema.get("$defs", {}).items():
            yield f"\n### {title} in {name.removesuffix('.schema.json')}"
            yield ""
            yield " ".join(str(part.get("description", "")).split())
            yield from _fields(part)


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    yield "\n| field | type | required |\n|---|---|---|"
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield _cells(f"`{name}`", _type(field), "yes" if name in required else "")


def _type(field: Mapping[str, Any]) -> str:
    """The type of a field in a few words."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(one) for one in field["anyOf"]))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"array of {_type(field.get('items', {}))}"
    return str(field.get("const") or field.get("type") or "any")


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


PAGES: Mapping[str, Callable[[], Iterator[str]]] = {
    "options.md": options,
    "command-reference.md": commands,
    "fixtures.md": fixture_page,
    "hooks.md": hooks,
    "schemas.md": schema_page,
}


def page(name: str) -> str:
    """The page `name`, whole."""
    lines = (line.rstrip() for part in PAGES[name]() for line in part.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", _HEAD + "\n".join(lines)).rstrip() + "\n"


if __name__ == "__main__":
    for name in PAGES:
        (ROOT / "docs" / name).write_text(page(name), encoding="utf-8")
