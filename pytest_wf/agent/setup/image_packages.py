"""The image's torch and what belongs to it: an installation uses them and does not replace them.

pip and uv get constraints on their versions, so that a requirement that the image does not meet
fails before anything is downloaded. uv does not look at packages outside the virtual environment:
for it, metadata in the environment says that they are installed.
"""

import os
import re
import shutil
from typing import Any, Dict, List, Mapping, Optional
from urllib.parse import quote

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import venv_contents, virtualenv
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.wire.files import write_atomic

#: Used as the version if the image has no torch, so that none can be installed.
_NO_TORCH = "0+the.image.has.none"
#: Variables with the paths of constraint files; those for builds keep another torch out of a build.
_VARIABLES = ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT")
#: How lines of pip and uv begin that report a constraint as impossible.
_REFUSES = r"(?i:\(constraint\)|requirement|distribution found|conclude|depend|no version of)"
_VERSION = re.compile(r"[0-9A-Za-z.!+_-]+")

#: Packages that belong to torch, besides the CUDA wheels of NVIDIA that it needs.
_FAMILY = ("pytorch-triton", "torch", "torchaudio", "torchvision", "triton")

_ABOUT_FAMILY = """
import json, os, re, sys
from importlib import metadata
named = lambda text: re.sub("[-_.]+", "-", text).lower()
FAMILY = %r
own, found, needs = os.path.realpath(sys.prefix) + os.sep, {}, set()
for one in metadata.distributions():
    name = named((one.metadata and one.metadata["Name"]) or "")
    if os.path.realpath(str(one.locate_file(""))).startswith(own) or name in found:
        continue
    found[name] = [one.version, one.read_text("entry_points.txt") or ""]
    if name == "torch":
        needs = {named(re.match("[A-Za-z0-9._-]*", line).group()) for line in one.requires or ()}
needs = {name for name in needs if name.startswith("nvidia-")} | set(FAMILY)
print("wf-facts:" + json.dumps({name: found[name] for name in sorted(needs & set(found))}))
""" % (_FAMILY,)


def is_of_torch(name: str) -> bool:
    """Whether a package of this name, in its normalized form, belongs to torch."""
    return name in _FAMILY or name.startswith("nvidia-")


class ImagePackages:
    """The versions of the image's torch family, by name."""

    def __init__(
        self, settings: Settings, log: StepLog, torch: Optional[Mapping[str, Any]]
    ) -> None:
        """`torch` is what `check_torch` found. Raises Refusal 'venv'."""
        self._venv = os.path.dirname(os.path.dirname(settings.venv_python))
        found = virtualenv.ask(settings, log, _ABOUT_FAMILY)
        # an image may have a torch that no installer has put there
        imported = str(torch["version"]) if torch else _NO_TORCH
        self._has_bare_torch = bool(torch) and "torch" not in found
        found.setdefault("torch", [imported, ""])
        self._entry_points = {name: entry_points for name, (_, entry_points) in found.items()}
        versions = {name: version for name, (version, _) in found.items()}
        self.versions = {n: v for n, v in versions.items() if _VERSION.fullmatch(v)}

    def protect(self, environ: Mapping[str, str], own: List[str]) -> Dict[str, str]:
        """The variables that an installation needs besides those of `environ`.

        `own` are constraint files that pip's configuration names: a variable overrides them.
        """
        lines = ["%s==%s\n" % one for one in sorted(self.versions.items())]
        path = os.path.join(self._venv, "wf-constraints.txt")
        header = "# Written by pytest-wf: what the image has.\n"
        write_atomic(path, (header + "".join(lines)).encode())
        uses_uv = shutil.which("uv", path=environ.get("PATH")) is not None
        self._write_metadata(uses_uv or self._has_bare_torch)
        # blanks separate paths in these variables
        ours = "file://" + quote(path)
        given = {name: environ.get(name, "").split() for name in _VARIABLES}
        given["PIP_CONSTRAINT"] = given["PIP_CONSTRAINT"] or own
        return {name: " ".join([*files, ours]) for name, files in given.items()}

    def why_in_conflict(self, output: str) -> str:
        """The requirement that the image does not meet, by the output of pip or uv; '' if none."""
        lines = [line.strip() for line in output.splitlines()]
        lines = [line for line in lines if not line.startswith("Requirement already satisfied")]
        # uv wraps its sentences
        lines += ["%s %s" % pair for pair in zip(lines, lines[1:])]
        for name, version in self.versions.items():
            asked = r"(?<![\w-])%s(?![\w-])" % re.escape(name)
            refused = re.compile(r"%s.*%s\S*==%s" % (_REFUSES, asked, re.escape(version)))
            refusals = [line for line in lines if refused.search(line)]
            if not refusals:
                continue
            asks = re.compile(r"(?:requested|depends? on|you require) .*" + asked)
            why = [line for line in lines if asks.search(line)] + refusals
            has = "no torch" if version == _NO_TORCH else "%s %s" % (name, version)
            return "the image has %s: %s" % (has, why[0])
        return ""

    def _write_metadata(self, wanted: bool) -> None:
        site = virtualenv.site_packages(self._venv)
        names = {
            "%s-%s.dist-info" % (name.replace("-", "_"), version): (name, version)
            for name, version in self.versions.items()
            if wanted and version != _NO_TORCH
        }
        for folder in os.listdir(site):
            if folder not in names and venv_contents.is_stand_in(os.path.join(site, folder)):
                shutil.rmtree(os.path.join(site, folder))
        for folder, (name, version) in names.items():
            files = {
                # without requirements: what the image's packages need is in the image
                "METADATA": "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version),
                "INSTALLER": venv_contents.STAND_IN + "\n",
                "RECORD": "",
                "entry_points.txt": self._entry_points[name],
            }
            os.makedirs(os.path.join(site, folder), exist_ok=True)
            for file, text in files.items():
                write_atomic(os.path.join(site, folder, file), text.encode())
