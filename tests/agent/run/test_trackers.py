"""What trackers get from the environment, by what the pod and the user have set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_wf.agent.control.settings import SMOKE, Settings
from pytest_wf.agent.run import trackers
from pytest_wf.wire.rows import Row
from tests.support.sweep_pod import CAMPAIGN, freeze_campaign, make_row

Variables = Callable[..., dict[str, str]]


@pytest.fixture
def variables(
    sweep_values: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Variables:
    """``variables({"NAME": "of the environment"}, KEY="of the config")`` of row a, no login."""
    monkeypatch.setenv("HOME", str(tmp_path))
    row = Row.from_json(make_row("a"))
    campaign = freeze_campaign(Settings(sweep_values), [row])

    def give(environ: dict[str, str] | None = None, **keys: str) -> dict[str, str]:
        settings = Settings({**sweep_values, "WF_PROJECT": "mhc", **keys})
        return trackers.variables(campaign._replace(settings=settings), row, environ or {})

    return give


def test_a_wandb_run_is_named_by_its_row_and_its_campaign(variables: Variables) -> None:
    given = variables(SWEEP_WANDB="1")
    assert {name: given[name] for name in given if name.startswith("WANDB_")} == {
        "WANDB_DIR": given["WANDB_DIR"],
        "WANDB_DATA_DIR": given["WANDB_DIR"] + "/wandb",
        "WANDB_MODE": "offline",
        "WANDB_PROJECT": "mhc",
        "WANDB_RUN_GROUP": CAMPAIGN,
        "WANDB_NAME": "a",
        "WANDB_RUN_ID": f"{CAMPAIGN}-a",
        "WANDB_RESUME": "allow",
    }
    assert Path(given["WANDB_DIR"]).parts[-2:] == ("a", "trackers")


def test_without_sweep_wandb_a_trainer_s_own_runs_keep_their_names(variables: Variables) -> None:
    given = variables(WANDB_PROJECT="p", WANDB_GROUP="g")
    assert not {"WANDB_NAME", "WANDB_RUN_ID", "WANDB_RESUME"} & given.keys()
    assert (given["WANDB_PROJECT"], given["WANDB_RUN_GROUP"]) == ("p", "g")
    assert given["WANDB_MODE"] == "offline", "W&B ends a trainer that has no login"


def test_what_the_user_sets_is_kept(variables: Variables) -> None:
    own = {"WANDB_RUN_ID": "mine", "WANDB_MODE": "", "WANDB_PROJECT": "theirs", "WANDB_NAME": "n"}
    given = variables(own, SWEEP_WANDB="1", WANDB_PROJECT="p")
    assert own.keys() & given.keys() == {"WANDB_PROJECT"}
    assert given["WANDB_PROJECT"] == "p", "the config is about this project, and the login is not"


def test_an_mlflow_run_is_named_by_its_row(variables: Variables) -> None:
    given = variables()
    assert given["MLFLOW_EXPERIMENT_NAME"] == "mhc"
    assert json.loads(given["MLFLOW_RUN_CONTEXT"]) == {"mlflow.runName": "a"}
    on_a_server = variables({"MLFLOW_TRACKING_URI": "databricks"})
    assert not [name for name in on_a_server if name.startswith("MLFLOW_")]


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"])
def test_a_login_in_a_variable_is_used(variables: Variables, name: str) -> None:
    assert "WANDB_MODE" not in variables({name: "x"})
    assert variables({name: ""})["WANDB_MODE"] == "offline"


@pytest.mark.parametrize(
    ("text", "environ", "found"),
    [
        ("machine api.wandb.ai login user password k", {}, True),
        ("machine api.wandb.ai login user", {}, False),
        ("default login user password k", {}, True),
        ("machine wandb.example login user password k", {}, False),
        (
            "machine wandb.example:8080 login user password k",
            {"WANDB_BASE_URL": "http://wandb.example:8080"},
            True,
        ),
        ("what is no netrc", {}, False),
        ("", {}, False),
    ],
)
def test_a_login_in_netrc_is_found_as_wandb_finds_it(
    variables: Variables, tmp_path: Path, text: str, environ: dict[str, str], found: bool
) -> None:
    (tmp_path / ".netrc").write_text(text)
    (tmp_path / ".netrc").chmod(0o600)
    assert ("WANDB_MODE" not in variables(environ)) is found
    assert variables({**environ, "NETRC": str(tmp_path / "gone")})["WANDB_MODE"] == "offline"


def test_a_smoke_run_sends_nothing_to_a_server(variables: Variables) -> None:
    on_a_server = {
        "WANDB_API_KEY": "k",
        "WANDB_MODE": "online",
        "MLFLOW_TRACKING_URI": "databricks",
        "MLFLOW_REGISTRY_URI": "databricks",
        "MLFLOW_EXPERIMENT_ID": "7",
        "MLFLOW_RUN_ID": "r",
    }
    given = variables(on_a_server, SWEEP_WANDB="1", **{SMOKE: "1"})
    assert given["WANDB_MODE"] == "offline"
    assert given["MLFLOW_TRACKING_URI"].startswith("file:")
    names = ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID")
    assert [given[name] for name in names] == ["", "", ""]
    assert variables({"WANDB_MODE": "disabled"}, **{SMOKE: "1"})["WANDB_MODE"] == "disabled"


def test_ids_of_wandb_are_short_enough_and_differ() -> None:
    long = "r" * 127
    ids = {trackers.wandb_run_id(CAMPAIGN, one) for one in (long + "1", long + "2", "r")}
    assert len(ids) == 3
    assert max(map(len, ids)) == 128
