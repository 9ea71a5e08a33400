"""Checks that the pod gets the files that the rows need: the commit against config and CSV."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from pytest_wf.config.keys import Config
from pytest_wf.errors import OperationFailed
from pytest_wf.flow.readiness.finding import Finding, ReadinessCheck, ok, problem, warning
from pytest_wf.flow.readiness.local_commit import (
    ABSENT,
    FILE,
    FOLDER,
    SUBMODULE,
    SUBMODULES,
    LocalCommit,
    checked_out,
    pinned,
    script_of,
    trainer_files,
)
from pytest_wf.project.project import Project
from pytest_wf.wire.ownership import TREES
from pytest_wf.wire.trainer import entrypoint

#: The most paths or rows that a finding names.
_SHOWN = 5
#: The most lines that one check reports.
_MOST = 20
_COMMIT_IT = "Commit it"
#: The variable of the folder whose files are fetched.
_OUT_DIR = "TRAIN_OUT_DIR"
#: Commands that install packages into an environment, and no file into the repository.
_INSTALLS_PACKAGES = re.compile(
    r"(?:\S*python\S* -m |uv )?pip3? install |uv sync|uv export|poetry install|apt(-get)? "
)
#: Commands that install the contents of a lock file and ignore constraints.
_INSTALLS_LOCK = re.compile(
    r"\b(?P<command>(?P<tool>uv|poetry) (?:sync|run|install))\b(?P<rest>[^;|&\n]*)"
)
_IMPORTS_TORCH = re.compile(r"^\s*(?:import|from) torch\b", re.MULTILINE)
_REQUIRES_TORCH = re.compile(r"^torch\b(?!-)", re.MULTILINE)
_TORCH_IN_LOCK = re.compile(r'^name = "torch"\nversion = "([\w.+]+)"', re.MULTILINE)


class Checkout:
    """The commit that P50 will check out, as far as this machine knows.

    `commit` is None if it does not: REPO_URL is elsewhere, nothing is checked out because a
    campaign is resumed, or the repository cannot be used.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.config = project.config
        self.commit: LocalCommit | None = None
        self.is_whole_checkout = project.options.sweep == "start"

    @property
    def may_be_made(self) -> bool:
        """Whether the user's own commands may make files that are not in the commit."""
        commands = f"{self.config.checkout_install_cmd}\n{self.config.checkout_post_cmd}"
        parts = [part.strip() for part in re.split(r"[;|&\n]", commands)]
        return any(part and not _INSTALLS_PACKAGES.match(part) for part in parts)

    def in_workdir(self, path: str) -> str:
        """A path below TRAIN_WORKDIR_REL, relative to the repository."""
        return _in_workdir(self.config, path)

    def is_here(self, path: str) -> bool:
        """Whether the working tree has the file `path` of the repository."""
        return self.commit is not None and (self.commit.root / path).is_file()


def known_commit(project: Project) -> str:
    """The commit that P50 will check out, if this machine knows it; otherwise ''."""
    if project.config.repo_url != ".":
        return project.config.expect_git_sha
    try:
        return checked_out(project).sha
    except OperationFailed:
        return ""  # the check `repository` says why


def file_that_needs_torch(project: Project) -> str:
    """The file of the commit that imports torch or requires it: the trainer, or the
    list that CHECKOUT_INSTALL_CMD installs. '' if there is none, or the commit is unknown."""
    config = project.config
    try:
        commit = checked_out(project) if config.repo_url == "." else pinned(project)
        if commit is None:
            return ""
        _, scripts = _trainer_paths(config)
        for path in scripts:
            if _IMPORTS_TORCH.search(commit.text(path)):
                return path
        listed = script_of(config.checkout_install_cmd)
        return listed if listed and _REQUIRES_TORCH.search(commit.text(listed)) else ""
    except OperationFailed:
        return ""  # the check `repository` says why


def _trainer_paths(config: Config) -> tuple[str, list[str]]:
    """The key that names the trainer, and its possible files in the repository."""
    if config.train_command_template:
        key, files = "TRAIN_COMMAND_TEMPLATE", trainer_files(config.train_command_template)
    else:
        key, files = "TRAIN_ENTRYPOINT", entrypoint.files(config.train_entrypoint)
    return key, [_in_workdir(config, path) for path in files]


