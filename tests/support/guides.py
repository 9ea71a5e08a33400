"""Pages of the documentation, followed as a reader would: files are written, commands are run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support import ROOT
from tests.support.flow_project import Project

_DEADLINE_S = 240
_BLOCK = re.compile(r"^```(sh|python|csv)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# ([\w-]+(?:/[\w-]+)*\.\w+)\b")
_PYTHON = shlex.quote(sys.executable)
#: What these words are in an environment that has pytest-wf installed, and in this repository.
#: Nothing is uninstalled here.
_PROGRAMS = f"""\
pytest() {{ {_PYTHON} -m pytest "$@"; }}
python() {{ {_PYTHON} "$@"; }}
wf() {{ {_PYTHON} -c 'from pytest_wf.cli.main import main; main()' "$@"; }}
make() {{ command make -o .venv/.ready "$@"; }}
pip() {{ test "$*" = "uninstall --yes pytest-wf"; }}
"""


class Guide:
    """One page, and what its blocks of commands printed, all of them together."""

    def __init__(self, project: Project, mount: Path) -> None:
        """Blocks run in the project's folder; `mount` is what the pages call /mnt."""
        self._project = project
        self._mount = mount
        self.output = ""

    def follow(
        self, page: str, code: int = 0, before: Mapping[int, Callable[[], object]] | None = None
    ) -> str:
        """Do what `page` says; what it printed. The last command's exit status is `code`.

        `before` has what happens meanwhile, by the number of the block of commands that it
        precedes. The config is afterwards as it was.
        """
        config = self._project.root / "flows" / "workflow.env"
        was = config.read_bytes() if config.exists() else b""
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        self.output, number = "", 0
        blocks = _BLOCK.findall(text.replace("/mnt/", f"{self._mount}/"))
        assert blocks, f"{page} has no block"
        commands = [block for _, block in blocks if not _FILE.match(block)]
        for _, block in blocks:
            if name := _FILE.match(block):
                self._write(name[1], block)
                continue
            (before or {}).get(number, bool)()
            number += 1
            self._run(block, code if number == len(commands) else 0)
        if was and config.exists():
            config.write_bytes(was)
        return self.output

    def _write(self, name: str, block: str) -> None:
        """The file that a block is; of the config, the keys that it sets."""
        path = self._project.root / name
        if name == "flows/workflow.env":
            lines = [line for line in block.splitlines() if "=" in line]
            self._project.configure(**dict(line.split("=", 1) for line in lines))
            return
        path.write_text(block.partition("\n")[2], encoding="utf-8")

    def _run(self, block: str, code: int) -> None:
        done = subprocess.run(
            ["bash", "-e", "-c", _PROGRAMS + block],
            cwd=self._project.root,
            env=dict(self._project.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_DEADLINE_S,
        )
        self.output += done.stdout
        assert done.returncode == code, f"{block}\n{done.stdout}"
