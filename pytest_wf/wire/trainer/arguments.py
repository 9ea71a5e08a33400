"""The arguments that pytest-wf gives to a row's trainer, and overrides that name them again.

If an argument is given twice, the trainer chooses one, and pytest-wf may look for results in the
wrong place. This concerns only the command that pytest-wf makes: a TRAIN_COMMAND_TEMPLATE may use
a row's overrides as it likes.
"""

from typing import Dict, Iterator, List, Mapping, Sequence, Tuple

from pytest_wf.wire.rows import Row


def given(settings: Mapping[str, str], row: Row, out_dir: str) -> Dict[str, str]:
    """The arguments of a row's command, ``name=value`` each, in their order."""
    wandb = settings["SWEEP_WANDB"] == "1"
    arguments = {"out_dir": out_dir}
    if settings["DATA_DIR"]:
        arguments["data_dir"] = settings["DATA_DIR"]
    arguments.update(seed="%d" % row.seed, wandb_log=str(wandb))
    if wandb:
        for key in ("WANDB_PROJECT", "WANDB_GROUP"):
            if settings[key]:
                arguments[key.lower()] = settings[key]
        arguments["wandb_run_name"] = row.run_id
    return arguments


def given_again(settings: Mapping[str, str], row: Row, out_dir: str) -> List[Tuple[str, str]]:
    """The row's own arguments that give another value to one of pytest-wf's.

    ``(word, name)`` each; ``--out-dir x``, ``+seed=1`` and ``SEED=1`` are spellings too.
    """
    if settings["TRAIN_COMMAND_TEMPLATE"]:
        return []
    ours = {"config": row.config, **given(settings, row, out_dir)}
    return [
        (word, name) for word, name, value in _arguments(row.argv) if ours.get(name, value) != value
    ]


def _arguments(words: Sequence[str]) -> Iterator[Tuple[str, str, str]]:
    """Each argument as ``(word, name, value)``; the value of a flag alone is ''."""
    for index, word in enumerate(words):
        bare = word.strip().lstrip("-+~")
        name, equals, value = bare.partition("=")
        is_flag = word.strip().startswith(("-", "~"))
        if not equals and not is_flag:
            continue
        name = name.strip().replace("-", "_").casefold()
        if not equals:
            following = words[index + 1] if index + 1 < len(words) else ""
            value = "" if following.startswith("-") and not following[1:2].isdigit() else following
            if name.startswith("no_"):
                name, value = name[3:], ""
        yield word, name, value
