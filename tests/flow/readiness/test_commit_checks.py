"""What the rows need is in the commit that the pod gets, or is named before the flow begins."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_wf.flow.readiness.local_commit import script_of
from pytest_wf.testing import commit_all
from tests.support.readiness import Look, the_only

Configure = Callable[..., None]


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def add_row(root: Path, row: str) -> None:
    with (root / "flows" / "sweep.csv").open("a") as f:
        f.write(f"{row}\n")


@pytest.mark.parametrize("check", ["repository", "trainer", "row-configs", "uncommitted"])
def test_a_committed_project_is_ready(look: Look, check: str) -> None:
    assert the_only(look(check))[0] == "ok"


def test_a_project_in_no_repository_is_a_problem(root: Path, look: Look) -> None:
    shutil.rmtree(root / ".git")
    status, text = the_only(look("repository"))
    assert status == "problem"
    assert text.endswith("(`git init && git add -A && git commit`), or set REPO_URL.")
    assert look("trainer") == look("row-configs") == []


def test_a_repository_without_a_commit_is_a_problem(root: Path, look: Look) -> None:
    shutil.rmtree(root / ".git")
    git(root, "init", "-q")
    status, text = the_only(look("repository"))
    assert (status, "has no commit" in text) == ("problem", True)


def test_a_repository_of_another_user_is_a_problem_with_gits_own_remedy(
    root: Path, look: Look
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    subprocess.run(["chown", "-R", "54321", str(root)], check=True)
    status, text = the_only(look("repository"))
    assert (status, text.endswith(f"safe.directory {root}")) == ("problem", True), text


@pytest.mark.fault("F5")
def test_a_shallow_clone_is_a_problem(root: Path, look: Look, tmp_path: Path) -> None:
    commit_all(root, "A second commit")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{root}", str(shallow))
    shutil.rmtree(root / ".git")
    (shallow / ".git").rename(root / ".git")
    status, text = the_only(look("repository"))
    assert (status, "git fetch --unshallow" in text) == ("problem", True)


def test_the_callers_git_dir_leads_nowhere_else(
    root: Path, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    head = subprocess.check_output(
        ["git", f"--git-dir={root}/.git", "rev-parse", "HEAD"], text=True
    ).strip()
    assert head[:12] in the_only(look("repository"))[1]


def test_an_entrypoint_that_is_not_committed_is_a_problem(root: Path, look: Look) -> None:
    git(root, "rm", "-q", "--cached", "train/train.py")
    git(root, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "No trainer")
    status, text = the_only(look("trainer"))
    assert status == "problem"
    assert text.startswith("train/train.py (TRAIN_ENTRYPOINT) is here and not in commit ")
    (root / "train" / "train.py").unlink()
    assert "is not in commit" in the_only(look("trainer"))[1]


def test_a_workdir_that_is_not_in_the_commit_is_one_problem(
    look: Look, configure: Configure
) -> None:
    configure(TRAIN_WORKDIR_REL="tarin")
    status, text = the_only(look("trainer"))
    assert (status, "tarin (TRAIN_WORKDIR_REL) is not in commit" in text) == ("problem", True)
    assert look("row-configs") == []


def test_paths_of_a_project_in_a_subfolder_count_from_the_top(
    root: Path, look: Look, configure: Configure
) -> None:
    (root / ".git").rename(root.parent / ".git")
    commit_all(root.parent, "The project is a folder of the repository")
    _, text = the_only(look("trainer"))
    assert text.endswith(
        "Paths count from the repository's top directory: there it is project/train."
    )
    configure(TRAIN_WORKDIR_REL="project/train")
    assert the_only(look("trainer"))[0] == "ok"


def test_each_config_that_is_not_in_the_commit_is_a_problem(root: Path, look: Look) -> None:
    (root / "train" / "new.py").write_text("")
    add_row(root, "three,new.py,1,,")
    add_row(root, "four,gone.py,1,,")
    add_row(root, "five,gone.py,2,,")
    found = look("row-configs")
    assert [status for status, _ in found] == ["problem", "problem"]
    assert found[0][1].startswith("train/new.py, the config of three, is here and not in commit")
    assert found[1][1].startswith("train/gone.py, the config of four, five, is not in commit")


def test_a_link_to_the_data_cannot_replace_a_file_of_the_repository(
    look: Look, configure: Configure
) -> None:
    configure(DATA_DIR="/data", DATA_LINK="train/default.py")
    status, text = look("trainer")[0]
    assert (status, "train/default.py is a file of commit" in text) == ("problem", True)
    configure(DATA_LINK="train/data")
    assert the_only(look("trainer"))[0] == "ok"


def test_a_repository_that_has_the_campaigns_folder_is_a_problem(root: Path, look: Look) -> None:
    (root / ".wf-trees").write_text("")
    commit_all(root, "Taken")
    status, text = look("trainer")[0]
    assert (status, ".wf-trees is in commit" in text) == ("problem", True)


def test_a_config_through_a_link_in_the_repository_is_there(root: Path, look: Look) -> None:
    (root / "train" / "configs").mkdir()
    (root / "train" / "configs" / "a.py").write_text("")
    (root / "train" / "link").symlink_to("configs")
    add_row(root, "three,link/a.py,1,,")
    commit_all(root, "A link")
    assert the_only(look("row-configs"))[0] == "ok"


def test_what_a_command_of_the_user_may_make_is_a_warning(
    root: Path, look: Look, configure: Configure
) -> None:
    add_row(root, "three,made.py,1,,")
    configure(CHECKOUT_INSTALL_CMD="pip install -e .")
    assert the_only(look("row-configs"))[0] == "problem"
    configure(CHECKOUT_POST_CMD="make configs")
    assert the_only(look("row-configs"))[0] == "warning"


def test_a_template_may_take_the_config_for_a_name(
    root: Path, look: Look, configure: Configure
) -> None:
    configure(TRAIN_COMMAND_TEMPLATE='\'"$VENV_PYTHON" train.py +experiment="$CONFIG"\'')
    add_row(root, "three,small_model,1,,")
    assert all(status != "problem" for status, _ in look("row-configs"))
    (root / "train" / "small_model").write_text("")
    assert the_only(look("row-configs"))[0] == "warning"


def test_a_template_that_starts_with_a_script_needs_that_script(
    look: Look, configure: Configure
) -> None:
    configure(TRAIN_COMMAND_TEMPLATE='\'"$VENV_PYTHON" trian.py "$CONFIG"\'')
    status, text = the_only(look("trainer"))
    assert status == "problem"
    assert text.startswith("train/trian.py (TRAIN_COMMAND_TEMPLATE) is not in commit")
    configure(TRAIN_COMMAND_TEMPLATE='\'"$VENV_PYTHON" train.py "$CONFIG"\'')
    assert the_only(look("trainer"))[0] == "ok"


def test_a_trainer_that_is_not_told_where_its_results_belong_is_a_warning(
    root: Path, look: Look, configure: Configure
) -> None:
    (root / "train" / "fixed.py").write_text("open('checkpoints/last', 'w')\n")
    (root / "train" / "told.py").write_text("import os\nos.environ['TRAIN_OUT_DIR']\n")
    commit_all(root, "Trainers")
    configure(TRAIN_COMMAND_TEMPLATE="'launch fixed.py \"$@\"'")
    status, text = the_only(look("results"))
    assert status == "warning"
    assert "nor train/fixed.py names TRAIN_OUT_DIR" in text
    for command in ('cd "$TRAIN_OUT_DIR" && launch "$OLDPWD"/fixed.py', "launch told.py"):
        configure(TRAIN_COMMAND_TEMPLATE=f"'{command}'")
        assert look("results") == []


@pytest.mark.parametrize("key", ["TRAIN_ENTRYPOINT", "TRAIN_COMMAND_TEMPLATE"])
def test_a_module_is_in_the_commit_or_perhaps_in_a_package(
    root: Path, look: Look, configure: Configure, key: str
) -> None:
    configure(**{key: "'launch -m pkg.train'" if "COMMAND" in key else "'-m pkg.train'"})
    status, text = the_only(look("trainer"))
    assert (status, f"{key}: the commit has no train/pkg/train.py" in text) == ("warning", True)
    (root / "train" / "pkg").mkdir()
    (root / "train" / "pkg" / "train.py").write_text("")
    commit_all(root, "A package")
    assert the_only(look("trainer")) == ("ok", "train/pkg/train.py is in the commit")


def test_an_installation_needs_the_file_that_it_names(
    root: Path, look: Look, configure: Configure
) -> None:
    configure(CHECKOUT_INSTALL_CMD="pip install -r requirements.txt")
    status, text = the_only(look("commands"))
    assert status == "problem"
    assert text.startswith("CHECKOUT_INSTALL_CMD uses requirements.txt, which is not in commit")
    (root / "requirements.txt").write_text("")
    commit_all(root, "Requirements")
    assert the_only(look("commands"))[0] == "ok"


@pytest.mark.parametrize(
    ("command", "lock", "remedy"),
    [
        ("uv sync --frozen", "uv.lock", "--prune torch"),
        ("cd . && uv run make", "uv.lock", "--prune torch"),
        ("poetry install -n", "poetry.lock", "--without"),
        ("uv sync --no-install-package torch", "uv.lock", ""),
        ("uv export --prune torch | uv pip install -r -", "uv.lock", ""),
        ("poetry install -n", "uv.lock", ""),
    ],
)
def test_a_torch_of_a_lock_file_is_warned_of_before_it_is_downloaded(
    root: Path, look: Look, configure: Configure, command: str, lock: str, remedy: str
) -> None:
    configure(CHECKOUT_INSTALL_CMD=f"'{command}'")
    assert look("commands") == []
    (root / lock).write_text('[[package]]\nname = "torch"\nversion = "2.15.0"\n')
    commit_all(root, "A lock file")
    found = look("commands")
    assert [status for status, _ in found] == ["warning"] * bool(remedy)
    assert all(f"{lock} has torch 2.15.0" in text and remedy in text for _, text in found)


def test_with_repo_url_here_only_what_is_checked_out_can_be_asked_for(
    root: Path, look: Look, configure: Configure
) -> None:
    first = git(root, "rev-parse", "HEAD")
    configure(EXPECT_GIT_SHA=first, CHECKOUT_BRANCH="main")
    assert the_only(look("commit")) == ("ok", "main is at that commit")
    git(root, "checkout", "-q", "-b", "later")
    (root / "train" / "more.py").write_text("")
    commit_all(root, "More")
    found = look("commit")
    assert [status for status, _ in found] == ["problem", "problem"]
    assert f"Run `git checkout {first}` here" in found[0][1]
    assert "Run `git checkout main` here" in found[1][1]
    git(root, "-c", "user.name=A", "-c", "user.email=a@b", "tag", "-a", "v1", "-m", "one")
    git(root, "update-ref", "refs/remotes/origin/theirs", "HEAD")
    for name in ("v1", "theirs", "later"):
        configure(EXPECT_GIT_SHA="", CHECKOUT_BRANCH=name)
        assert the_only(look("commit")) == ("ok", f"{name} is at that commit")
    configure(CHECKOUT_BRANCH="nowhere")
    assert "has no such branch or tag" in the_only(look("commit"))[1]
    configure(CHECKOUT_BRANCH="", CHECKOUT_PR="12")
    assert "Take CHECKOUT_PR out" in the_only(look("commit"))[1]


def test_a_pinned_commit_of_a_repository_elsewhere_is_looked_into_where_it_is_here(
    root: Path, look: Look, configure: Configure
) -> None:
    head = git(root, "rev-parse", "HEAD")
    configure(REPO_URL="https://example.invalid/repo.git", EXPECT_GIT_SHA=head)
    add_row(root, "three,gone.py,1,,")
    assert the_only(look("trainer"))[0] == "ok"
    assert the_only(look("row-configs"))[0] == "problem"
    configure(EXPECT_GIT_SHA="1" * 40)
    assert look("row-configs") == []
    assert the_only(look("repository"))[0] == "ok"


def test_changes_that_the_pod_will_not_see_are_a_warning(root: Path, look: Look) -> None:
    (root / "flows" / "sweep.csv").write_text(
        "run_id,config,seed,overrides,notes\na,default.py,1,,\n"
    )
    assert the_only(look("uncommitted"))[0] == "ok"
    (root / "train" / "train.py").write_text("print()\n")
    (root / "train" / "notes.txt").write_text("")
    found = look("uncommitted")
    assert [status for status, _ in found] == ["warning", "warning"]
    assert found[0][1].startswith("changed here and not committed: train/train.py. The pod has")
    assert found[1][1].startswith("not in git, and so not on the pod: train/notes.txt.")


def test_data_that_git_ignores_is_a_warning_unless_the_config_names_data(
    root: Path, look: Look, configure: Configure
) -> None:
    (root / ".gitignore").write_text("*.bin\n/reports/\n/.wf/\n__pycache__/\n")
    (root / "train" / "data" / "__pycache__").mkdir(parents=True)
    (root / "reports" / "data").mkdir(parents=True)
    for name in ("data/prepare.py", "data/a.bin", "a.bin", "data/__pycache__/c.pyc"):
        (root / "train" / name).touch()
    (root / "reports" / "data" / "b.bin").touch()
    commit_all(root, "Data that is prepared")
    status, text = the_only(look("uncommitted"))
    assert status == "warning"
    assert "the pod does not get them: train/data/a.bin. " in text
    configure(DATA_DIR="/mnt/data")
    assert the_only(look("uncommitted"))[0] == "ok"


def test_submodules_and_lfs_pointers_are_named(root: Path, look: Look) -> None:
    assert look("submodules") == []
    head = git(root, "rev-parse", "HEAD")
    (root / ".gitmodules").write_text('[submodule "x"]\n\tpath = third/party\n\turl = ../x\n')
    (root / ".gitattributes").write_text("*.bin filter=lfs\n")
    (root / "data.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{head},third/party")
    commit_all(root, "A submodule and a pointer")
    found = look("submodules")
    assert [status for status, _ in found] == ["warning", "warning"]
    assert "third/party" in found[0][1]
    assert "data.bin" in found[1][1]


def test_a_pinned_commit_is_looked_into_as_well(
    root: Path, configure: Configure, look: Look
) -> None:
    (root / ".gitattributes").write_text("*.bin filter=lfs\n")
    (root / "data.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    commit_all(root, "A pointer")
    configure(REPO_URL="https://example.org/r.git", EXPECT_GIT_SHA=git(root, "rev-parse", "HEAD"))
    assert "data.bin" in the_only(look("submodules"))[1]


@pytest.mark.parametrize("sweep", ["resume", "skip"])
def test_a_flow_that_checks_nothing_out_asks_nothing_of_the_commit(
    root: Path, look: Look, sweep: str
) -> None:
    shutil.rmtree(root / ".git")
    for check in ("repository", "trainer", "row-configs", "uncommitted"):
        assert look(check, sweep=sweep) == []


def test_a_look_leaves_the_repository_as_it_is(root: Path, look: Look) -> None:
    os.utime(root / "train" / "train.py")  # a plain `git status` would write its index anew
    before = (root / ".git" / "index").stat().st_mtime_ns
    look("uncommitted")
    assert (root / ".git" / "index").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("bash setup.sh", "setup.sh"),
        ("./scripts/setup.sh --all", "scripts/setup.sh"),
        ("A=1 python tools/x.py && bash y.sh", "tools/x.py"),
        ("uv pip install -r a/requirements.txt", "a/requirements.txt"),
        ("torchrun --nproc_per_node 4 train.py", "train.py"),
        ("pip install -e .", ""),
        ("cd sub && bash setup.sh", ""),
        ("python -c 'import x.py'", ""),
        ("bash $HOME/setup.sh", ""),
        ("bash ../setup.sh", ""),
        ("bash /opt/setup.sh", ""),
        ("bash 'unclosed", ""),
        ("make", ""),
        ("", ""),
    ],
)
def test_only_a_file_that_a_command_plainly_names_is_looked_for(command: str, script: str) -> None:
    assert script_of(command) == script
