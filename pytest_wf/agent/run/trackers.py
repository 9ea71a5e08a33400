"""Environment variables for experiment trackers: where they write, and the names of a row.

All are defaults, which the pod's login or WF_SECRET_ENV may override, except the config's project
and group. A smoke run sends nothing, whatever they set.
"""

import json
import netrc
import os
from pathlib import Path
from typing import Dict, Mapping
from urllib.parse import urlsplit

from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.wire import ids, user
from pytest_wf.wire.rows import Row

#: Variables with which W&B logs in; else it reads a netrc file.
_WANDB_LOGINS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
#: The most characters that W&B allows.
_MAX_ID_CHARS = 128
#: Modes of W&B in which nothing is sent; the others are "online" and "shared".
_WANDB_LOCAL = ("offline", "disabled", "dryrun")
#: Variables that name a place or a run on a server of MLflow; empty, they name none.
_MLFLOW_SERVER = ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID")


def variables(campaign: Campaign, row: Row, environ: Mapping[str, str]) -> Dict[str, str]:
    """What a row's trainer gets for W&B, MLflow and TensorBoard, besides what `environ` has."""
    settings = campaign.settings
    folder = settings.trackers_dir(row.run_id)
    found = {
        "WANDB_DIR": folder,
        # artifacts that were not sent are only there
        "WANDB_DATA_DIR": os.path.join(folder, "wandb"),
        "TENSORBOARD_LOGGING_DIR": os.path.join(folder, "tensorboard"),
    }
    if is_kept_offline(environ):
        # without a login, W&B ends the trainer
        found["WANDB_MODE"] = "offline"
    if settings.flag("SWEEP_WANDB"):
        found.update(_wandb_names(campaign, row))
    if "MLFLOW_TRACKING_URI" not in environ:
        found.update(_mlflow_store(campaign, row, folder))
    defaults = {name: value for name, value in found.items() if name not in environ}
    explicit = {
        "WANDB_PROJECT": settings["WANDB_PROJECT"],
        "WANDB_RUN_GROUP": settings["WANDB_GROUP"],
    }
    named = {**defaults, **{name: value for name, value in explicit.items() if value}}
    if not settings.is_smoke:
        return named
    return {**named, **_local_only(environ), **_mlflow_store(campaign, row, folder)}


def is_kept_offline(environ: Mapping[str, str]) -> bool:
    """Whether runs of W&B are not sent, as there is no login and no other mode is set."""
    return "WANDB_MODE" not in environ and not has_wandb_login(environ)


def has_wandb_login(environ: Mapping[str, str]) -> bool:
    """Whether W&B finds a login: in a variable of `environ`, or in a netrc file."""
    if any(environ.get(name) for name in _WANDB_LOGINS):
        return True
    host = urlsplit(environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    own = environ.get("NETRC")
    paths = [user.expanded(path) for path in ([own] if own else ["~/.netrc", "~/_netrc"])]
    path = next(filter(os.path.exists, paths), "")
    try:
        found = netrc.netrc(path).authenticators(host)
    except (OSError, ValueError, netrc.NetrcParseError):
        return False  # W&B does not log in with it either
    return bool(found and found[2])


def wandb_run_id(campaign_id: str, run_id: str) -> str:
    """The id of a row's run in W&B: the same in all attempts, a different one in each campaign."""
    name = "%s-%s" % (campaign_id, run_id)
    if len(name) <= _MAX_ID_CHARS:
        return name
    digest = ids.short_hash(name)
    return "%s-%s" % (name[: _MAX_ID_CHARS - len(digest) - 1], digest)


def _wandb_names(campaign: Campaign, row: Row) -> Dict[str, str]:
    return {
        "WANDB_PROJECT": campaign.project,
        "WANDB_RUN_GROUP": campaign.campaign_id,
        "WANDB_NAME": row.run_id,
        "WANDB_RUN_ID": wandb_run_id(campaign.campaign_id, row.run_id),
        # a retry continues the run of the attempt before
        "WANDB_RESUME": "allow",
    }


def _local_only(environ: Mapping[str, str]) -> Dict[str, str]:
    """Variables that keep W&B and MLflow from a server that the pod or the user names."""
    mode = environ.get("WANDB_MODE", "")
    return {
        "WANDB_MODE": mode if mode in _WANDB_LOCAL else "offline",
        **{name: "" for name in _MLFLOW_SERVER if environ.get(name)},
    }


def _mlflow_store(campaign: Campaign, row: Row, folder: str) -> Dict[str, str]:
    """A store of files in the run directory; on a server of the user's, names are the user's."""
    return {
        "MLFLOW_TRACKING_URI": Path(folder, "mlruns").as_uri(),
        # without it, MLflow 3 refuses to write into a folder
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_EXPERIMENT_NAME": campaign.project,
        # no variable names a run, but one gives it tags
        "MLFLOW_RUN_CONTEXT": json.dumps({"mlflow.runName": row.run_id}),
    }
