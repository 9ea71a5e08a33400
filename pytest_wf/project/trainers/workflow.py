"""The lines of workflow.env for a proposal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from pytest_wf.config import dotenv
from pytest_wf.config.keys import KEYS
from pytest_wf.project.trainers.families import BY_NAME
from pytest_wf.project.trainers.proposal import Proposal
from pytest_wf.wire.trainer.variables import VARIABLES, WORDS

_WIDTH = 100


def install_lines(proposal: Proposal) -> Iterator[str]:
    """The keys for the installation and the data."""
    if proposal.install:
        yield f"CHECKOUT_INSTALL_CMD={dotenv.quoted(proposal.install)}"
    else:
        yield "# CHECKOUT_INSTALL_CMD=pip install -e ."
    yield "# The Python on the pod that has torch and the trainer's libraries."
    yield "# REMOTE_PYTHON_BIN=python3"
    yield "# 1: a torch without a GPU halts the flow; 0 for a machine without one."
    yield f"REQUIRE_GPU_TORCH={int(proposal.requires_gpu)}"
    if proposal.data_dir:
        yield "# Data that git ignores: its folder on the pod, and its place in the repository."
        yield "# For another pod than local, copy the data there (`wf docs how-to/data`)."
        yield f"DATA_DIR={dotenv.quoted(proposal.data_dir)}"
        yield f"DATA_LINK={dotenv.quoted(proposal.data_link)}"


def trainer_lines(proposal: Proposal) -> Iterator[str]:
    """The keys for the trainer, with the findings as comments."""
    yield from _comment(proposal.reason)
    for note in proposal.notes:
        yield from _comment(note, "- ")
    yield "SWEEP_CSV=flows/sweep.csv"
    yield f"TRAIN_WORKDIR_REL={dotenv.quoted(proposal.workdir)}"
    yield "# torchrun or accelerate: one process per GPU of a row; python: one process."
    yield f"TRAIN_LAUNCHER={proposal.launcher}"
    if proposal.template:
        yield from _template_lines(proposal.template)
    else:
        yield "# A row runs <launcher> <entrypoint> <config> out_dir=... seed=... <overrides>."
        yield f"TRAIN_ENTRYPOINT={dotenv.quoted(proposal.entrypoint)}"
        yield "# For a trainer with another command line (`wf keys TRAIN_COMMAND_TEMPLATE`):"
        example = 'launch train.py --output_dir="$TRAIN_OUT_DIR" --seed="$SEED" "$@"'
        yield f"# TRAIN_COMMAND_TEMPLATE='{example}'"
    if proposal.checkpoints:
        key = next(key for key in KEYS if key.name == "CHECKPOINT_PATTERNS")
        mark = "" if "RESUME_FROM" in proposal.template else "# "
        yield "# Names of checkpoints; the newest is a retry's $RESUME_FROM."
        yield f"{mark}{key.name}={key.default} {proposal.checkpoints}"
        if BY_NAME[proposal.trainer].has_model_in_checkpoints:
            yield "# 1: checkpoints are fetched, too, as the model has the name of one."
            yield f"{mark}FETCH_INCLUDE_CHECKPOINTS=1"


def _template_lines(template: str) -> Iterator[str]:
    yield "# The command of a row, in bash. `wf keys TRAIN_COMMAND_TEMPLATE` lists its variables:"
    usual = [(f"${one.name}", one.meaning) for one in VARIABLES if one.is_usual]
    terms = [*((word.text, word.meaning) for word in WORDS), *usual]
    width = max(len(term) for term, _ in terms)
    for term, meaning in terms:
        head = f"  {term:<{width}}  "
        yield from _comment(meaning.split(": ")[0].split(". ")[0].rstrip("."), head)
    yield '# Write what every row needs before "$@", such as --data=x; overrides are in the sweep.'
    yield f"TRAIN_COMMAND_TEMPLATE={dotenv.quoted(template)}"


def _comment(text: str, head: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"# {head}",
        subsequent_indent="# " + " " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
