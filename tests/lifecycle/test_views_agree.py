"""One truth: every view of a flow says the same of every row, in the same words and figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from pytest_wf.testing import write_project
from pytest_wf.wire.states import ROW_ENDED, count
from tests.support import environment, views
from tests.support.flow_project import FlowRun, Project
from tests.support.views import Rows, Seen

pytestmark = pytest.mark.slow

#: Behaves as its override `does` says.
TRAINER = r"""
import json, os, signal, subprocess, sys, time

settings = dict(word.split("=", 1) for word in sys.argv[2:])
out, does = settings["out_dir"], settings["does"]

def report(**values):
    with open(os.path.join(out, "metrics.jsonl"), "a") as f:
        f.write(json.dumps(values) + "\n")

def die(text, status=1):
    print(text, file=sys.stderr, flush=True)
    sys.exit(status)

if does == "nothing":
    sys.exit(0)
report(step=1, loss=float(settings.get("loss", 2.0)))
if does == "twice" and not os.path.exists(os.path.join(out, "tried")):
    open(os.path.join(out, "tried"), "w").close()
    die("NCCL error: unhandled system error")
if does == "odd-names":
    report(step=2, **{"val/loss@2": 1.0, "<b>acc</b>": 0.5, "a b": 1, "\u2028": 2, "loss": 2.0})
if does == "own-files":
    for name in ("summary.json", "status.json"):
        with open(os.path.join(out, name), "w") as f:
            f.write('{"ok": false, "state": "failed"}')
if does == "traceback":
    print("Traceback (most recent call last):\nRuntimeError: it was caught")
if does == "checkpoint":
    with open(os.path.join(out, "ckpt.pt"), "wb") as f:
        f.write(bytes(2_000_000))
if does == "late":
    subprocess.Popen(["sleep", "600"], start_new_session=True)
if does == "wait":
    time.sleep(600)
if does.startswith("signal="):
    os.kill(os.getpid(), int(does[7:]))
if does.startswith("exit="):
    die("gives up on purpose", int(does[5:]))
if does == "import":
    import no_such_module
if does == "data":
    open("train_000.bin")
if does.startswith("says="):
    die(does[5:].replace("_", " "))
"""


class Kind(NamedTuple):
    """A kind of row: what its trainer does, and what has to be said of it everywhere."""

    run_id: str
    does: str
    state: str = "failed"
    failure_class: str | None = None
    notes: tuple[str, ...] = ()
    more: str = ""
    expect: str = ""
    timeout_s: str = ""

    @property
    def line(self) -> str:
        """Its line of the CSV."""
        overrides = f"does={self.does} {self.more}"
        return f'{self.run_id},default.py,1,"{overrides}",,{self.expect},{self.timeout_s}'

    @property
    def seen(self) -> Seen:
        """What every view has to say."""
        return Seen(self.state, self.failure_class, frozenset(self.notes))


KINDS = (
    Kind("ok", "end", "success"),
    Kind("Met.it_1", "end", "success", expect="loss<3"),
    Kind("broken", "end", "failed", "expect", expect="loss<1", more="loss=2.5"),
    Kind("unreported", "end", "failed", "expect", expect="acc>0.5"),
    Kind("nan", "end", "success", notes=("nan",), more="loss=nan"),
    Kind("nan-broken", "end", "failed", "expect", ("nan",), "loss=nan", "loss<9"),
    Kind("nothing", "nothing", "success", notes=("wrote-nothing",)),
    Kind("late", "late", "success", notes=("late-writer",)),
    Kind("checkpoint", "checkpoint", "success", notes=("left-out",)),
    Kind("twice", "twice", "success"),
    Kind("odd-names", "odd-names", "success"),
    Kind("own-files", "own-files", "success"),
    Kind("traceback", "traceback", "success"),
    Kind("slow", "wait", "timed_out", "timeout", timeout_s="1"),
    Kind("gives-up", "exit=3", "failed", "user"),
    Kind("exit-137", "exit=137", "failed", "killed"),
    Kind("sigkill", "signal=9", "failed", "killed"),
    Kind("segfault", "signal=11", "failed", "user"),
    Kind("no-memory", "says=CUDA_out_of_memory", "failed", "oom"),
    Kind("no-module", "import", "failed", "import"),
    Kind("no-data", "data", "failed", "data"),
    Kind("no-room", "says=No_space_left_on_device", "failed", "disk_full"),
    Kind("no-gpu", "says=CUDA_error:_an_illegal_address", "failed", "cuda"),
)
EXPECTED: Rows = {kind.run_id: kind.seen for kind in KINDS}
HEADER = "run_id,config,seed,overrides,notes,expect,timeout_secs"


def _write(project: Project, *lines: str) -> None:
    (project.root / "flows" / "sweep.csv").write_text("\n".join([HEADER, *lines, ""]))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a row of each kind."""
    base = tmp_path_factory.mktemp("views")
    (base / "project").mkdir()
    root = write_project(base / "project", trainer=TRAINER, config={"RUN_KILL_GRACE_SECS": "1"})
    made = Project(root, environment.clean_environ(base / "home"))
    _write(made, *(kind.line for kind in KINDS))
    yield made
    made.wf("sweep-stop")