def _in_workdir(config: Config, path: str) -> str:
    return posixpath.normpath(posixpath.join(config.train_workdir_rel, path))


def _repository(it: Checkout) -> Iterator[Finding]:
    if not it.is_whole_checkout:
        return
    if it.config.repo_url == ".":
        it.commit = checked_out(it.project)
        branch = it.commit.branch()
        where = f"{it.commit.root}, branch {branch}" if branch else f"{it.commit.root}"
        yield ok(f"the pod gets commit {it.commit.sha[:12]} of {where}")
        return
    if it.config.expect_git_sha:
        it.commit = pinned(it.project)
    if it.commit is None:
        yield ok("REPO_URL is elsewhere: P50 reads it, and its contents are not checked here")
    else:
        yield ok(f"the pod gets commit {it.commit.sha[:12]}, which this repository has too")


def _asked_commit(it: Checkout) -> Iterator[Finding]:
    """REPO_URL=. sends the checked-out commit: no other can be requested."""
    config, commit = it.config, it.commit
    if config.repo_url != "." or commit is None:
        return
    have = f"REPO_URL is '.', so the pod gets what is checked out here, {commit.sha}"
    if config.expect_git_sha and config.expect_git_sha != commit.sha:
        yield problem(
            f"EXPECT_GIT_SHA is {config.expect_git_sha}. {have}.",
            f"Run `git checkout {config.expect_git_sha}` here, or correct EXPECT_GIT_SHA.",
            "repository",
        )
    if config.checkout_pr is not None:
        yield problem(
            f"CHECKOUT_PR is {config.checkout_pr}. {have}.",
            "Take CHECKOUT_PR out, or set REPO_URL to the repository's address.",
            "repository",
        )
    branch = config.checkout_branch
    if not branch:
        return
    found = commit.named(branch)
    if not found:
        yield problem(
            f"CHECKOUT_BRANCH is {branch}, and {commit.root} has no such branch or tag.",
            "Correct CHECKOUT_BRANCH, or take it out to train what is checked out here.",
            "repository",
        )
    elif commit.sha not in found:
        yield problem(
            f"CHECKOUT_BRANCH is {branch}, at {found[0][:12]}. {have}.",
            f"Run `git checkout {branch}` here, or take CHECKOUT_BRANCH out.",
            "repository",
        )
    else:
        yield ok(f"{branch} is at that commit")


def _trainer(it: Checkout) -> Iterator[Finding]:
    config, commit = it.config, it.commit
    if commit is None:
        return
    workdir = it.in_workdir("")
    key, files = _trainer_paths(config)
    commit.kinds([TREES, workdir, *files, SUBMODULES])  # in one call of git
    if config.data_dir and config.data_link and commit.kind(config.data_link) == FILE:
        yield problem(
            f"DATA_LINK: {config.data_link} is a file of commit {commit.sha[:12]}.",
            "Choose another place for the link to DATA_DIR, or empty DATA_LINK.",
            "repository",
        )
    if commit.kind(TREES) != ABSENT:
        yield problem(
            f"{TREES} is in commit {commit.sha[:12]}, and campaigns have their files there.",
            "Rename it in the repository.",
            "repository",
        )
    kind = commit.kind(workdir)
    if kind != FOLDER:
        yield _missing(it, "TRAIN_WORKDIR_REL", workdir, kind, "folder")
        return
    kinds = {path: commit.kind(path) for path in files}
    found = [path for path, kind in kinds.items() if kind == FILE]
    if found:
        yield ok(f"{found[0]} is in the commit")
    elif len(kinds) == 1:
        yield from (_missing(it, key, path, kind, "file") for path, kind in kinds.items())
    elif kinds:
        yield warning(
            f"{key}: the commit has no {next(iter(kinds))}; the module is looked for among the "
            "installed packages.",
            f"Correct {key} if it is to be a module of the repository.",
        )


def _results(it: Checkout) -> Iterator[Finding]:
    """The command or its script names the folder that is fetched, each row's own."""
    template, commit = it.config.train_command_template, it.commit
    if commit is None or not template:
        return
    _, files = _trainer_paths(it.config)
    scripts = [path for path in files if commit.kind(path) == FILE]
    if scripts and not any(_OUT_DIR in text for text in (template, *map(commit.text, scripts))):
        yield warning(
            f"neither TRAIN_COMMAND_TEMPLATE nor {scripts[0]} names {_OUT_DIR}: files that the "
            "trainer writes elsewhere are not fetched, and the next row may replace them.",
            f'Give the trainer "${_OUT_DIR}" as its output folder, or start it there '
            "(`wf docs trainers`).",
        )


