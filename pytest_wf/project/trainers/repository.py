"""The files of a repository that show how it trains: scripts, configs, lists of packages."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from pytest_wf.project.trainers import script
from pytest_wf.project.trainers.script import Script

#: A larger tree is searched in part.
MAX_FILES = 5000
#: The most files of one folder that are not Python's; a folder of images has many.
MAX_OTHERS = 200
MAX_ENTRIES = 20_000
MAX_DEPTH = 4
#: The most scripts that are read, the most likely first.
MAX_SCRIPTS = 80
#: The most imported modules of the repository that are read for a script.
MAX_MODULES = 20

_NO_SOURCES = frozenset(
    "__pycache__ build data dataset datasets dist doc docs env flows node_modules outputs reports "
    "runs site-packages test testing tests third_party tutorials venv wandb lightning_logs mlruns "
    "notebooks".split()
)
#: Words in names of files: those that train, and those that do something else.
_TRAINS = re.compile(r"(^|_)(re|pre)?train(er|ing)?(_|$)|(^|_)fine_?tune(_|$)|^run_|^main(_|$)")
_DOES_NOT = re.compile(
    r"(^|_)(eval\w*|test\w*|infer\w*|predict\w*|sample|generate|export|convert|bench\w*|prepare|"
    r"download|preprocess\w*|plot|demo|setup|conftest|utils?|legacy|serve|server|hubconf|validate|"
    r"config\w*|settings|options|args|arguments|models?|data|datasets?|loss(es)?|clean|tun(e|er))(_|$)"
)


@dataclass(frozen=True)
class Repository:
    """The folder of a project, and its place in its git repository."""

    root: Path
    _read: dict[str, Script | None] = field(default_factory=dict, repr=False)

    @cached_property
    def prefix(self) -> str:
        """The path of the folder in its git repository; '' for the top, or without a repository."""
        real = Path(os.path.realpath(self.root))
        for folder in (real, *real.parents):
            if os.path.lexists(folder / ".git"):
                return real.relative_to(folder).as_posix().removeprefix(".")
        return ""

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Regular files, relative to the folder, sorted by depth."""
        return tuple(sorted(self._walk(), key=lambda path: (path.count("/"), path)))

    def has(self, path: str) -> bool:
        """Whether `path` is one of its files."""
        return path in self._set

    @cached_property
    def _set(self) -> frozenset[str]:
        return frozenset(self.files)

    def _walk(self) -> Iterator[str]:
        """Regular files, those of all folders of one depth before deeper ones."""
        left, level = MAX_FILES, [""]
        for _ in range(MAX_DEPTH + 1):
            below: list[str] = []
            for folder in level:
                others = 0
                for entry in _entries(self.root / folder):
                    path = posixpath.join(folder, entry.name)
                    if not path.isprintable() or entry.is_symlink():
                        continue
                    if entry.is_dir():
                        if not entry.name.startswith(".") and entry.name not in _NO_SOURCES:
                            below.append(path)
                        continue
                    others += not entry.name.endswith(".py")
                    if others > MAX_OTHERS and not entry.name.endswith(".py"):
                        continue
                    left -= 1
                    if left < 0:
                        return
                    yield path
            level = below

    def scripts(self) -> list[Script]:
        """The files that may be a trainer, the most likely first."""
        return list(filter(None, map(self.script, self.likely()[:MAX_SCRIPTS])))

    def likely(self, least: int = 1) -> list[str]:
        """The paths of Python files with that likeliness, the most likely first."""
        paths = (path for path in self.files if path.endswith(".py") and likeliness(path) >= least)
        return sorted(paths, key=lambda path: (-likeliness(path), path))

    def script(self, path: str) -> Script | None:
        """The script at `path`, read once; None as for `script.read`."""
        if path not in self._read:
            self._read[path] = script.read(self.root, path)
        return self._read[path]

    def with_imports(self, of: Script) -> tuple[Script, ...]:
        """`of`, and the modules of this repository that it imports, directly or indirectly."""
        found, waiting = {of.path: of}, [of]
        while waiting:
            one = waiting.pop(0)
            for path in self._imported(one):
                if path in found or len(found) > MAX_MODULES:
                    continue
                module = self.script(path)
                if module is not None:
                    found[path] = module
                    waiting.append(module)
        return tuple(found.values())

    def _imported(self, of: Script) -> Iterator[str]:
        above = [of.folder, posixpath.dirname(of.folder), "", "src"]
        for name in sorted(of.imports):
            dots = len(name) - len(name.lstrip("."))
            path = name.lstrip(".").replace(".", "/")
            folders = ["/".join(of.folder.split("/")[: -dots + 1 or None])] if dots else above
            for folder in folders:
                places = [f"{path}.py", f"{path}/__init__.py"] if path else []
                full = [posixpath.join(folder, place) for place in places]
                yield from [place for place in full if self.has(place)][:1]

    def imported_from(self, of: Script) -> str | None:
        """The folder above a script from which it imports modules; None if there is none."""
        if any(name.startswith(".") for name in of.imports):
            folder = of.folder
            while folder and self.has(f"{folder}/__init__.py"):
                folder = posixpath.dirname(folder)
            return folder if folder != of.folder else posixpath.dirname(folder)
        folder = of.folder
        beside = self._modules_in(folder)
        names = [name for name in of.imports if name.split(".")[0] not in beside]
        while folder:
            folder = posixpath.dirname(folder)
            if any(self._has_module(folder, name) for name in names):
                return folder
        return None

    def _has_module(self, folder: str, name: str) -> bool:
        """Whether a file below `folder` is the module; a folder can have a library's name."""
        path = posixpath.join(folder, name.replace(".", "/"))
        return self.has(f"{path}.py") or self.has(f"{path}/__init__.py")

    def _modules_in(self, folder: str) -> set[str]:
        """The names that Python can import if `folder` is on its path."""
        start = f"{folder}/" if folder else ""
        below = (p[len(start) :] for p in self.files if p.startswith(start) and p.endswith(".py"))
        return {path.split("/")[0].removesuffix(".py") for path in below}

    def text(self, path: str) -> str:
        """The content of a small text file; '' if it is not one."""
        raw = script.regular_file(self.root / path)
        return (raw or b"").decode("utf-8", "replace")

    def folder_of(self, path: str) -> str:
        """The folder in which the script at `path` is meant to run: the nearest project folder."""
        folder = posixpath.dirname(path)
        while folder:
            marks = ("README.md", "requirements.txt", "setup.py", "pyproject.toml")
            if any(self.has(f"{folder}/{mark}") for mark in marks):
                return folder
            folder = posixpath.dirname(folder)
        return ""

    def installation(self, folder: str) -> str:
        """The command that installs what a script in `folder` needs; '' if no file says it."""
        for place in dict.fromkeys((folder, "")):
            at = posixpath.normpath(posixpath.join(self.prefix, place))
            if self.has(posixpath.join(place, "requirements.txt")):
                return f"pip install -r {quoted(posixpath.normpath(f'{at}/requirements.txt'))}"
            project = self.text(posixpath.join(place, "pyproject.toml"))
            is_project = re.search(r"^\[(project|build-system|tool\.poetry)\]", project, re.M)
            if is_project or self.has(posixpath.join(place, "setup.py")):
                return f"pip install -e {quoted(at)}"
        return ""

    def environment_file(self, folder: str) -> str:
        """The file of a conda environment, which pip does not read."""
        names = ("environment.yml", "environment.yaml", "conda.yml", "conda.yaml")
        places = [posixpath.join(place, name) for place in (folder, "") for name in names]
        return next((place for place in places if self.has(place)), "")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The contents of a folder, by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted(islice(entries, MAX_ENTRIES), key=lambda entry: entry.name)
    except OSError:
        return []


def quoted(path: str) -> str:
    """A path as one word of a shell, in double quotes if needed."""
    if re.fullmatch(r"[\w./+@:-]+", path, re.ASCII):
        return path
    return '"' + re.sub(r'(["$`\\])', r"\\\1", path) + '"'


#: The smallest likeliness of a file that trains by its name.
BY_NAME_ALONE = 50


def likeliness(path: str) -> int:
    """How likely a file is the trainer, by its name and place; 0 if it is not."""
    name = posixpath.basename(path).removesuffix(".py").lower().replace("-", "_")
    points = 100 if name == "train" else 80 if name in ("main", "__main__") else 0
    if not points and _TRAINS.search(name):
        points = 60
    if _DOES_NOT.search(name) or (name.startswith("__") and name != "__main__"):
        points -= 60
    if not points and not name.startswith("_"):
        points = 20
    return max(0, points - 5 * path.count("/"))
