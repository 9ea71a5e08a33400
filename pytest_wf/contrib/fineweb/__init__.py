"""The data contract on FineWeb shards: a plugin with the hook `pytest_wf_data_contracts`.

What is checked, and how shards are downloaded, is in pod_program.py, which runs on the pod.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import pluggy

from pytest_wf.config.keys import Config
from pytest_wf.project.data_contract import DataContract
from pytest_wf.wire.rows import Row
from pytest_wf.wire.trainer import entrypoint

__all__ = ["contract", "pytest_wf_data_contracts", "trainings"]

hookimpl = pluggy.HookimplMarker("pytest")

#: Seconds for one download, if WF_PHASE_TIMEOUT_SECS gives none; two shards, two tries each.
_DOWNLOAD_TIMEOUT_S = 3600
_DOWNLOADS = 4
#: Seconds for reading configs and the headers of shards, on a slow network file system too.
_LOOK_TIMEOUT_S = 600
_DOWNLOAD_REMEDY = (
    "Check the pod's network and HF_ENDPOINT; the next checkout continues with what is on the pod."
)
_REMEDY = "Check that DATA_DIR can be read; its output is in the log of the checkout."


@hookimpl(trylast=True)
def pytest_wf_data_contracts(config: Config, rows: Sequence[Row]) -> Sequence[DataContract]:
    """Require whole shards in DATA_DIR, if a row's training reads FineWeb."""
    arguments = {
        "trainings": trainings(rows),
        "data_dir": config.data_dir,
        "download": config.download_fineweb,
        "workdir": config.train_workdir_rel,
        "entrypoint": entrypoint.files(config.train_entrypoint or "train.py")[0],
    }
    return [contract(arguments, config.wf_phase_timeout_secs or _DOWNLOAD_TIMEOUT_S)]


def contract(arguments: Mapping[str, Any], download_timeout_s: int) -> DataContract:
    """The contract that pod_program.py checks, with the input of that program."""
    from pytest_wf.contrib.fineweb.pod_program import FILES  # keeps the start of pytest fast

    downloads, folder = bool(arguments["download"]), str(arguments["data_dir"])
    own = downloads and posixpath.isabs(folder)
    program = resources.files(__name__).joinpath("pod_program.py").read_text(encoding="utf-8")
    return DataContract(
        "fineweb",
        program=program,
        arguments=arguments,
        verifies=True,
        creates=[posixpath.normpath(posixpath.join(folder, f)) for f in FILES.values()] * own,
        remedy=_DOWNLOAD_REMEDY if downloads else _REMEDY,
        timeout_s=_DOWNLOADS * download_timeout_s if downloads else _LOOK_TIMEOUT_S,
    )


def trainings(rows: Iterable[Row]) -> list[list[str]]:
    """Each config with the data set that a row's override names for it, '' for none; once each."""
    return [
        list(pair)
        for pair in sorted({(row.config, _override(row.argv)) for row in rows if row.config})
    ]


def _override(argv: tuple[str, ...]) -> str:
    named = ""
    for place, word in enumerate(argv):
        key, equals, value = word.lstrip("-").partition("=")
        if key == "dataset" and equals:
            named = value
        elif word == "--dataset":
            named = next(iter(argv[place + 1 :]), "")
    return named