def _configs(it: Checkout) -> Iterator[Finding]:
    """A row's config is a file, unless the user's own template uses it for something else."""
    commit = it.commit
    workdir = it.in_workdir("")
    if commit is None or commit.kind(workdir) != FOLDER:
        return
    rows: dict[str, list[str]] = {}
    for row in it.project.rows:
        if row.config:
            rows.setdefault(it.in_workdir(row.config), []).append(row.run_id)
    kinds = commit.kinds(rows)
    absent = {path: ids for path, ids in rows.items() if kinds[path] == ABSENT}
    if it.config.train_command_template:
        absent = {path: ids for path, ids in absent.items() if it.is_here(path)}
    for path, run_ids in [*absent.items()][:_MOST]:
        state = "is here and not in" if it.is_here(path) else "is not in"
        text = f"{path}, the config of {_listed(run_ids)}, {state} commit {commit.sha[:12]}."
        remedy = f"{_COMMIT_IT}, or correct the column config."
        if it.may_be_made or it.config.train_command_template:
            yield warning(text, f"{remedy} It exists only if one of your commands makes it.")
        else:
            yield problem(text, remedy, "repository")
    if len(absent) > _MOST:
        yield problem(
            f"{len(absent) - _MOST} more configs are not in the commit.",
            _COMMIT_IT + ".",
            "repository",
        )
    if rows and not absent:
        yield ok(f"the commit has the config of every row ({len(rows)})")


def _commands(it: Checkout) -> Iterator[Finding]:
    """The first file of an installation command is in the repository."""
    commit, config = it.commit, it.config
    if commit is None:
        return
    commands = {"CHECKOUT_INSTALL_CMD": config.checkout_install_cmd}
    if not config.checkout_install_cmd:
        commands["CHECKOUT_POST_CMD"] = config.checkout_post_cmd
    for key, command in commands.items():
        path = script_of(command)
        if path and commit.kind(path) != FILE:
            state = "is here and not in" if it.is_here(path) else "is not in"
            text = f"{key} uses {path}, which {state} commit {commit.sha[:12]}."
            remedy = f"{_COMMIT_IT}, or correct {key}; it runs in the repository's top directory."
            yield problem(text, remedy, "repository")
        elif path:
            yield ok(f"{key}: {path} is in the commit")
        yield from _locked_torch(key, command, commit)


def _locked_torch(key: str, command: str, commit: LocalCommit) -> Iterator[Finding]:
    """A torch in a lock file that would replace the image's, after minutes of downloads."""
    for found in _INSTALLS_LOCK.finditer(command):
        lock = f"{found['tool']}.lock"
        torch = _TORCH_IN_LOCK.search(commit.text(lock))
        if torch is not None and "torch" not in found["rest"]:
            yield warning(
                f"{key} runs `{found['command']}`, and {lock} has torch {torch[1]}: P50 fails "
                "if that is installed, as torch is the image's.",
                "Install the rest: `uv export -q --frozen --no-hashes --prune torch | uv pip "
                "install -r -`."
                if found["tool"] == "uv"
                else "Put torch into a group of its own, and install `--without` it.",
            )


def _uncommitted(it: Checkout) -> Iterator[Finding]:
    commit = it.commit
    if commit is None or it.config.repo_url != ".":
        return
    own = tuple(commit.prefix + name for name in ("flows/", "reports/", ".wf/", ".gitignore"))
    try:
        status = commit.status()
        ignored = [] if it.config.data_dir else commit.ignored_data()
    except OperationFailed as e:
        yield warning(f"whether the commit has every change is unknown: {e.message}")
        return
    changed, untracked = ([n for n in names if not n.startswith(own)] for names in status)
    if changed:
        yield left_behind(changed, commit.sha)
    if untracked:
        yield warning(
            f"not in git, and so not on the pod: {_listed(untracked)}.",
            "Commit what the runs need; list the rest in .gitignore.",
        )
    ignored = [name for name in ignored if not name.startswith(own)]
    if ignored:
        yield warning(
            f"git ignores these, and so the pod does not get them: {_listed(ignored)}.",
            "If runs read them, set DATA_DIR and DATA_LINK (`wf docs how-to/data`).",
        )
    if not changed and not untracked and not ignored:
        yield ok("nothing is missing: the commit has every change")


