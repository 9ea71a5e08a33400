"""Makes the proposal of `wf init` from the files of a repository."""

from __future__ import annotations

import platform
import posixpath
from collections.abc import Sequence

from pytest_wf.project.trainers import candidates
from pytest_wf.project.trainers.candidates import Candidate
from pytest_wf.project.trainers.families import BY_NAME, Family
from pytest_wf.project.trainers.proposal import Proposal, listed, sweep_csv
from pytest_wf.project.trainers.repository import BY_NAME_ALONE, Repository, quoted
from pytest_wf.project.trainers.writer import Writer


def propose(
    repository: Repository, trainer: str = "", script: str = "", *, has_gpu: bool = False
) -> Proposal:
    """The proposal for a repository; `trainer` is a family's name, `script` a path, '' to detect.

    `has_gpu` says whether this machine has one, as the new config names this machine as the pod.
    """
    family = BY_NAME.get(trainer)
    if script:
        parsed = repository.script(script)
        found = [candidates.named(repository, parsed)] if parsed else []
    else:
        found = candidates.all_of(repository)
    if family is not None:
        found.sort(key=lambda one: one.family is not family)
    if found and (family is not None or candidates.is_clear(found)):
        return Writer(repository, found[0], family, found[1:], has_gpu).proposal()
    return _without_script(repository, family, script, found, has_gpu)


def _without_script(
    repository: Repository,
    family: Family | None,
    script: str,
    found: Sequence[Candidate],
    has_gpu: bool,
) -> Proposal:
    """The proposal without a known script: the family's usual command, or the default command."""
    install = repository.installation("")
    workdir = posixpath.normpath(repository.prefix or ".")
    if family is None:
        names = [f"{one.script.path} ({one.family.name})" for one in found]
        why = f"several scripts are as likely: {listed(names)}" if names else _why_none(repository)
        note = (
            "Name the script with `wf init --script PATH`, or the family with `--trainer`; or "
            "write another command: `wf keys TRAIN_COMMAND_TEMPLATE` says how."
        )
        launcher = "torchrun" if has_gpu else "python"
        return Proposal(
            "",
            f"not sure: {why}",
            (note,),
            workdir,
            launcher=launcher,
            install=install,
            requires_gpu=has_gpu,
        )
    out, seed = family.out or family.usual_out, family.seed or family.usual_seed
    words = [family.command, f'{family.prefix}{out}="$TRAIN_OUT_DIR"']
    words.append(f'{family.prefix}{seed}="$SEED"' if seed else "")
    if family.resume:
        words.append(f'${{RESUME_FROM:+{family.prefix}{family.resume}="$RESUME_FROM"}}')
    path = script or "train.py"
    template = " ".join(filter(None, ["launch", quoted(path), *words, '"$@"']))
    varied = family.varied or ("learning_rate", 0.001)
    overrides = f"{family.prefix}{varied[0]}={varied[1]:g}"
    rows = [{"run_id": "baseline-s1", "seed": "1"}]
    rows.append({"run_id": "override-s1", "seed": "1", "overrides": overrides})
    return Proposal(
        family.name,
        f"{family.name} (asked for): its usual arguments, as no script was read",
        (f"Correct {path} and its arguments in TRAIN_COMMAND_TEMPLATE.",),
        workdir,
        path,
        template,
        family.launcher if has_gpu or family.is_always_launched else "python",
        install,
        family.checkpoints,
        has_gpu,
        sweep_csv(rows, has_config=False),
    )


def _why_none(repository: Repository) -> str:
    silent = [script.path for script in candidates.silent(repository)]
    if silent:
        return f"{listed(silent)} may train, and has no arguments of a kind that is known"
    unread = [path for path in repository.likely(BY_NAME_ALONE) if repository.script(path) is None]
    if unread:
        return f"Python {platform.python_version()} cannot parse {listed(unread)}"
    if any(path.endswith(".py") for path in repository.files):
        return "no script here has arguments of a kind that is known"
    if any(path.endswith(".ipynb") for path in repository.files):
        return "there are notebooks and no script; a row is the run of a script"
    return "there is no Python file"
