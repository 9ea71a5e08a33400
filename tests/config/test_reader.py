"""The config reader and model: what a right file means."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_wf.cli import configuration
from pytest_wf.cli.commands.keys import example
from pytest_wf.config import keys, reader
from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.keys import Config, Key
from pytest_wf.config.types import canonical
from pytest_wf.errors import InputError
from pytest_wf.flow.extensions import installed
from pytest_wf.wire import podenv
from tests.support import ROOT

KEYS = installed().config_keys()
MINIMAL = """\
REPO_URL=https://example.org/lab/train.git
OPS_DEFAULT_HOST=local
OPS_REMOTE_REPO=${WF_POD_ROOT}/repo
OPS_REMOTE_OUTPUTS_DIR=${WF_POD_ROOT}/outputs
SWEEP_CSV=flows/sweep.csv
"""


def load(text: str | bytes = "", *, needs_csv: bool = True, needs_target: bool = True) -> Config:
    raw = (MINIMAL + text).encode() if isinstance(text, str) else text
    return reader.load(
        read_entries(raw, "flows/workflow.env"),
        project_dir="/home/me/project",
        keys=KEYS,
        needs_csv=needs_csv,
        needs_target=needs_target,
    )


def problems(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(text)
    return [str(p) for p in caught.value.problems]


def test_five_keys_are_enough() -> None:
    loaded = load()
    assert loaded.repo_url == "https://example.org/lab/train.git"
    assert loaded.run_retries == 1
    assert loaded.run_retry_on == ("nccl", "preempted", "stalled")
    assert loaded.checkout_pr is None
    assert loaded.require_gpu_torch is True
    assert loaded.ssh_host_key_policy == "strict"


def test_layout_defaults_stand_on_the_pod_root() -> None:
    loaded = load()
    root = "/home/me/project/.wf/pod"
    assert loaded.values["WF_POD_ROOT"] == root
    assert loaded.remote_env_path == f"{root}/project.env"
    assert loaded.wf_state_file == f"{root}/outputs/_control/workflow_state.json"
    assert loaded.run_out_local_root == f"{root}/repo/examples/nanogpt/out"
    assert loaded.data_link == "examples/nanogpt/data/fineweb10B"


@pytest.mark.parametrize(
    ("target", "root"),
    [
        ("OPS_DEFAULT_HOST=gpu", "/mnt"),
        ("OPS_DEFAULT_HOST=root@10.0.0.7:2222", "/mnt"),
        ("OPS_DEFAULT_HOST=local\nLIUM_TARGET=brave-fox-a1", "/mnt"),
        ("OPS_DEFAULT_HOST=local", "/home/me/project/.wf/pod"),
    ],
)
def test_pod_root_follows_the_target(target: str, root: str) -> None:
    text = MINIMAL.replace("OPS_DEFAULT_HOST=local", target)
    loaded = load(text.encode())
    assert loaded.values["WF_POD_ROOT"] == root
    assert loaded.is_local is (root != "/mnt")


@pytest.mark.parametrize("target", ["gpu", "local"])
def test_one_key_moves_every_path_that_stands_on_the_pod_root(target: str) -> None:
    text = MINIMAL.replace("OPS_DEFAULT_HOST=local", f"OPS_DEFAULT_HOST={target}")
    loaded = load(f"{text}WF_POD_ROOT=/home/ada/wf\n".encode())
    paths = [value for value in loaded.values.values() if value.startswith("/")]
    assert len(paths) >= 6
    assert all(f"{path}/".startswith("/home/ada/wf/") for path in paths)


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("OPS_DEFAULT_HOST=gpu", ("OPS_DEFAULT_HOST", "gpu", "")),
        ("OPS_DEFAULT_HOST=gpu\nLIUM_TARGET=brave-fox-a1", ("LIUM_TARGET", "brave-fox-a1", "lium")),
        ("", ("", "", "")),
    ],
)
def test_a_target_has_its_key_and_its_provider(target: str, found: tuple[str, str, str]) -> None:
    text = MINIMAL.replace("OPS_DEFAULT_HOST=local", target)
    loaded = load(text.encode(), needs_target=False)
    assert (loaded.target_key, loaded.target, loaded.target_provider) == found


def test_without_a_target_the_pod_is_a_rented_one() -> None:
    text = MINIMAL.replace("OPS_DEFAULT_HOST=local\n", "")
    assert load(text.encode(), needs_target=False).values["WF_POD_ROOT"] == "/mnt"
    with pytest.raises(InputError, match="no target is set"):
        load(text.encode())


def test_csv_is_required_unless_the_sweep_is_skipped() -> None:
    text = MINIMAL.replace("SWEEP_CSV=flows/sweep.csv\n", "")
    assert load(text.encode(), needs_csv=False).sweep_csv == ""
    with pytest.raises(InputError, match="SWEEP_CSV: required"):
        load(text.encode())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("plain", "plain"),
        ("  plain  ", "plain"),
        ("two words # a comment", "two words"),
        ("a#b", "a#b"),
        ("#b", "#b"),
        (" # nothing but a comment", ""),
        ("'single # quoted'", "single # quoted"),
        ("'${REPO_URL} $HOME \\n'  # comment", "${REPO_URL} $HOME \\n"),
        ('"double # quoted"', "double # quoted"),
        (r'"a \"b\" \\ \$c \d"', r'a "b" \ $c \d'),
        ('"${WF_TMUX_SESSION}-x"', "wf-x"),
        ("${WF_TMUX_SESSION}-${SWEEP_TMUX_SESSION}", "wf-sweeps"),
        (r'"\${WF_TMUX_SESSION}"', "${WF_TMUX_SESSION}"),
        ("costs 5$ or $ 5", "costs 5$ or $ 5"),
        ("a=b=c", "a=b=c"),
        ("größe", "größe"),
        ("''", ""),
        ("", ""),
    ],
)
def test_value_is_read_as_written(written: str, read: str) -> None:
    assert load(f"WANDB_GROUP={written}\n").wandb_group == read


@pytest.mark.parametrize(
    "line", ["export WANDB_GROUP=a", "  WANDB_GROUP=a", "WANDB_GROUP = a", "export\tWANDB_GROUP=a"]
)
def test_key_may_wear_export_and_blanks(line: str) -> None:
    assert load(line).wandb_group == "a"


def test_bom_and_crlf_and_missing_last_newline_are_accepted() -> None:
    raw = b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode() + b"RUN_RETRIES=3"
    loaded = load(raw)
    assert loaded.repo_url.endswith(".git")
    assert loaded.run_retries == 3


@pytest.mark.fault("X1")
@pytest.mark.parametrize("quote", ["", '"', "'"])
@pytest.mark.parametrize(
    "key", ["CHECKOUT_INSTALL_CMD", "CHECKOUT_POST_CMD", "TRAIN_COMMAND_TEMPLATE"]
)
def test_commands_are_text_that_only_the_pod_expands(key: str, quote: str) -> None:
    command = "cd ${HERE} && $(which python) `id` $VENV_PYTHON train.py | tee log"
    assert load(f"{key}={quote}{command}{quote}").values[key] == command


def test_unquoted_command_may_have_quotes_in_it() -> None:
    assert load("CHECKOUT_INSTALL_CMD=pip install -e '.[dev]'").checkout_install_cmd.endswith("]'")


def test_empty_value_is_the_default_except_where_it_means_none() -> None:
    loaded = load("RUN_RETRIES=\nRUN_RETRY_ON=\nDATA_LINK=\nHF_HOME=''\nWF_TMUX_SESSION=\"\"\n")
    assert loaded.run_retries == 1
    assert loaded.wf_tmux_session == "wf"
    assert loaded.run_retry_on == ()
    assert loaded.data_link == ""
    assert loaded.hf_home == ""


def test_environment_is_never_read_into_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_ROOT", "/from/the/environment")
    monkeypatch.setenv("RUN_RETRIES", "7")
    assert load().run_retries == 1
    assert "not a config key" in problems("DATA_DIR=${LAB_ROOT}/x")[0]


def test_values_are_canonical() -> None:
    loaded = load(
        "RUN_RETRIES=007\nWF_SECRET_ENV='  HF_TOKEN   WANDB_API_KEY '\nWF_MAX_USD_PER_HOUR=2.50\n"
        f"EXPECT_GIT_SHA={'AB' * 20}\nSWEEP_FORCE=1\n"
    )
    assert loaded.values["RUN_RETRIES"] == "7"
    assert loaded.values["WF_SECRET_ENV"] == "HF_TOKEN WANDB_API_KEY"
    assert loaded.wf_secret_env == ("HF_TOKEN", "WANDB_API_KEY")
    assert loaded.wf_max_usd_per_hour == 2.5
    assert loaded.expect_git_sha == "ab" * 20
    assert loaded.values["SWEEP_FORCE"] == "1"
    assert loaded.values["CHECKOUT_PR"] == ""


def test_source_is_the_line_that_sets_a_key() -> None:
    loaded = load("# comment\n\nRUN_RETRIES=2\n")
    assert loaded.source("RUN_RETRIES") == 8
    assert loaded.source("RUN_TIMEOUT_SECS") is None


def test_pod_reads_back_what_is_rendered() -> None:
    loaded = load("WANDB_GROUP='it is \"quoted\"'\nTRAIN_COMMAND_TEMPLATE=echo 'a' \"$B\"\n")
    assert podenv.parse(podenv.render(loaded.values)) == loaded.values


def test_values_reload_to_the_same_config() -> None:
    loaded = load("WF_SECRET_ENV='A B'\nLIUM_TTL=90m\n")
    given = {**loaded.values, **loaded.provided}
    lines = [f"{k}='{canonical(v)}'" for k, v in given.items()]
    assert load("\n".join(lines).encode()) == loaded


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_default_of_every_key_is_legal(key: keys.Key) -> None:
    loaded = load()
    value = loaded.provided[key.name] if key.provider else getattr(loaded, key.name.lower())
    assert canonical(key.kind.parse(canonical(value))) == canonical(value)


def test_every_attribute_is_a_documented_key_of_a_known_type() -> None:
    names = [key.name for key in KEYS]
    assert len(names) == len(set(names))
    core = {key.name.lower() for key in KEYS if not key.provider}
    assert set(Config.__annotations__) == core | {"values", "provided", "lines", "table"}
    assert all(key.doc.endswith(".") and key.section and key.phase for key in KEYS)


def test_no_key_stands_in_the_module_but_in_the_table() -> None:
    tree = ast.parse(inspect.getsource(keys))
    table = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Config")
    fields = [n for n in table.body if isinstance(n, ast.AnnAssign)]
    assert len(fields) == len(keys.KEYS) + 4


@pytest.mark.parametrize(
    "host",
    [
        "gpu",
        "gpu.example.org",
        "user@gpu",
        "gpu:22",
        "root@10.0.0.7:65535",
        "[2001:db8::1]:22",
        "root@[fe80::1%eth0]:22",
        "[::1]",
        "local",
    ],
)
def test_hosts_in_all_their_forms(host: str) -> None:
    text = MINIMAL.replace("OPS_DEFAULT_HOST=local", f"OPS_DEFAULT_HOST={host}")
    assert load(text.encode()).ops_default_host == host


@pytest.mark.parametrize(
    "url",
    [
        ".",
        "/srv/git/train.git",
        "/srv/git repos/train",
        "file:///srv/git/train.git",
        "https://github.com/lab/train",
        "ssh://git@host:2222/lab/train.git",
        "git@github.com:lab/train.git",
        "github:lab/train",
        "git://host/train.git",
        "${WF_POD_ROOT}/origin.git",
    ],
)
def test_repository_addresses_in_all_their_forms(url: str) -> None:
    text = MINIMAL.replace("https://example.org/lab/train.git", url)
    assert load(text.encode()).repo_url == url.replace(
        "${WF_POD_ROOT}", load().values["WF_POD_ROOT"]
    )


@pytest.mark.parametrize(
    "line",
    [
        "CHECKOUT_BRANCH=feature/x-1.2",
        "CHECKOUT_PR=12",
        "LIUM_EXECUTOR_ID=1f0e-22",
        "LIUM_TTL=2h",
        "LIUM_VOLUME=new:name=data,desc=shards",
        "REMOTE_PYTHON_BIN=/opt/conda/bin/python3.11",
        "APT_PACKAGES=git libc6:amd64 tmux=3.3a-3",
        "WF_EXPECT='val_loss<3.3; tokens_per_s >= 0.95*baseline;'",
        "CUDA_VISIBLE_DEVICES=0,1,GPU-8f2b",
        "SSH_HOST_FINGERPRINT=SHA256:uNiVztksCsDhcc0u9e8BrrQXVUpKZIDTMczCvj3tD2s",
        "SSH_IDENTITY_FILE=~/.ssh/id_ed25519",
        "NPROC_PER_NODE=8",
        "SWEEP_START_AT=mhc-s1",
        "TRAIN_WORKDIR_REL=.",
        "CHECKOUT_INSTALL_CMD=pip install git+https://${GH_TOKEN}@github.com/lab/x",
        "TRAIN_COMMAND_TEMPLATE=python train.py pad_token=7 API_KEY=$API_KEY",
    ],
)
def test_less_common_values_are_legal(line: str) -> None:
    key, _, value = line.partition("=")
    loaded = load(line)
    assert {**loaded.values, **loaded.provided}[key] == value.strip("'")


def test_config_is_frozen() -> None:
    with pytest.raises(AttributeError):
        load().run_retries = 3  # type: ignore[misc]


def test_all_problems_are_told_at_once_in_the_order_of_their_lines() -> None:
    told = problems("RUN_RETRIES=many\nRUN_RETRIE=1\nDATA_DIR=data\nHF_HOME='x\n")
    assert [t.split(": ")[0] for t in told] == [f"flows/workflow.env:{n}" for n in range(6, 10)]


def test_a_wrong_value_is_shown_unless_it_may_be_a_secret() -> None:
    assert '"-oX=1"' in problems("APT_PACKAGES=-oX=1")[0]
    assert "hunter2" not in problems("WF_SECRET_ENV=HF_TOKEN=hunter2")[0]


def test_a_wrong_value_is_told_once_and_not_for_all_that_stands_on_it() -> None:
    raw = MINIMAL.replace("${WF_POD_ROOT}/outputs", "outputs").encode()
    with pytest.raises(InputError) as caught:
        load(raw)
    assert [p.key for p in caught.value.problems] == ["OPS_REMOTE_OUTPUTS_DIR"]


def test_a_key_with_a_broken_line_is_not_called_missing() -> None:
    with pytest.raises(InputError) as caught:
        load(MINIMAL.replace("SWEEP_CSV=", "SWEEP_CSV='").encode())
    assert len(caught.value.problems) == 1


def test_a_file_that_is_wrong_everywhere_is_told_so_briefly() -> None:
    told = problems("".join(f"NO_SUCH_{n}=1\n" for n in range(2000)))
    assert len(told) == 201
    assert "1800 more problems are not shown" in told[-1]


def test_a_cycle_names_its_way_round() -> None:
    told = problems(
        "DATA_DIR=${HF_HOME}/a\nHF_HOME=${BOOTSTRAP_SCRIPT}\nBOOTSTRAP_SCRIPT=${DATA_DIR}"
    )
    assert len(told) == 1
    assert "DATA_DIR -> HF_HOME -> BOOTSTRAP_SCRIPT -> DATA_DIR" in told[0]


def test_the_target_cannot_stand_on_the_pod_root() -> None:
    raw = MINIMAL.replace("OPS_DEFAULT_HOST=local", "OPS_DEFAULT_HOST=${WF_POD_ROOT}").encode()
    with pytest.raises(InputError, match="refers to itself: WF_POD_ROOT -> OPS_DEF"):
        load(raw)


@pytest.mark.parametrize("key", installed().config_keys(), ids=lambda key: key.name)
def test_each_key_has_an_example_that_the_reader_takes(key: Key) -> None:
    found = read_entries(example(key).encode(), "example", [key.name])
    assert not len(found.problems)
    assert found.entries[key.name].text == (key.example or key.default) != ""
    if key.example:
        key.kind.parse(key.example)


def test_configuration_page_is_the_one_that_the_table_gives() -> None:
    page = ROOT / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == configuration.configuration()


def test_configuration_page_comes_from_the_command_that_it_names() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_wf.cli.configuration"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert done.stdout == configuration.configuration()


def test_configuration_page_has_every_key_once() -> None:
    page = configuration.configuration()
    assert all(page.count(f"| `{key.name}` |") == 1 for key in KEYS)


def test_core_reads_a_config_without_touching_the_machine() -> None:
    source = "".join(
        Path(inspect.getfile(module)).read_text(encoding="utf-8") for module in (reader, keys)
    )
    assert not any(f"import {name}" in source for name in ("os", "socket", "subprocess", "time"))


def test_laws_of_another_version_are_refused_before_anything_runs() -> None:
    with pytest.raises(InputError, match="this release enforces version 1"):
        load("WF_CONSTITUTION_VERSION=2\n")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "train"),
        ("WF_PROJECT=moe\n", "moe"),
        ("REPO_URL=.\n", "project"),
        ("REPO_URL=git@example.org:lab/Big_Model.git\n", "Big_Model"),
        ("REPO_URL=/srv/git/a+b.git/\n", "a-b"),
    ],
)
def test_a_project_is_called_as_its_repository_or_its_folder(text: str, name: str) -> None:
    minimal = MINIMAL.replace(MINIMAL.splitlines()[0] + "\n", "") if "REPO_URL" in text else MINIMAL
    loaded = load((minimal + text).encode())
    assert loaded.wf_project == loaded.values["WF_PROJECT"] == name
