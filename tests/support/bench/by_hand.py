"""What an expert types instead of a flow: one ssh connection, git, tmux, a loop, rsync."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.bench.cpu import Group
from tests.support.bench.projects import measured
from tests.support.environment import clean_environ
from tests.support.sshd import Sshd

#: The words `$ssh` open one connection, which all later ones use.
_SCRIPT = """\
set -eu
ssh() {{ command ssh -F none -o BatchMode=yes -o ControlMaster=auto -o ControlPersist=yes \\
    -o ControlPath={socket} -o UserKnownHostsFile={known_hosts} -i {identity} -p {port} "$@"; }}
trap 'ssh -O exit {host} 2>/dev/null' EXIT
ssh {host} 'git clone -q {project} {pod}/repo && mkdir {pod}/outputs && cat > {pod}/rows.sh &&
    tmux -L {tmux} new-session -d "sh {pod}/rows.sh"' < {rows}
until ssh {host} 'test -e {pod}/done'; do sleep 0.1; done
rsync -a -e "ssh -F none -o ControlPath={socket} -p {port}" {host}:{pod}/outputs/ {here}/
"""


class ByHand:
    """The rows of a project over an SSH server, run by a script of ten lines."""

    def __init__(self, folder: Path, project: Path, sshd: Sshd, group: Group) -> None:
        folder.mkdir(parents=True)
        self._folder, self._project = folder, project
        self._sshd, self._group = sshd, group
        self._environ = clean_environ(folder / "home")
        #: Where the results of the last time are.
        self.results = folder

    def run(
        self, number: int, commands: Sequence[str], port: int | None = None
    ) -> dict[str, float]:
        """Run `commands` one after another, each in a folder of its own; bring these folders home.

        A command finds its folder in ``$OUT``.
        """
        pod, self.results = self._folder / f"pod{number}", self._folder / f"results{number}"
        pod.mkdir()
        port = port or self._sshd.port
        known_hosts = pod / "known_hosts"
        known_hosts.write_text(f"[{self._sshd.host}]:{port} {self._sshd.host_key}\n")
        rows = pod / "rows-here.sh"
        rows.write_text(_rows(pod, commands))
        script = _SCRIPT.format(
            host=f"{self._sshd.user}@{self._sshd.host}",
            port=port,
            identity=shlex.quote(str(self._sshd.identity_file)),
            known_hosts=shlex.quote(str(known_hosts)),
            socket=f"/tmp/wf-bench-{self._group_name(number)}",
            tmux=f"wf-bench-{self._group_name(number)}",
            project=self._project,
            pod=pod,
            rows=rows,
            here=self.results,
        )
        cost: dict[str, float] = {}
        with measured(self._group, cost):
            subprocess.run(
                [*self._group.inside, "bash", "-c", script],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                check=True,
                timeout=600,
            )
        assert len(list(self.results.iterdir())) == len(commands)
        return cost

    def _group_name(self, number: int) -> str:
        return f"{self._sshd.port}-{number}"


def _rows(pod: Path, commands: Sequence[str]) -> str:
    lines = ["set -e", f"cd {pod}/repo/train"]
    for number, command in enumerate(commands):
        out = f"{pod}/outputs/{number}"
        lines += [f"export OUT={out}; mkdir $OUT", f"{command} > $OUT/log 2>&1"]
    return "\n".join([*lines, f"touch {pod}/done", ""])
