"""Tools that run many commands, as their users call them; each command's output is in a file."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.bench.cpu import Group
from tests.support.bench.projects import measured

#: Where `scripts/bench-tools.sh` puts submitit, apart from what a flow imports.
SUBMITIT = Path(__file__).parents[3] / ".venv" / ".bench-tools"

_LOOP = "for i in $(seq {count}); do mkdir {out}/$i; {command} > {out}/$i/log 2>&1; done"
_PARALLEL = "seq {count} | parallel -j1 --joblog {out}/joblog --results {out}/{{}}/ {command}"
_SUBMITIT = """\
import subprocess, sys, submitit
out, count, *command = sys.argv[1:]
executor = submitit.LocalExecutor(out)
executor.update_parameters(timeout_min=5)
for number in range(int(count)):
    text = executor.submit(subprocess.check_output, command, text=True).result()
    with open("%s/%d.log" % (out, number), "w") as f:
        f.write(text)
"""


class Tools:
    """Runs one command many times, one after another, by each of the tools."""

    def __init__(self, folder: Path, group: Group, environ: Mapping[str, str]) -> None:
        folder.mkdir(parents=True)
        self._folder, self._group, self._environ = folder, group, dict(environ)

    def loop(self, count: int, command: str) -> tuple[dict[str, float], list[str]]:
        """A loop of the shell: its cost, and what the commands printed."""
        return self._shell(_LOOP, "*/log", count, command)

    def parallel(self, count: int, command: str) -> tuple[dict[str, float], list[str]]:
        """GNU parallel."""
        # a command without `{}` gets the argument at its end
        return self._shell(_PARALLEL, "*/stdout", count, shlex.quote(command + "; : {}"))

    def submitit(self, count: int, command: str) -> tuple[dict[str, float], list[str]]:
        """submitit's executor for this machine."""
        out = self._out()
        words = [sys.executable, "-c", _SUBMITIT, str(out), str(count), *shlex.split(command)]
        cost = self._run(words, {"PYTHONPATH": str(SUBMITIT)})
        return cost, [path.read_text() for path in out.glob("*.log")]

    def _shell(
        self, template: str, logs: str, count: int, command: str
    ) -> tuple[dict[str, float], list[str]]:
        out = self._out()
        line = template.format(count=count, out=out, command=command)
        return self._run(["bash", "-euc", line], {}), [p.read_text() for p in out.glob(logs)]

    def _out(self) -> Path:
        number = len(list(self._folder.iterdir()))
        out = self._folder / str(number)
        out.mkdir()
        return out

    def _run(self, words: Sequence[str], environ: Mapping[str, str]) -> dict[str, float]:
        cost: dict[str, float] = {}
        with measured(self._group, cost):
            subprocess.run(
                [*self._group.inside, *words],
                env={**self._environ, **environ},
                check=True,
                stdout=subprocess.DEVNULL,
            )
        return cost


def why_no_parallel() -> str:
    """Why GNU parallel cannot be measured; '' where it can."""
    return "" if shutil.which("parallel") else "the program `parallel` is not installed"


def why_no_submitit() -> str:
    """Why submitit cannot be measured; '' where it can."""
    return "" if (SUBMITIT / "submitit").exists() else "it could not be installed from PyPI"
