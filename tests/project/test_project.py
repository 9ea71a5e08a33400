"""A project on disk: the override rule, the files that are no files, config and CSV together."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.errors import InputError
from pytest_wf.project.load import load_project
from pytest_wf.project.project import UNREADABLE, Options, Project, config_sha256_now, find_root
from tests.support.project import ENV, write_flows

CSV = "run_id,config,seed,overrides,notes\na-1,c.py,1,,\na-2,c.py,2,,\nb-1,c.py,3,,\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a right config and a right CSV."""
    return write_flows(tmp_path, CSV)


def add(root: Path, text: str) -> None:
    with (root / "flows" / "workflow.env").open("a") as f:
        f.write(text)


def load(root: Path, environ: dict[str, str] | None = None, **options: Any) -> Project:
    return load_project(root, Options(**options), environ or {})


def problems(root: Path, environ: dict[str, str] | None = None, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(root, environ, **options)
    return [str(p) for p in caught.value.problems]


def test_project_is_its_config_its_rows_and_their_digests(root: Path) -> None:
    project = load(root)
    path = root / "flows" / "workflow.env"
    assert project.config_path == path
    assert project.config_raw_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert project.config.ops_remote_repo == f"{root}/.wf/pod/repo"
    assert [row.run_id for row in project.rows] == ["a-1", "a-2", "b-1"]
    assert project.manifest is not None
    assert project.manifest.raw == CSV.encode()
    assert project.csv_path == root / "flows" / "sweep.csv"
    assert project.override_enabled is False
    assert project.teardown == "keep"


def test_loading_writes_nothing(root: Path) -> None:
    before = sorted(root.rglob("*"))
    load(root)
    assert sorted(root.rglob("*")) == before


def test_root_is_found_from_below(root: Path) -> None:
    below = root / "a" / "b"
    below.mkdir(parents=True)
    assert find_root(below) == root
    assert find_root(root) == root


def test_a_place_without_project_is_told_about_init(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wf init"):
        find_root(tmp_path)
    assert "flows/workflow.env: no such file" in problems(tmp_path)[0]


def test_problems_of_options_config_and_csv_come_together(root: Path) -> None:
    add(root, "RUN_RETRIES=many\n")
    (root / "flows" / "sweep.csv").write_text(CSV + "a-1,c.py,x,,\n")
    told = problems(root, fetch="some")
    assert [t.split(": ")[0] for t in told] == [
        "command line",
        "flows/workflow.env:6",
        "flows/sweep.csv:5",
        "flows/sweep.csv:5",
    ]


def test_overrides_are_held_against_what_the_harness_gives_before_anything_runs(
    root: Path,
) -> None:
    (root / "flows" / "sweep.csv").write_text(CSV + "c-1,c.py,4,seed=99,\nc-2,,4,,\n")
    told = problems(root)
    assert told[0].startswith('flows/sweep.csv:5: overrides="seed=99": seed is set by pytest-wf')
    assert told[1].startswith('flows/sweep.csv:6: config="": ')
    add(root, "TRAIN_COMMAND_TEMPLATE=python t.py $OVERRIDES\n")
    assert len(load(root).rows) == 5


def test_selection_keys_choose_rows_and_their_mistakes_have_lines(root: Path) -> None:
    add(root, "SWEEP_MATCH=a-*\nSWEEP_LIMIT=1\n")
    assert [row.run_id for row in load(root).rows] == ["a-1"]
    add(root, "SWEEP_START_AT=nowhere\n")
    assert problems(root)[0].startswith('flows/workflow.env:8: SWEEP_START_AT="nowhere"')


def test_another_config_is_refused_by_option_and_by_environment(root: Path) -> None:
    (root / "other.env").write_text(ENV)
    for told, door in (
        (problems(root, config=Path("other.env")), "--wf-config"),
        (problems(root, {"WORKFLOW_CONFIG": str(root / "other.env")}), "WORKFLOW_CONFIG"),
    ):
        assert len(told) == 1
        assert f"{door}=" in told[0]
        assert "WF_ALLOW_OVERRIDE=1 in flows/workflow.env" in told[0]


def test_another_config_is_used_where_the_canonical_one_allows_it(root: Path) -> None:
    add(root, "WF_ALLOW_OVERRIDE=1\n")
    (root / "other.env").write_text(ENV + "RUN_RETRIES=7\n")
    project = load(root, {"WORKFLOW_CONFIG": "other.env"})
    assert project.config.run_retries == 7
    assert project.config_path == root / "other.env"
    assert project.override_enabled is True


def test_an_override_cannot_allow_itself(root: Path) -> None:
    (root / "other.env").write_text(ENV + "WF_ALLOW_OVERRIDE=1\n")
    assert "another config is refused" in problems(root, config=Path("other.env"))[0]


def test_option_comes_before_environment(root: Path) -> None:
    add(root, "WF_ALLOW_OVERRIDE=1\n")
    (root / "one.env").write_text(ENV + "RUN_RETRIES=1\n")
    (root / "two.env").write_text(ENV + "RUN_RETRIES=2\n")
    project = load(root, {"WORKFLOW_CONFIG": "one.env"}, config=Path("two.env"))
    assert project.config.run_retries == 2


@pytest.mark.parametrize("name", ["flows/workflow.env", "./flows/../flows/workflow.env", "hard"])
def test_the_canonical_config_by_any_name_is_no_override(root: Path, name: str) -> None:
    os.link(root / "flows" / "workflow.env", root / "hard")
    project = load(root, {"WORKFLOW_CONFIG": name})
    assert project.config_path == root / "flows" / "workflow.env"


def test_a_missing_override_is_told_by_its_own_name(root: Path) -> None:
    add(root, "WF_ALLOW_OVERRIDE=1\n")
    assert problems(root, config=Path("gone.env"))[0].startswith("gone.env: no such file")


def test_config_that_is_a_directory_is_refused(root: Path) -> None:
    (root / "flows" / "workflow.env").unlink()
    (root / "flows" / "workflow.env").mkdir()
    assert "not a regular file" in problems(root)[0]


@pytest.mark.parametrize("name", ["workflow.env", "sweep.csv"])
def test_a_fifo_is_refused_and_not_waited_for(root: Path, name: str) -> None:
    (root / "flows" / name).unlink()
    os.mkfifo(root / "flows" / name)
    assert f"flows/{name}: not a regular file" in problems(root)[0]


def test_config_that_is_a_symbolic_link_is_refused(root: Path) -> None:
    real = (root / "flows" / "workflow.env").rename(root / "real.env")
    (root / "flows" / "workflow.env").symlink_to(real)
    assert "a symbolic link" in problems(root)[0]


def test_csv_may_be_a_symbolic_link(root: Path) -> None:
    real = (root / "flows" / "sweep.csv").rename(root / "real.csv")
    (root / "flows" / "sweep.csv").symlink_to(real)
    assert len(load(root).rows) == 3


def test_a_file_that_cannot_be_read_is_told_with_the_reason(root: Path) -> None:
    loop = root / "flows" / "sweep.csv"
    loop.unlink()
    loop.symlink_to(loop)
    told = problems(root)[0]
    assert told.startswith("flows/sweep.csv: cannot be read: ")
    assert "permissions" in told


def test_a_missing_csv_is_a_problem_unless_the_sweep_is_skipped(root: Path) -> None:
    (root / "flows" / "sweep.csv").unlink()
    assert problems(root)[0].startswith("flows/sweep.csv: no such file")
    project = load(root, sweep="skip")
    assert project.manifest is None
    assert project.rows == ()


def test_a_skipped_sweep_still_shows_its_rows(root: Path) -> None:
    assert len(load(root, sweep="skip").rows) == 3


def test_csv_option_comes_before_the_config(root: Path) -> None:
    (root / "two.csv").write_text("\n".join(CSV.splitlines()[:2]))
    assert len(load(root, csv=Path("two.csv")).rows) == 1
    text = ENV.replace("SWEEP_CSV=flows/sweep.csv\n", "")
    (root / "flows" / "workflow.env").write_text(text)
    assert len(load(root, csv=root / "two.csv").rows) == 1
    assert "SWEEP_CSV: required" in problems(root)[0]
    project = load(root, sweep="skip")
    assert project.csv_path is None


def test_a_target_is_needed_where_none_may_be_rented(root: Path) -> None:
    text = ENV.replace("OPS_DEFAULT_HOST=local\n", "")
    (root / "flows" / "workflow.env").write_text(text)
    assert load(root).config.values["WF_POD_ROOT"] == "/mnt"
    assert "no target is set" in problems(root, provision="skip")[0]


@pytest.mark.parametrize(
    "options", [{"wait": True}, {"sweep": "skip"}, {"wait": True, "sweep": "resume"}]
)
def test_delete_is_legal_where_the_sweep_is_awaited(root: Path, options: dict[str, Any]) -> None:
    assert load(root, None, teardown="delete", **options).teardown == "delete"


@pytest.mark.parametrize("sweep", ["start", "resume"])
def test_delete_of_what_is_not_awaited_is_refused(root: Path, sweep: str) -> None:
    told = problems(root, teardown="delete", sweep=sweep)
    assert told[0].startswith('command line: --wf-teardown="delete": deletes a pod without')
    assert "--wf-wait=true" in told[0]
    add(root, "WF_DELETE_UNFETCHED=1\n")
    assert load(root, teardown="delete", sweep=sweep).teardown == "delete"


def test_delete_by_default_is_told_at_its_line(root: Path) -> None:
    add(root, "WF_DEFAULT_TEARDOWN=delete\n")
    assert problems(root)[0].startswith('flows/workflow.env:6: WF_DEFAULT_TEARDOWN="delete"')
    assert load(root, teardown="keep").teardown == "keep"
    assert load(root, wait=True).teardown == "delete"


@pytest.mark.parametrize(
    ("lines", "teardown", "fetched"),
    [
        ("", "keep", False),
        ("", "delete", True),
        ("WF_TEARDOWN_ON_FAILURE=delete\n", "keep", True),
        ("FETCH_INCLUDE_CHECKPOINTS=1\n", "keep", True),
        ("FETCH_INCLUDE_CHECKPOINTS=0\nWF_DELETE_CHECKPOINTS=1\n", "delete", False),
    ],
)
def test_checkpoints_are_fetched_where_the_flow_may_delete_the_pod_or_the_config_says_so(
    root: Path, lines: str, teardown: str, fetched: bool
) -> None:
    add(root, lines)
    assert load(root, wait=True, teardown=teardown).fetches_checkpoints is fetched


@pytest.mark.parametrize("policy", ["WF_DEFAULT_TEARDOWN", "WF_TEARDOWN_ON_FAILURE"])
def test_a_flow_that_may_delete_checkpoints_that_it_never_fetches_is_refused(
    root: Path, policy: str
) -> None:
    add(root, f"{policy}=delete\nFETCH_INCLUDE_CHECKPOINTS=0\n")
    (told,) = problems(root, wait=True)
    assert told.startswith('flows/workflow.env:7: FETCH_INCLUDE_CHECKPOINTS="0": leaves')
    assert "WF_DELETE_CHECKPOINTS=1" in told
    add(root, "WF_DELETE_UNFETCHED=1\n")
    assert load(root, wait=True)


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("fetch", "some", "not a legal value"),
        ("fetch", "run:", "not a run id"),
        ("fetch", "run:../evil", "not a run id"),
        ("provision", "maybe", "not a legal value"),
        ("sweep", "again", "not a legal value"),
        ("teardown", "burn", "not a legal value"),
    ],
)
def test_a_bad_option_names_the_legal_values(
    root: Path, option: str, value: str, reason: str
) -> None:
    told = problems(root, None, **{option: value})
    assert told[0].startswith(f'command line: --wf-{option}="{value}": {reason}')


def test_fetch_of_one_run_names_it(root: Path) -> None:
    assert load(root, fetch="run:a-1").options.fetch_run == "a-1"
    assert load(root, fetch="all").options.fetch_run is None


def test_a_project_whose_path_cannot_be_shown_is_refused(root: Path) -> None:
    odd = root / "a\nb"
    odd.mkdir()
    (root / "flows").rename(odd / "flows")
    told = problems(odd)
    assert "cannot be shown" in told[0]
    assert all(t.isprintable() for t in told)


def test_digest_follows_the_file_and_says_when_it_is_gone(root: Path) -> None:
    project = load(root)
    assert config_sha256_now(project) == project.config_raw_sha256
    add(root, "# edited\n")
    assert config_sha256_now(project) not in (project.config_raw_sha256, UNREADABLE)
    project.config_path.unlink()
    assert config_sha256_now(project) == UNREADABLE
