"""One schedule, played on a project of its own: flows, faults, the user, and the oracle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_wf.testing import commit_all, write_project
from tests.support import damage, environment
from tests.support.flow_project import FlowRun, Project
from tests.support.injection import processes
from tests.support.injection.events import Events
from tests.support.injection.journal import Journal
from tests.support.injection.oracle import Oracle
from tests.support.injection.schedule import PATIENCE_S, ROWS, Fault, Leg, Schedule
from tests.support.injection.user import RESUME, User
from tests.support.machine import SshMachine
from tests.support.sshd import Sshd
from tests.support.wire import Wire

_CSV = (
    "one,default.py,1,steps=3,",
    "two,default.py,2,steps=5 sleep=0.2,",
    "three,default.py,3,steps=2 sleep=0.1 fails=once,",
)
_CONFIG = {
    "RUN_KILL_GRACE_SECS": "2",
    "RUN_LINGER_SECS": "2",
    "POD_WAIT_MAX_SECS": "60",
    "RUN_RETRIES": "1",
}
#: What the flows of a leg are given; those that are not here, nothing.
_WORDS = {
    "resume": RESUME,
    "prune": RESUME,
    "select": (*RESUME, "-k", "two"),
    "last-failed": (*RESUME, "--lf"),
    "select-start": ("-k", "two"),
}
#: Config keys that a leg has to itself.
_KEYS = {"retrain": {"SWEEP_RETRAIN": "one"}, "force": {"SWEEP_FORCE": "1"}}
#: Legs before which something is done.
_PREPARED = {"edit", "remove", "retrain", "force", "recode", "prune"}
_IMPATIENT = {"POD_WAIT_MAX_SECS": str(PATIENCE_S), "POD_SILENCE_MAX_SECS": str(PATIENCE_S)}
#: An event that does not come within this time does not come; its fault is left out.
_EVENT_S = 30.0
#: A process that gets a signal may begin a moment after its event.
_PROCESS_S = 2.0
_DISK_MB = 96


class Game:
    """Plays `schedule` in the folder `base`; `say` prints what is done."""

    def __init__(self, base: Path, schedule: Schedule, say: Callable[[str], None]) -> None:
        self._base = base
        self._schedule = schedule
        self._print = say
        #: How often each kind of fault was injected.
        self.injected: Counter[str] = Counter()
        journal = Journal(base / "journal")
        (base / "project").mkdir()
        root = write_project(base / "project", config=_CONFIG, rows=_CSV, trainer=journal.trainer())
        self.project = Project(root, environment.clean_environ(base / "home"))
        self.user = User(self.project)
        self.oracle = Oracle(base, self.project, self.user, journal)
        self.user.retrains = self.oracle.ask_again
        self._events = Events(self.project, journal)
        self._sshd: Sshd | None = None
        self._wire: Wire | None = None
        self._rows = list(ROWS)
        self._edits = 0

    def _say(self, text: str) -> None:
        self._print(f"seed {self._schedule.seed}: {text}")

    def play(self) -> list[str]:
        """All legs, then the next commands until a flow passes; what is wrong in the end."""
        with self._pod():
            try:
                return self._legs()
            except subprocess.TimeoutExpired as e:
                return [f"does not end: {e.cmd}"]

    def _legs(self) -> list[str]:
        said, passed = "", False
        for leg in self._schedule.legs:
            run = self._play(leg)
            said, passed = run.output, run.code == 0
        self._say(f"the faults are over; the last flow's exit status is {run.code}")
        if not passed and not self.user.finish(said):
            return [f"no flow passed; the last one said:\n{self.user.told[-1][1]}"]
        if self._lacks_results():
            self.user.finish()
        return self.oracle.violations(self._rows)

    def _play(self, leg: Leg) -> FlowRun:
        faults = leg.faults
        before = {fault.event: self._events.count(fault.event) for fault in faults}
        self._say(leg.begins)
        if leg.begins in _PREPARED:
            getattr(self, "_" + leg.begins)()
        keys = _KEYS.get(leg.begins, {})
        self.project.configure(**keys)
        run = self.user.start(*_WORDS.get(leg.begins, ()))
        threads = [
            threading.Thread(target=self._inject, args=(run, fault, before[fault.event]))
            for fault in faults
        ]
        for thread in threads:
            thread.start()
        try:
            self.user.ended(run)
        finally:
            for thread in threads:
                thread.join()
        self.project.configure(**dict.fromkeys(keys, ""))
        return run

    def _edit(self) -> None:
        """Change a row of the CSV, and add one."""
        csv = self.project.root / "flows" / "sweep.csv"
        self._edits += 1
        text = csv.read_text().replace(f"steps={4 + self._edits} ", f"steps={5 + self._edits} ")
        run_id = f"added{self._edits}"
        csv.write_text(f"{text}{run_id},default.py,9,steps=2,\n")
        self._rows.append(run_id)

    def _remove(self) -> None:
        """Take a row out of the CSV, or put it back."""
        csv = self.project.root / "flows" / "sweep.csv"
        lines = csv.read_text().splitlines()
        kept = [line for line in lines if not line.startswith("three,")]
        if len(kept) < len(lines):
            self._rows.remove("three")
        else:
            kept.append(_CSV[2])
            self._rows.append("three")
        csv.write_text("\n".join([*kept, ""]))

    def _retrain(self) -> None:
        self.oracle.ask_again(["one"])

    def _force(self) -> None:
        self.oracle.ask_again(self._rows)

    def _recode(self) -> None:
        """Change the trainer, and commit it."""
        with (self.project.root / "train" / "train.py").open("a") as f:
            f.write("# of another version\n")
        commit_all(self.project.root, "Another version")

    def _prune(self) -> None:
        self._wf("prune")

    def _wf(self, *words: str) -> None:
        done = self.project.wf(*words)
        self.user.told.append((["wf", *words], done.stdout + done.stderr))

    def _inject(self, run: FlowRun, fault: Fault, before: int) -> None:
        deadline = time.monotonic() + _EVENT_S
        before -= fault.event == "start"
        while self._events.count(fault.event) <= before:
            if run.process.poll() is not None or time.monotonic() > deadline:
                self._say(f"left out, as it did not happen: {fault}")
                return
            time.sleep(0.005)
        time.sleep(fault.delay_s)
        if fault.kind == "signal" and not self._wait_for(run, fault.target.split()[1]):
            self._say(f"left out, as nothing gets it: {fault}")
            return
        self._say(str(fault))
        self.injected[f"{fault.kind} {fault.target}".rstrip()] += 1
        getattr(self, "_" + fault.kind.replace("-", "_"))(run, fault)

    def _wait_for(self, run: FlowRun, role: str) -> bool:
        """Wait a moment for a process of this role."""
        deadline = time.monotonic() + _PROCESS_S
        while not self._pids(run, role):
            if run.process.poll() is not None or time.monotonic() > deadline:
                return False
        return True

    def _pids(self, run: FlowRun, role: str) -> list[int]:
        if role != "controller":
            return processes.of_role(self._base, role)
        return [run.process.pid] if run.process.poll() is None else []

    def _signal(self, run: FlowRun, fault: Fault) -> None:
        name, role = fault.target.split()
        pids = self._pids(run, role)
        if role in ("supervisor", "runner", "trainer") and name != "STOP":
            self.oracle.excuse_living()
        _send(pids, signal.Signals[f"SIG{name}"])
        if name == "STOP":
            time.sleep(fault.lasts_s)
            _send(pids, signal.SIGCONT)

    def _restart_pod(self, _run: FlowRun, _fault: Fault) -> None:
        """As a container restarts: all processes of the pod are gone, the kernel is the same."""
        self.oracle.excuse_living()
        for _ in range(3):  # some are just being started
            _send(processes.of_pod(self._base), signal.SIGKILL)
        if self._sshd is not None:
            self._sshd.cut_sessions()

    def _reboot(self, _run: FlowRun, fault: Fault) -> None:
        assert isinstance(self._sshd, SshMachine)
        self.oracle.excuse_living()
        self._sshd.power_off()
        time.sleep(fault.lasts_s / 4)
        self._sshd.power_on()

    def _damage(self, _run: FlowRun, fault: Fault) -> None:
        how, *patterns = fault.target.split()
        for pattern in patterns:
            for path in self.project.outputs.glob(pattern):
                with suppress(
                    OSError, ValueError, StopIteration
                ):  # it was just replaced, or damaged
                    damage.KINDS[how](path)

    def _command(self, _run: FlowRun, fault: Fault) -> None:
        self._wf(*fault.target.split())

    def _second_controller(self, run: FlowRun, fault: Fault) -> None:
        self.user.ended(self.user.start(*RESUME))

    def _sweep_stop(self, run: FlowRun, fault: Fault) -> None:
        self.oracle.excuse_living()
        self._wf("sweep-stop")

    def _full_disk(self, run: FlowRun, fault: Fault) -> None:
        _fill(self._base / "disk" / "ballast", run, fault.lasts_s)

    def _full_local_disk(self, run: FlowRun, fault: Fault) -> None:
        _fill(self.project.root / "reports" / "ballast", run, fault.lasts_s)

    def _cut(self, run: FlowRun, fault: Fault) -> None:
        assert self._wire is not None
        self._wire.cut(is_reset=True)

    def _silence(self, run: FlowRun, fault: Fault) -> None:
        self._silent(fault)

    def _half_silence(self, run: FlowRun, fault: Fault) -> None:
        up = fault.delay_s < 0.02
        self._silent(fault, up=up, down=not up)

    def _silent(self, fault: Fault, *, up: bool = True, down: bool = True) -> None:
        assert self._wire is not None
        self._wire.silence(up=up, down=down)
        time.sleep(fault.lasts_s)
        self._wire.mend()

    def _restart_sshd(self, run: FlowRun, fault: Fault) -> None:
        assert self._sshd is not None
        self._sshd.stop()
        time.sleep(fault.lasts_s / 4)
        self._sshd.start()

    def _lacks_results(self) -> bool:
        """Whether a row is not here and ok: its flow may have been of other rows."""
        runs = self.project.root / "reports" / "runs"
        found = [runs / run_id / "summary.json" for run_id in self._rows]
        return not all(path.exists() and json.loads(path.read_text())["ok"] for path in found)

    @contextmanager
    def _pod(self) -> Iterator[None]:
        self.project.outputs = self._base / "disk" / "outputs"
        with _small_disk(self._base / "disk"), _small_disk(self.project.root / "reports"):
            keys = {"OPS_REMOTE_OUTPUTS_DIR": str(self.project.outputs)}
            if self._schedule.is_impatient:
                keys.update(_IMPATIENT)
            if self._schedule.transport != "local":
                keys.update(self._serve())
            self.project.configure(**keys)
            try:
                yield
            finally:
                self._end()

    def _end(self) -> None:
        """End all that still runs."""
        for run in self.user.flows:
            if run.process.poll() is None:
                run.kill()
        if self._wire is not None:
            self._wire.close()
        if self._sshd is not None:
            self._sshd.cut_sessions()
            self._sshd.stop()
        if isinstance(self._sshd, SshMachine):
            self._sshd.power_off()
        _send(list(processes.below(self._base)), signal.SIGKILL)

    def _serve(self) -> dict[str, str]:
        (self._base / "sshd").mkdir()
        kind = SshMachine if self._schedule.transport == "machine" else Sshd
        self._sshd = kind(self._base / "sshd")
        self._wire = Wire(self._sshd.port)
        known = self._base / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self._wire.port} {self._sshd.host_key}\n")
        return {
            "OPS_DEFAULT_HOST": f"{self._sshd.user}@127.0.0.1:{self._wire.port}",
            "SSH_IDENTITY_FILE": str(self._sshd.identity_file),
            "SSH_KNOWN_HOSTS": str(known),
            "OPS_REMOTE_REPO": str(self._base / "pod" / "repo"),
            "REMOTE_ENV_PATH": str(self._base / "pod" / "project.env"),
        }


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own at `folder`, where this user may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "none", str(folder)]
    is_mounted = os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0
    try:
        yield
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(ballast: Path, run: FlowRun, lasts_s: float) -> None:
    """Fill the small disk of `ballast` for a time, or until the flow has ended."""
    if not ballast.parent.is_mount():
        return
    with suppress(OSError), ballast.open("wb", buffering=0) as f:
        while True:
            f.write(bytes(1 << 16))
    end = time.monotonic() + lasts_s
    while run.process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    ballast.unlink()


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
