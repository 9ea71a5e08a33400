"""What every `wf` command has in common: its options, its header, its answer, its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from pytest_wf.conftests import extensions_of
from pytest_wf.core.readable import readable
from pytest_wf.errors import InputError, WfError
from pytest_wf.flow.doors import Door
from pytest_wf.flow.live import LiveView, News
from pytest_wf.flow.results import Result

__all__ = [
    "Config",
    "Csv",
    "Force",
    "Json",
    "fail",
    "news",
    "print_lines",
    "run_command",
    "say",
    "show_facts",
    "told",
]

Json = Annotated[bool, typer.Option("--json", help="Answer as one JSON document")]
Force = Annotated[bool, typer.Option("--force", help="Do it even while a sweep runs")]
Config = Annotated[Path | None, typer.Option("--wf-config", help="Another config file")]
Csv = Annotated[Path | None, typer.Option("--wf-csv", help="Another sweep CSV")]


def run_command(
    operation: Any,
    *,
    config: Path | None = None,
    csv: Path | None = None,
    needs_csv: bool = False,
    as_json: bool = False,
    header_on_stderr: bool = False,
    show: Any = None,
) -> Result:
    """Open the door, print the header, do the operation, show its result, close the door."""
    with told():
        door = Door.open(
            Path.cwd(), config=config, csv=csv, needs_csv=needs_csv, extend=extensions_of
        )
        try:
            print_lines(door.header(), err=as_json or header_on_stderr)
            result: Result = operation(door)
            if as_json:
                print_lines([json.dumps(result.facts, sort_keys=True, default=str)])
            elif show is not None:
                show(result)
            else:
                show_facts(result)
            return result
        finally:
            door.close()


@contextmanager
def told() -> Iterator[None]:
    """Failures become lines on stderr and an exit status: 4 for the user's own mistakes."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read our output has left
    except InputError as e:
        fail(4, str(e))
    except (WfError, TimeoutError) as e:
        fail(1, str(e) or "it took too long.")
    except OSError as e:
        fail(1, f"{e.filename or 'this machine'}: {e.strerror or e}")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def fail(status: int, text: str) -> NoReturn:
    """End the command with `status`, and tell why on stderr."""
    print_lines((f"ERROR: {line}" for line in text.splitlines()), err=True)
    raise typer.Exit(status)


def print_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines on stdout, or on stderr: the way of all text, which may come from a pod."""
    for line in lines:
        typer.echo(readable(line), err=err)


def say(text: str) -> None:
    """News of a command that is still at work, on stderr."""
    print_lines([f"wf: {text}"], err=True)


@contextmanager
def news(what: str, quiet_s: float) -> Iterator[Callable[[str | News], None]]:
    """Tells how `what` comes along, on stderr, as a flow does: in lines that rewrite themselves
    on a terminal, else in a plain line every `quiet_s` seconds."""
    live = LiveView(2, quiet_s=quiet_s)

    def show(seen: str | News) -> None:
        live.show(News(what, seen) if isinstance(seen, str) else seen)

    try:
        show("")
        yield show
    finally:
        live.close()


def show_facts(result: Result) -> None:
    """A result as lines of its facts."""
    if result.skipped:
        print_lines([f"{result.command}: nothing to do: {result.skipped}"])
    for key, value in sorted(result.facts.items()):
        # a fact stays one line
        is_plain = isinstance(value, str) and value.isprintable()
        text = value if is_plain else json.dumps(value, sort_keys=True, default=str)
        print_lines([f"{key}: {text}"])
