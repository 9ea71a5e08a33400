"""The arguments of a script, read from its parser: argparse, click, dataclasses, ..."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_wf.project.trainers.script import Script, calls, dotted

_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Option:
    """One argument of a script."""

    #: Without the dashes.
    name: str
    #: Its default if that is a plain value in the source.
    default: object = None
    is_required: bool = False
    is_positional: bool = False
    #: Whether it takes no value.
    is_flag: bool = False
    #: The dashes before its name.
    dashes: str = "--"
    #: Whether it comes before the subcommand, in a script with several.
    is_common: bool = False


def read(script: Script) -> tuple[Option, ...]:
    """The arguments of `script`, without repeats, in the order of the source."""
    found = (
        option for reader in _READERS for option in reader(script) if _NAME.fullmatch(option.name)
    )
    return tuple({option.name: option for option in reversed(list(found))}.values())[::-1]


def assigned(script: Script) -> Iterator[tuple[str, object]]:
    """The module variables of `script` that have a plain value in the source."""
    for node in script.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = _value(node.value)
            if isinstance(value, (bool, int, float, str)):
                yield node.targets[0].id, value


#: Usual names of the subcommand that trains.
_TRAINS = ("train", "training", "fit", "pretrain", "finetune", "fine-tune", "run")


def command(script: Script) -> str:
    """The subcommand that trains, in a script with several; '' if none is known."""
    commands = (_typer_commands, _click_commands, _fire_commands)
    known = {*_parsers(script).values(), *(name for read in commands for name in read(script))}
    return next((name for name in _TRAINS if name in known), "")


def _parsers(script: Script) -> dict[str, str]:
    """The subcommands of argparse, by the variables of their parsers."""
    found = {}
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            is_parser = dotted(node.value.func).endswith(".add_parser")
            for name in _texts(node.value)[:1] if is_parser else ():
                found.update(dict.fromkeys(map(dotted, node.targets), name))
    return found


def _common_parsers(script: Script) -> set[str]:
    """The variables of parsers for arguments before a subcommand, not of subcommands."""
    found: set[str] = set()
    parents: set[str] = set()
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if dotted(node.value.func).rpartition(".")[2] == "ArgumentParser":
                found.update(map(dotted, node.targets))
        elif isinstance(node, ast.keyword) and node.arg == "parents":
            parents.update(map(dotted, ast.walk(node.value)))
    return found - parents


def _typer_commands(script: Script) -> dict[str, str]:
    """The functions of typer's subcommands, by name; empty if there is only one."""
    found = _commands(script) if "typer" in script.imports else {}
    return found if len(found) > 1 else {}


def _click_commands(script: Script) -> dict[str, str]:
    """The functions of the subcommands of click's groups, by name."""
    is_grouped = script.calls_any(("click.group", "click.Group"))
    return _commands(script) if is_grouped else {}


def _commands(script: Script) -> dict[str, str]:
    found = {}
    for function in _functions(script):
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and dotted(decorator.func).endswith(".command"):
                name = next(iter(_texts(decorator)), function.name.replace("_", "-"))
                found[name] = function.name
    return found


def _fire_commands(script: Script) -> dict[str, str]:
    """The functions that fire calls by their names."""
    for call in calls(script.tree):
        if dotted(call.func) != "fire.Fire":
            continue
        if not call.args:
            return {f.name: f.name for f in script.tree.body if isinstance(f, _FUNCTIONS)}
        if isinstance(call.args[0], ast.Dict):
            keys = map(_value, call.args[0].keys)
            return {str(k): dotted(v) for k, v in zip(keys, call.args[0].values, strict=True)}
        name = dotted(call.args[0])
        for node in script.tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return {f.name: f.name for f in node.body if isinstance(f, _FUNCTIONS)}
    return {}


def _argparse(script: Script) -> Iterator[Option]:
    parsers, chosen = _parsers(script), command(script)
    common = _common_parsers(script) if chosen else set()
    for call in calls(script.tree):
        parser, _, method = dotted(call.func).rpartition(".")
        if method == "add_argument" and (not chosen or parsers.get(parser, chosen) == chosen):
            yield from (replace(one, is_common=parser in common) for one in _declared(call))


def _click(script: Script) -> Iterator[Option]:
    commands_of, chosen = _click_commands(script), command(script)
    others, common = set(), set()
    for function in _functions(script) if chosen else ():
        if function.name in commands_of.values() and function.name != commands_of.get(chosen):
            others.update(function.decorator_list)
        elif any(dotted(_undecorated(d)).endswith(".group") for d in function.decorator_list):
            common.update(function.decorator_list)
    for call in calls(script.tree):
        name = dotted(call.func)
        if call in others:
            continue
        if name == "click.option":
            yield from (replace(one, is_common=call in common) for one in _declared(call))
        elif name == "click.argument":
            yield from (Option(text, None, True, True) for text in _texts(call)[:1])


def _declared(call: ast.Call) -> Iterator[Option]:
    """The option of a call such as `add_argument("-o", "--out", default="out")`."""
    names = _texts(call)
    if not names:
        return
    long = [name for name in names if name.startswith("--")]
    name = (long or names)[0].split("/")[0]
    bare = name.lstrip("-")
    action, nargs = (str(_keyword(call, key)) for key in ("action", "nargs"))
    is_positional = bare == name
    yield Option(
        bare,
        _keyword(call, "default"),
        is_required=_keyword(call, "required") is True
        or (is_positional and nargs not in ("?", "*")),
        is_positional=is_positional,
        is_flag=action.startswith(("store_true", "store_false", "count", "help", "version"))
        or _keyword(call, "is_flag") is True
        or "BooleanOptionalAction" in _keyword_name(call, "action"),
        dashes=name[: len(name) - len(bare)],
    )