@pytest.fixture(scope="module")
def trained(project: Project) -> FlowRun:
    """A flow that waited for all of them and fetched them."""
    return project.flow("-v", "--wf-wait=true", "--wf-fetch=all")


def test_every_view_says_the_same_of_each_kind_of_row(project: Project, trained: FlowRun) -> None:
    assert trained.code == 1, trained.output
    views.agree(views.all_of(project, trained), EXPECTED)
    again = project.root / "again.html"
    assert project.wf("report", str(trained.folder), "--out", str(again)).returncode == 0
    assert views.page(trained, again) == views.page(trained)
    assert project.wf("verify", str(trained.folder)).returncode == 0


def test_a_later_flow_says_the_same_and_what_was_damaged_meanwhile(
    project: Project, trained: FlowRun
) -> None:
    outputs = project.outputs
    (outputs / "own-files" / "summary.json").write_text("{")
    (outputs / "traceback").rename(outputs / "moved-away")
    later = project.flow_on_terminal("-v", "--wf-sweep=skip")
    unknown = Seen("unreadable", None, frozenset())
    missing = Seen("pending", None, frozenset())
    expected = {**views.unfetched(EXPECTED), "own-files": unknown, "traceback": missing}
    views.agree(views.all_of(project, later), expected)
    live = re.findall(r"P70 MONITOR [0-9:]+ (\d+)/(\d+) rows done, (\d+) failed", later.output)
    states = [row.state for row in expected.values()]
    ended = sum(state in ROW_ENDED for state in states)
    assert live[-1] == (str(ended), str(len(states)), str(count(states)["failed"]))
    (outputs / "own-files").rename(outputs / "moved-too")


@pytest.mark.long
def test_rows_that_were_not_selected_are_the_same_in_every_view(
    project: Project, trained: FlowRun
) -> None:
    new = [Kind("new", "end", "success"), Kind("spoilt", "exit=3", "failed", "user")]
    _write(project, *(kind.line for kind in new), "left,default.py,1,does=end,,,")
    flown = project.flow("-v", "-k", "new or spoilt", "--wf-wait=true", "--wf-fetch=all")
    expected = {kind.run_id: kind.seen for kind in new}
    left = Seen("not_selected", None, frozenset())
    views.agree(views.all_of(project, flown), {**expected, "left": left})
    assert project.wf("verify", str(flown.folder)).returncode == 0


@pytest.mark.long
def test_adopted_running_and_stopped_rows_are_the_same_in_every_view(
    project: Project, trained: FlowRun
) -> None:
    kept = [
        kind for kind in KINDS if kind.run_id in ("ok", "broken", "nan", "nan-broken", "nothing")
    ]
    _write(
        project,
        *(kind.line for kind in kept),
        "runs,default.py,1,does=wait,,,",
        "waits,default.py,1,does=end,,,",
    )
    reported = str(project.outputs / "runs" / "out" / "metrics.jsonl")
    project.phase(
        "P65", f"import os, time\nwhile not os.path.exists({reported!r}): time.sleep(0.1)"
    )
    launched = project.flow("-v")
    expected = {kind.run_id: kind.seen for kind in kept}
    running = {**expected, "runs": Seen("running", None, frozenset())}
    open_ = Seen("pending", None, frozenset())
    views.agree(views.all_of(project, launched), {**running, "waits": open_})
    assert project.wf("sweep-stop").returncode == 0
    stopped = project.flow("-v", "--wf-sweep=skip")
    ended = {**expected, "runs": Seen("stopped", "killed", frozenset())}
    views.agree(views.all_of(project, stopped), {**ended, "waits": open_})