def left_behind(changed: Sequence[str], sha: str) -> Finding:
    """The finding that tracked files differ from the commit that the pod gets."""
    return warning(
        f"changed here and not committed: {_listed(changed)}. The pod has commit {sha[:12]} "
        "without that.",
        "Commit it if the runs need it.",
    )


def _elsewhere(it: Checkout) -> Iterator[Finding]:
    """Content that is in neither a bundle nor a clone."""
    if it.commit is not None:
        yield from content_elsewhere(it.commit.submodules(), it.commit.lfs_files())


def content_elsewhere(submodules: Sequence[str], pointers: Sequence[str]) -> Iterator[Finding]:
    """The findings that submodules are empty on the pod, and files are pointers of Git LFS."""
    if submodules:
        yield warning(
            f"the pod does not fetch submodules; these folders are empty there: "
            f"{_listed(submodules)}.",
            "Fetch them in CHECKOUT_INSTALL_CMD (`git submodule update --init`) if runs need them.",
        )
    if pointers:
        yield warning(
            f"git LFS keeps these elsewhere, and the pod has pointers only: {_listed(pointers)}.",
            "Fetch them in CHECKOUT_INSTALL_CMD (`git lfs pull`) if runs need them.",
        )


def hidden_data(link: str, hidden: Sequence[str]) -> Finding:
    """The finding that entries of DATA_DIR are not linked, as the repository has their names."""
    return warning(
        f"{link} in the repository has files of these names, and not those of DATA_DIR: "
        f"{_listed(hidden)}.",
        "Rename them in DATA_DIR if runs need them.",
    )


def _missing(it: Checkout, key: str, path: str, kind: str, wanted: str) -> Finding:
    commit = it.commit
    assert commit is not None
    inside = f"{commit.prefix}{path}"
    if kind == SUBMODULE:
        text, remedy = f"{path} ({key}) is a submodule.", "The pod does not fetch submodules."
    elif kind != ABSENT:
        text, remedy = f"{path} ({key}) is not a {wanted}.", f"Correct {key}."
    else:
        state = "is here and not in" if it.is_here(path) else "is not in"
        text = f"{path} ({key}) {state} commit {commit.sha[:12]}."
        remedy = f"{_COMMIT_IT}, or correct {key}."
        if commit.prefix and commit.kind(inside) != ABSENT:
            remedy = f"Paths count from the repository's top directory: there it is {inside}."
    if it.may_be_made and kind == ABSENT:
        return warning(text, f"{remedy} It exists only if one of your commands makes it.")
    return problem(text, remedy, "repository")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


COMMIT_CHECKS: tuple[ReadinessCheck[Checkout], ...] = (
    ReadinessCheck(
        "repository",
        "for `REPO_URL=.`: the project is in a git repository with a commit that git can pack",
        _repository,
    ),
    ReadinessCheck(
        "commit",
        "`EXPECT_GIT_SHA`, `CHECKOUT_BRANCH` and `CHECKOUT_PR` ask for what is checked out here",
        _asked_commit,
    ),
    ReadinessCheck(
        "trainer",
        "the commit has `TRAIN_WORKDIR_REL` and `TRAIN_ENTRYPOINT`, or the script that "
        "`TRAIN_COMMAND_TEMPLATE` starts with",
        _trainer,
    ),
    ReadinessCheck(
        "results",
        "`TRAIN_COMMAND_TEMPLATE`, or the script that it starts with, names `TRAIN_OUT_DIR` (a "
        "warning)",
        _results,
    ),
    ReadinessCheck("row-configs", "the commit has each row's config", _configs),
    ReadinessCheck(
        "commands",
        "the commit has the script or list that `CHECKOUT_INSTALL_CMD`, or else "
        "`CHECKOUT_POST_CMD`, starts with",
        _commands,
    ),
    ReadinessCheck(
        "uncommitted",
        "no change and no data here is missing from the commit (a warning)",
        _uncommitted,
    ),
    ReadinessCheck(
        "submodules", "the commit needs no submodule and no LFS content (a warning)", _elsewhere
    ),
)
