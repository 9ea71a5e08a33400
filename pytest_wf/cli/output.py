"""Options, header, result and exit status that all `wf` commands share."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from pytest_wf.cli.context import Context, Pods, bare_header
from pytest_wf.console.columns import BAD, BOLD, DIM, GOOD, Line, Part, text_of
from pytest_wf.console.live import QUIET_S, LiveView, News, elapsed, is_for_people
from pytest_wf.errors import InputError, OperationFailed, TransportError, WfError
from pytest_wf.flow.results import Result
from pytest_wf.flow.secrets import known_secrets
from pytest_wf.flow.session import silence_of
from pytest_wf.pods.patience import Patience
from pytest_wf.wire.failures import KINDS
from pytest_wf.wire.ownership import NotOurs
from pytest_wf.wire.redact import Redactor

Json = Annotated[bool, typer.Option("--json", help="Answer as one JSON document")]
Force = Annotated[bool, typer.Option("--force", help="Also while a sweep runs")]
Config = Annotated[Path | None, typer.Option("--wf-config", help="Another config file")]
Pod = Annotated[
    str, typer.Option("--pod", metavar="podK|all", help="One of several pods, or all of them")
]
Csv = Annotated[Path | None, typer.Option("--wf-csv", help="Another sweep CSV")]


R = TypeVar("R", bound=Result)


class _Output:
    """The output of this process, without the secrets that `redactor` knows."""

    redactor = known_secrets(os.environ)
    #: Completes the commands that a text names, for the config and folder of this command.
    whole: Callable[[str], str] = str
    #: Shows news on the live view that is open; None if none is.
    show: Callable[[News], None] | None = None
    #: Monotonic time of the last line about a pod that does not answer.
    silence_told_at = float("-inf")


def show_facts(result: Result) -> None:
    """Print a result as lines of its facts."""
    if result.skipped:
        print_lines([f"{result.command}: nothing to do: {result.skipped}"])
    print_lines(fact_lines(result.facts))


def run_command(  # noqa: PLR0913 - what a command has in common with others, by name
    operation: Callable[[Context], R],
    *,
    config: Path | None = None,
    csv: Path | None = None,
    needs_csv: bool = False,
    as_json: bool = False,
    show: Callable[[R], None] | None = show_facts,
    pods: Pods | None = None,
) -> list[R]:
    """Load the project, print the header, do `operation`, show its result, close the session.

    `show` is None for an operation that writes to stdout itself; the header then goes to stderr.
    `pods` says for which pods to do it; None if it concerns none of them. If it fails on one pod,
    it is still done on the others, and the exit status is 1. Returns the results.
    """
    with user_errors(as_json):
        context = Context.open(Path.cwd(), config=config, csv=csv, needs_csv=needs_csv)
        context.on_silence = tell_silence
        _Output.redactor, _Output.whole = context.redactor, context.whole
        try:
            to_stderr = as_json or show is None
            _print_header(context.header(for_people=_for_people(to_stderr)), err=to_stderr)
            parts = context.parts(pods) if pods is not None else [context]
            if len(parts) > 1:
                return _run_on_all(parts, operation, as_json, show)
            result = _run_on(parts[0], operation)
            if as_json:
                facts = _Output.redactor.value(result.facts)
                print_lines([json.dumps(facts, sort_keys=True, default=str)])
            elif show is not None:
                show(result)
            return [result]
        finally:
            context.close()


def _run_on(context: Context, operation: Callable[[Context], R]) -> R:
    """Do `operation` on one pod, report damaged files there, and close the session."""
    try:
        return operation(context)
    finally:
        for finding in context.findings:
            say(finding)
        context.close()


def _run_on_all(
    parts: Sequence[Context],
    operation: Callable[[Context], R],
    as_json: bool,
    show: Callable[[R], None] | None,
) -> list[R]:
    """Do `operation` on each pod; each result is printed after the name of the pod."""
    results: list[R] = []
    document: dict[str, Any] = {}
    for part in parts:
        try:
            result = _run_on(part, operation)
        except (OperationFailed, TransportError, TimeoutError) as e:
            error = e if isinstance(e, WfError) else WfError(str(e) or "timed out.")
            kind = getattr(error, "kind", "timeout")
            print_lines(
                (f"{part.member}: ERROR: {line}" for line in whole(str(error)).splitlines()),
                err=True,
            )
            document[part.member] = {"error": _error_document(error, kind)}
            continue
        results.append(result)
        document[part.member] = result.facts
        if not as_json and show is not None:
            print_lines([f"{part.member}:"])
            show(result)
    if as_json:
        facts = _Output.redactor.value({"pods": document})
        print_lines([json.dumps(facts, sort_keys=True, default=str)])
    if len(results) < len(parts):
        raise typer.Exit(1)
    return results


def _error_document(error: WfError, kind: str) -> dict[str, Any]:
    return {
        "code": KINDS.get(kind),
        "kind": kind,
        "message": whole(error.message),
        "next": whole(error.next),
    }


@contextmanager
def user_errors(as_json: bool = False) -> Iterator[None]:
    """Turn failures into lines on stderr and an exit status, 4 for mistakes of the user.

    With `as_json`, stdout also gets ``{"error": {"code", "kind", "message", "next"}}``.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of stdout is gone
    except InputError as e:
        fail(4, e, "config", as_json)
    except NotOurs as e:
        fail(4, WfError(e.message, e.remedy), "not-ours", as_json)
    except (OperationFailed, TransportError) as e:
        fail(1, e, e.kind, as_json)
    except WfError as e:
        fail(1, e, "error", as_json)
    except TimeoutError as e:
        fail(1, WfError(str(e) or "timed out."), "timeout", as_json)
    except OSError as e:
        error = WfError(f"{e.filename or 'this machine'}: {e.strerror or e}")
        fail(1, error, "error", as_json)
    except KeyboardInterrupt:
        fail(
            130,
            WfError("interrupted.", "A sweep or a task on a pod continues."),
            "interrupted",
            as_json,
        )


