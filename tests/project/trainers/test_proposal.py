"""What `wf init` proposes for repositories of each family, and for those that it cannot read."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest

from pytest_wf.errors import InputError
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options
from pytest_wf.project.scaffold import proposed, scaffold
from pytest_wf.project.trainers.data_sets import DataSet, named_in
from pytest_wf.project.trainers.families import BY_NAME
from pytest_wf.project.trainers.finder import propose
from pytest_wf.project.trainers.proposal import Proposal
from pytest_wf.project.trainers.repository import Repository
from tests.project.trainers.sources import ARGPARSE, SOURCES, Source
from tests.support import ROOT


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def look(root: Path, files: dict[str, str], trainer: str = "") -> Proposal:
    return propose(Repository(write(root, files)), trainer)


@pytest.fixture(params=SOURCES.values(), ids=list(SOURCES))
def source(request: pytest.FixtureRequest) -> Source:
    """Each of the repositories."""
    found = request.param
    assert isinstance(found, Source)
    return found


def test_each_family_is_recognised_with_its_command(source: Source, tmp_path: Path) -> None:
    found = look(tmp_path, source.files)
    assert (found.trainer, found.launcher) == (source.trainer, source.launcher)
    assert found.template == f'launch {source.command} "$@"'
    assert (found.workdir, found.install) == (source.workdir, source.install)
    for words in source.notes:
        assert any(words in note for note in found.notes), found.notes


def test_the_first_sweep_varies_what_the_script_takes(source: Source, tmp_path: Path) -> None:
    rows = [*csv.DictReader(io.StringIO(look(tmp_path, source.files).sweep))]
    assert tuple(f"{r.get('config', '')}|{r['overrides']}" for r in rows) == source.rows
    takes_seed = "$SEED" in source.command
    assert all(("-s" + r["seed"] in r["run_id"]) is takes_seed for r in rows)


def test_the_config_names_the_key_of_the_python_that_has_torch(tmp_path: Path) -> None:
    scaffold(tmp_path, proposed(tmp_path))
    assert "# REMOTE_PYTHON_BIN=python3\n" in (tmp_path / "flows" / "workflow.env").read_text()


def test_what_is_written_is_a_project(source: Source, tmp_path: Path) -> None:
    root = write(tmp_path, source.files)
    scaffold(root, proposed(root))
    project = load_project(root, Options(), {})
    assert project.config.train_command_template == f'launch {source.command} "$@"'
    assert len(project.rows) == len(source.rows)


@pytest.mark.parametrize(
    ("example", "trainer"),
    [
        ("hf", "hf"),
        ("lightning", "lightning"),
        ("hydra", "hydra"),
        ("accelerate", "accelerate"),
        ("argparse", "argparse"),
        ("bigram", "keyvalue"),
        ("charlm", "keyvalue"),
    ],
)
def test_the_trainer_of_each_example_is_found(example: str, trainer: str) -> None:
    found = propose(Repository(ROOT / "examples" / example))
    assert (found.trainer, found.workdir) == (trainer, f"examples/{example}")
    assert "not found" not in found.reason
    assert "CHANGE_ME" not in found.template


@pytest.mark.parametrize("trainer", BY_NAME)
def test_a_family_that_is_asked_for_has_a_command_without_a_script(
    trainer: str, tmp_path: Path
) -> None:
    scaffold(tmp_path, proposed(tmp_path, trainer))
    project = load_project(tmp_path, Options(), {})
    assert project.config.train_command_template.startswith("launch train.py ")
    assert '"$TRAIN_OUT_DIR"' in project.config.train_command_template


def test_a_family_that_is_asked_for_comes_before_what_is_found(tmp_path: Path) -> None:
    found = look(tmp_path, {"train.py": ARGPARSE}, trainer="accelerate")
    assert found.launcher == "accelerate"
    assert found.template.startswith('launch train.py --work-dir="$TRAIN_OUT_DIR"')
    assert "asked for; train.py calls add_argument, which is a sign of argparse" in found.reason


def test_a_gpu_here_is_required_and_launched_on(tmp_path: Path) -> None:
    script = ARGPARSE + "import os; os.environ['LOCAL_RANK']\n"
    repository = Repository(write(tmp_path, {"train.py": script}))
    found = propose(repository, has_gpu=True)
    assert (found.launcher, found.requires_gpu) == ("torchrun", True)
    assert propose(repository).launcher == "python"


def test_a_folder_of_a_repository_counts_from_its_top(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path / "my examples" / "one", {"train.py": ARGPARSE, "requirements.txt": ""})
    found = propose(Repository(tmp_path / "my examples" / "one"))
    assert found.workdir == "my examples/one"
    assert found.install == 'pip install -r "my examples/one/requirements.txt"'


def test_a_flag_resumes_from_the_folder_for_results(tmp_path: Path) -> None:
    flag = "parser.add_argument('--resume', action='store_true')\nargs ="
    found = look(tmp_path, {"train.py": ARGPARSE.replace("args =", flag)})
    assert found.template.endswith('${RESUME_FROM:+--resume} "$@"')


def test_further_folders_for_results_are_below_the_first(tmp_path: Path) -> None:
    more = "parser.add_argument('--log-dir', default='./logs')\n"
    more += "parser.add_argument('--ckpt-dir', default='ckpts')\n"
    found = look(tmp_path, {"train.py": ARGPARSE.replace("args =", more + "args =")})
    assert '--work-dir="$TRAIN_OUT_DIR" --ckpt-dir="$TRAIN_OUT_DIR"/ckpts' in found.template


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "there is no Python file"),
        ({"a.ipynb": "{}"}, "there are notebooks and no script"),
        ({"old.py": "print 'python 2'"}, "no script here has arguments"),
        ({"train.py": "print 'python 2'"}, "Python 3."),
        ({"train.py": "x = 1"}, "no script here has arguments"),
        ({"train_gpt.py": "loss.backward()"}, "train_gpt.py may train, and has no arguments"),
        ({"train.py": "\x00"}, "Python 3."),
        ({"train.py": "# coding: nonsense"}, "Python 3."),
        ({"train.py": "(" * 5000 + ")" * 5000}, "Python 3."),
        ({"train.py": ARGPARSE + "#" * 600_000}, "Python 3."),
        ({"run_a.py": ARGPARSE, "run_b.py": ARGPARSE}, "several scripts are as likely"),
        (
            {"a/train.py": ARGPARSE, "a/README.md": "", "b/main.py": ARGPARSE, "b/README.md": ""},
            "several scripts are as likely: a/train.py (argparse), b/main.py (argparse)",
        ),
    ],
)
def test_where_the_files_do_not_say_it_the_general_command_is_written(
    files: dict[str, str], why: str, tmp_path: Path
) -> None:
    found = look(tmp_path, files)
    assert (found.trainer, found.template, found.sweep) == ("", "", "")
    assert found.reason.startswith(f"not sure: {why}")
    scaffold(tmp_path, found)
    assert load_project(tmp_path, Options(), {}).config.train_entrypoint == "train.py"


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    root = write(tmp_path / "project", {"notes.txt": ""})
    write(tmp_path / "elsewhere", {"train.py": ARGPARSE})
    (root / "train.py").symlink_to("../elsewhere/train.py")
    (root / "more").symlink_to("../elsewhere", target_is_directory=True)
    os.mkfifo(root / "main.py")
    assert propose(Repository(root)).trainer == ""


def test_names_of_files_and_options_add_no_line_to_the_config(tmp_path: Path) -> None:
    odd = ARGPARSE.replace("--epochs", "--e\\nWF_FSM_ENFORCE=0").replace("'out'", "'$(id)'")
    files = {"run_$(id) 'x'.py": odd, "a\nWF_FSM_ENFORCE=0/run_b.py": ARGPARSE}
    root = write(tmp_path, files)
    scaffold(root, proposed(root))
    config = load_project(root, Options(), {}).config
    assert config.wf_fsm_enforce
    assert config.train_command_template.startswith("launch \"run_\\$(id) 'x'.py\" --work-dir")


def test_a_script_can_be_named(tmp_path: Path) -> None:
    root = write(tmp_path, {"run_a.py": ARGPARSE, "run_b.py": ARGPARSE})
    assert proposed(root, script="run_b.py").template.startswith("launch run_b.py --work-dir")


def test_a_named_script_without_arguments_gets_the_rows_overrides(tmp_path: Path) -> None:
    root = write(tmp_path, {"train_gpt.py": "loss.backward()"})
    found = proposed(root, script="train_gpt.py")
    assert found.template == 'launch train_gpt.py "$@"'
    assert "train_gpt.py has no known parser" in found.reason


@pytest.mark.parametrize("script", ["gone.py", "../x.py", "notes.txt"])
def test_a_script_that_is_not_there_is_refused(script: str, tmp_path: Path) -> None:
    root = write(tmp_path / "project", {"notes.txt": "no python (", "../x.py": ARGPARSE})
    with pytest.raises(InputError, match=r"--script=.*not a script that Python 3"):
        proposed(root, script=script)


def test_a_family_that_there_is_not_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a family of trainers\. Did you mean lightning\?"):
        proposed(tmp_path, "lightnin")


def test_a_folder_of_many_files_hides_no_script(tmp_path: Path) -> None:
    images = {f"images/{n}.png": "" for n in range(6000)}
    assert look(tmp_path, {**images, "src/train.py": ARGPARSE}).entrypoint == "src/train.py"


def test_a_package_that_can_be_run_is_a_trainer(tmp_path: Path) -> None:
    package = {"own/__init__.py": "", "own/__main__.py": f"from . import model\n{ARGPARSE}"}
    assert look(tmp_path, {**package, "own/model.py": ""}).entrypoint == "-m own"


NANOGPT = """
dataset = 'openwebtext'
learning_rate = 6e-4
device = 'cuda'
compile = True
exec(open('configurator.py').read())
loss.backward()
"""
NANOGPT_FILES = {
    "train.py": NANOGPT,
    "config/train_a.py": "",
    "config/train_b.py": "dataset = 'text'\nlearning_rate = 1e-3\n",
    "data/openwebtext/prepare.py": "",
    "data/openwebtext/readme.md": "",
    "data/text/prepare.py": "",
}


def rows_of(found: Proposal) -> list[str]:
    """The rows of the first sweep, as `config|overrides`."""
    rows = csv.DictReader(io.StringIO(found.sweep))
    return [f"{row['config']}|{row['overrides']}" for row in rows]


def test_a_config_whose_data_is_there_comes_before_one_whose_data_is_not(tmp_path: Path) -> None:
    found = look(tmp_path, {**NANOGPT_FILES, "data/text/train.bin": "1"})
    assert rows_of(found)[0] == "config/train_b.py|"
    assert found.reason.endswith("config config/train_b.py (its data is in data/text)")
    assert found.data == "data/text"
    assert any(note.startswith("No data in data/openwebtext: prepare it") for note in found.notes)


def test_without_any_data_the_configs_keep_their_order(tmp_path: Path) -> None:
    found = look(tmp_path, NANOGPT_FILES)
    assert rows_of(found)[0] == "config/train_a.py|"
    assert found.data == ""
    assert any(note.startswith("No data in data/openwebtext, data/text:") for note in found.notes)


def test_a_config_whose_data_is_elsewhere_keeps_its_place(tmp_path: Path) -> None:
    elsewhere = {"config/train_a.py": "dataset = 'wikitext'\n", "data/text/train.bin": "1"}
    found = look(tmp_path, {**NANOGPT_FILES, **elsewhere})
    assert rows_of(found)[0] == "config/train_a.py|"
    assert "its data" not in found.reason


@pytest.mark.parametrize("value", ["..", "../data/text", "/data/text", "$(id)", "train", ""])
def test_only_folders_of_data_in_the_project_are_data_sets(value: str, tmp_path: Path) -> None:
    root = write(tmp_path / "project", {"train/model.py": "", "data/text/train.bin": ""})
    write(tmp_path, {"data/text/train.bin": ""})
    assert named_in(Repository(root), "", {"dataset": value}) is None


@pytest.mark.parametrize("value", ["text", "'text'", "data/text", "./data/text/"])
def test_a_data_set_is_a_path_or_a_name_in_the_folder_of_data(value: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"data/text/raw/a.txt": "", "data/text/get.sh": ""})
    assert named_in(Repository(root), "", {"data.dataset": value}) == DataSet("data/text", True)


def test_the_first_sweep_halves_the_learning_rate_of_its_config(tmp_path: Path) -> None:
    found = look(tmp_path, {**NANOGPT_FILES, "data/text/train.bin": "1"})
    assert rows_of(found)[1] == "config/train_b.py|--learning_rate=0.0005"


def test_without_a_gpu_a_note_has_the_arguments_that_train_on_the_cpu(tmp_path: Path) -> None:
    repository = Repository(write(tmp_path, NANOGPT_FILES))
    words = "add --device=cpu --compile=False to TRAIN_COMMAND_TEMPLATE"
    assert any(words in note for note in propose(repository).notes)
    assert not any("cpu" in note for note in propose(repository, has_gpu=True).notes)


def test_a_config_that_no_row_has_is_not_in_the_reason() -> None:
    found = propose(Repository(ROOT / "examples" / "hydra"))
    assert found.reason.endswith("seed seed")
    assert "For the column config: wide." in found.notes


COMMANDS = """import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int)
commands = parser.add_subparsers()
train = commands.add_parser("train")
train.add_argument("--out-dir", required=True)
test = commands.add_parser("test")
test.add_argument("--checkpoint", required=True)
parser.parse_args()
loss.backward()
"""
TYPER_COMMANDS = """import typer
app = typer.Typer()
@app.command()
def evaluate(checkpoint: str): ...
@app.command()
def train(out_dir: str = "out", seed: int = 1): loss.backward()
app()
"""


@pytest.mark.parametrize("source", [COMMANDS, TYPER_COMMANDS])
def test_of_a_script_with_commands_the_one_that_trains_is_called(
    source: str, tmp_path: Path
) -> None:
    found = look(tmp_path, {"main.py": source})
    before, _, behind = found.template.partition(" train ")
    assert before == "launch main.py" + (' --seed="$SEED"' if "argparse" in source else "")
    assert behind.startswith("--out-dir=")
    assert "CHANGE_ME" not in found.template and "checkpoint" not in found.template
