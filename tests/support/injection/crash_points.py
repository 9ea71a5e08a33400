"""A project whose processes can be killed at any of their calls."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.flow_project import FlowRun, Project
from tests.support.injection.journal import Journal
from tests.support.injection.oracle import Oracle
from tests.support.injection.user import FLAGS, User

_SHIM = Path(__file__).with_name("crash_shim.py")
ROWS = ("one", "two")
#: Nothing of a fault's aftermath needs long here.
QUICK = {"RUN_KILL_GRACE_SECS": "2", "RUN_LINGER_SECS": "2"}


class CrashPoints:
    """A project with two rows below `base`, and the plan which process dies where."""

    def __init__(self, base: Path) -> None:
        self._folder = base / "bin"
        self._folder.mkdir(parents=True)
        self.shim = self._folder / "python3"
        python = str(Path(sys.base_prefix, "bin", "python3").resolve())
        source = _SHIM.read_text().replace("@FOLDER@", str(self._folder))
        self.shim.write_text(f"#!{python} -I\n" + source.replace("@PYTHON@", python))
        self.shim.chmod(0o755)
        self.plan("none", 0)
        self.journal = Journal(base / "journal")
        environ = environment.clean_environ(base / "home")
        environ["PATH"] = os.pathsep.join([str(self._folder), environ["PATH"]])
        root = base / "project"
        root.mkdir()
        self.project = Project(
            write_project(root, config=QUICK, trainer=self.journal.trainer()), environ
        )
        self.user = User(self.project)
        self.oracle = Oracle(base, self.project, self.user, self.journal)

    def plan(self, role: str, at: int) -> None:
        """Let the first process of `role` die that makes its call number `at`."""
        (self._folder / "plan").write_text(f"{role} {at}")

    def edit_rows(self) -> None:
        """Give each row another seed, so that the next start trains all of them again."""
        csv = self.project.root / "flows" / "sweep.csv"
        csv.write_text(csv.read_text().replace("default.py,", "default.py,1"))

    def edit(self) -> None:
        """Change a row of the CSV; a start then adopts the other run and archives this one's."""
        csv = self.project.root / "flows" / "sweep.csv"
        csv.write_text(csv.read_text().replace("two,default.py,2,", "two,default.py,3,"))

    def counts(self) -> dict[str, int]:
        """How many calls a process of each role made at most, in a flow planned as 'count'."""
        found: Counter[str] = Counter()
        for line in (self._folder / "calls").read_text().splitlines():
            role, number, _ = line.split()
            found[role] = max(found[role], int(number))
        return dict(found)

    def has_died(self) -> bool:
        """Whether the planned call was reached."""
        return (self._folder / "died").exists()

    def flow(self) -> FlowRun:
        """Run a flow to its end, or to the controller's."""
        run = FlowRun(
            self.project.root, FLAGS, self.project.environ, [sys.executable, str(self.shim)]
        )
        self.project.runs.append(run)
        self.user.flows.append(run)
        return self.user.ended(run)