def fail(status: int, error: WfError, kind: str, as_json: bool = False) -> NoReturn:
    """Print the error and end the command with `status`."""
    tell(error, kind, as_json)
    raise typer.Exit(status)


def tell(error: WfError, kind: str, as_json: bool) -> None:
    """Print an error as lines on stderr and, with `as_json`, as one document on stdout."""
    print_lines((f"ERROR: {line}" for line in whole(str(error)).splitlines()), err=True)
    if as_json:
        document = _error_document(error, kind)
        # stdout may be what failed; stderr already has the lines
        with suppress(OSError):
            print_lines([json.dumps({"error": _Output.redactor.value(document)}, sort_keys=True)])


def print_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines, which may come from a pod, on stdout or stderr. All text goes through here."""
    for line in lines:
        typer.echo(_Output.redactor.shown(line), err=err)


def whole(text: str) -> str:
    """`text` with the commands in it as they are run after this command."""
    return _Output.whole(text)


def print_bare_header(cwd: Path, *, err: bool = False) -> Redactor:
    """Print the header of a command that needs no project; return the redactor of its text."""
    header, _Output.redactor = bare_header(cwd, for_people=_for_people(err))
    _print_header(header, err=err)
    return _Output.redactor


def print_parts(lines: Iterable[Line], *, err: bool = False) -> None:
    """Print lines, with styles on a terminal if NO_COLOR is not set."""
    has_colours = _for_people(err) and not os.environ.get("NO_COLOR")
    for line in lines:
        shown = [part._replace(text=_Output.redactor.shown(part.text)) for part in line]
        whole = _Output.redactor.shown(text_of(line))
        if not has_colours or text_of(shown) != whole:
            typer.echo(whole, err=err)
            continue
        typer.echo("".join(typer.style(p.text, **_STYLES.get(p.style, {})) for p in shown), err=err)


def columns(*, err: bool = False) -> int | None:
    """The longest line that fits; None if the output is not a terminal."""
    return shutil.get_terminal_size().columns if _for_people(err) else None


_STYLES: Mapping[str, dict[str, Any]] = {
    GOOD: {"fg": "green"},
    BAD: {"fg": "red"},
    BOLD: {"bold": True},
    DIM: {"dim": True},
}


def _for_people(err: bool) -> bool:
    return is_for_people(sys.stderr if err else sys.stdout)


def _print_header(lines: Sequence[str], *, err: bool) -> None:
    print_parts([[Part(line, DIM if len(lines) == 1 else "")] for line in lines], err=err)


def say(text: str) -> None:
    """Print news of a running command on stderr."""
    print_lines([f"wf: {text}"], err=True)


def tell_silence(patience: Patience) -> None:
    """Say for how long the pod has not answered: on the live view, or in a line now and then."""
    silence = silence_of(patience, "")
    if _Output.show is not None:
        _Output.show(silence)
    elif time.monotonic() - _Output.silence_told_at >= QUIET_S:
        _Output.silence_told_at = time.monotonic()
        say(f"{silence.text} {elapsed(patience.silent_s)}")


@contextmanager
def news(what: str, context: Context) -> Iterator[Callable[[str | News], None]]:
    """Shows progress of `what` on stderr, as a flow does: in lines that rewrite themselves
    on a terminal, otherwise in a plain line every WF_FLOW_WAIT_INTERVAL_SECS."""
    live = LiveView(2, quiet_s=context.project.config.wf_flow_wait_interval_secs)
    live.shown = _Output.redactor.shown

    def show(seen: str | News) -> None:
        live.show(News(what, seen) if isinstance(seen, str) else replace(seen, what=what))

    _Output.show = show
    try:
        show("")
        yield show
    finally:
        _Output.show = None
        live.close()


def fact_lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Facts for people: one line per fact, nested facts indented. `--json` is for
    programs."""
    for name, value in sorted(facts.items()):
        key = _word(name)
        parts = value.values() if isinstance(value, Mapping) else value
        if not isinstance(value, (Mapping, list, tuple)) or not value:
            yield f"{indent}{key}: {_word(value)}"
        elif not any(isinstance(part, (Mapping, list, tuple)) for part in parts):
            words = _pairs(value) if isinstance(value, Mapping) else ", ".join(map(_word, value))
            yield f"{indent}{key}: {words}"
        elif isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from fact_lines(value, indent + "  ")
        else:
            yield f"{indent}{key}:"
            for part in value:
                yield f"{indent}  - {_pairs(part) if isinstance(part, Mapping) else _word(part)}"


def _pairs(facts: Mapping[str, Any]) -> str:
    return " ".join(f"{_word(key)}={_word(value, within=True)}" for key, value in facts.items())


def _word(value: Any, *, within: bool = False) -> str:
    """One value, on one line; with `within`, one of several values on a line, quoted if it
    contains blanks."""
    if value is None or (not within and value in ((), [], {}, "")):
        return "none"
    is_plain = isinstance(value, str) and value.isprintable()
    if is_plain and not (within and (" " in value or not value)):
        return str(value)
    return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
