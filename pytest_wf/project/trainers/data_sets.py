"""The data sets that a trainer's configs name, and whether the repository's folder has them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pytest_wf.project.ignored_data import FOLDERS
from pytest_wf.project.trainers.repository import Repository

#: Names of values that name a data set, the most likely first.
_NAMES = (
    "dataset dataset_name dataset_dir dataset_path data data_name data_dir data_path data_root "
    "data_folder"
).split()
#: A name or a relative path.
_PATH = re.compile(r"(?!.*\.\.)(\./)?\w[\w./+-]*", re.ASCII)
#: Endings of files beside the data: those that make or describe it.
_BESIDE = (".py", ".sh", ".ipynb", ".md", ".rst")
#: The most folders of a data set that are searched.
_MAX_FOLDERS = 50


@dataclass(frozen=True)
class DataSet:
    """A data set's folder in the repository."""

    #: Relative to the project's folder.
    folder: str
    #: Whether it has more than files that make or describe the data.
    is_present: bool


def named_in(repository: Repository, folder: str, values: Mapping[str, object]) -> DataSet | None:
    """The data set that `values` of a config or a script in `folder` name, as in nanoGPT.

    It is a path, or a folder in `data/` or `datasets/`; None if there is no such folder.
    """
    by_name = {name.rpartition(".")[2].replace("-", "_"): value for name, value in values.items()}
    for name in _NAMES:
        text = str(by_name.get(name) or "").strip("\"'")
        for home in ("", "data", "datasets") if _PATH.fullmatch(text) else ():
            place = posixpath.normpath(posixpath.join(folder, home, text))
            if FOLDERS & set(place.lower().split("/")) and (repository.root / place).is_dir():
                return DataSet(place, _has_data(repository.root / place))
    return None


def _has_data(folder: Path) -> bool:
    files = (name for _, _, names in islice(os.walk(folder), _MAX_FOLDERS) for name in names)
    return any(not name.startswith(".") and not name.endswith(_BESIDE) for name in files)