def _absl(script: Script) -> Iterator[Option]:
    for call in calls(script.tree):
        tail = dotted(call.func).rpartition(".")[2]
        texts = _texts(call)
        if tail.startswith("DEFINE_") and texts:
            default = _value(call.args[1]) if len(call.args) > 1 else None
            required = _keyword(call, "required") is True
            yield Option(texts[0], default, required, is_flag=tail == "DEFINE_bool")


#: Functions that make arguments of the dataclasses in their call.
_OF_CLASSES = ("HfArgumentParser", "TrlParser", "cli", "add_arguments", "parse", "wrap")


def _dataclasses(script: Script) -> Iterator[Option]:
    classes = {c.name: c for c in ast.walk(script.tree) if isinstance(c, ast.ClassDef)}
    for call in calls(script.tree):
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        names = {dotted(n) for argument in arguments for n in ast.walk(argument)}
        takes = dotted(call.func).rpartition(".")[2] in _OF_CLASSES
        if takes or names & {"argv", "sys.argv"}:
            for name in sorted(names & set(classes)):
                yield from _fields(classes[name], classes, "", 0)
    for function in _functions(script):
        if any(dotted(_undecorated(d)).endswith(".wrap") for d in function.decorator_list):
            for argument in function.args.args[:1]:
                name = dotted(argument.annotation) if argument.annotation else ""
                if name in classes:
                    yield from _fields(classes[name], classes, "", 0)


def _fields(
    of: ast.ClassDef, classes: dict[str, ast.ClassDef], prefix: str, depth: int
) -> Iterator[Option]:
    for base in of.bases:
        if depth < 3 and dotted(base) in classes:
            yield from _fields(classes[dotted(base)], classes, prefix, depth + 1)
    for node in of.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        kind = classes.get(dotted(node.annotation))
        name = prefix + node.target.id
        if kind is not None and depth < 3:
            yield from _fields(kind, classes, f"{name}.", depth + 1)
            continue
        value = node.value
        is_field = isinstance(value, ast.Call) and dotted(value.func).endswith("field")
        given = {k.arg for k in value.keywords} if isinstance(value, ast.Call) else set()
        has_default = value is not None and not (
            is_field and not given & {"default", "default_factory"}
        )
        default = _keyword(value, "default") if isinstance(value, ast.Call) else _value(value)
        is_private = "ClassVar" in ast.dump(node.annotation)
        if not is_private:
            yield Option(name, default, is_required=not has_default)


#: Functions that call another one with the arguments of the command line.
_CALLERS = ("typer.run", "fire.Fire", "tyro.cli", "jsonargparse.CLI", "jsonargparse.auto_cli")


def _parameters(script: Script) -> Iterator[Option]:
    """The parameters of functions that typer, fire or tyro call."""
    called = {
        dotted(argument)
        for call in calls(script.tree)
        if dotted(call.func) in _CALLERS
        for argument in call.args[:1]
    }
    chosen = command(script)
    called |= {name for of, name in _fire_commands(script).items() if of == chosen}
    commands_of = _typer_commands(script)
    others = {name for of, name in commands_of.items() if chosen and of != chosen}
    for function in _functions(script):
        if function.name in others:
            continue
        commands = [dotted(_undecorated(d)) for d in function.decorator_list]
        is_command = "typer" in script.imports and any(c.endswith(".command") for c in commands)
        if is_command or function.name in called:
            yield from _of_function(function, dashed="typer" in script.imports)


def _of_function(function: _Function, *, dashed: bool) -> Iterator[Option]:
    positional = [*function.args.posonlyargs, *function.args.args]
    padding: list[ast.expr | None] = [None] * (len(positional) - len(function.args.defaults))
    pairs = zip(positional, [*padding, *function.args.defaults], strict=True)
    named = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    for argument, default in [*pairs, *named]:
        if argument.arg == "self":
            continue
        name = argument.arg.replace("_", "-") if dashed else argument.arg
        value = default
        if isinstance(default, ast.Call):  # typer.Option(0.1, ...)
            value = default.args[0] if default.args else None
        is_required = default is None and "Option" not in ast.dump(argument)
        yield Option(name, _value(value), is_required, is_positional=is_required and dashed)


def _module_variables(script: Script) -> Iterator[Option]:
    """The variables that nanoGPT's configurator sets."""
    if "exec(configurator)" in script.calls:
        yield from (Option(name, value) for name, value in assigned(script))


_READERS: Sequence[Callable[[Script], Iterator[Option]]] = (
    _argparse,
    _click,
    _absl,
    _dataclasses,
    _parameters,
    _module_variables,
)

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _functions(script: Script) -> Iterator[_Function]:
    nodes = ast.walk(script.tree)
    return (n for n in nodes if isinstance(n, _FUNCTIONS))


def _undecorated(decorator: ast.expr) -> ast.expr:
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _texts(call: ast.Call) -> list[str]:
    values = [_value(argument) for argument in call.args]
    return [value for value in values if isinstance(value, str)]


def _keyword(call: ast.Call, name: str) -> object:
    return next((_value(k.value) for k in call.keywords if k.arg == name), None)


def _keyword_name(call: ast.Call, name: str) -> str:
    return next((dotted(k.value) for k in call.keywords if k.arg == name), "")


def _value(node: ast.expr | None) -> object:
    """A plain value in the source; None for anything else. `Path("out")` is its text."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _value(node.operand)
        return -inner if isinstance(inner, (int, float)) else None
    if isinstance(node, ast.Call) and dotted(node.func).endswith("Path") and node.args:
        return _value(node.args[0])
    return None
