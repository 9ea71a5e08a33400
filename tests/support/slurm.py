"""A real Slurm on loopback: munged, slurmctld and two slurmd, as root and without systemd.

Everything is in one folder: a key of its own, the configuration (`SLURM_CONF`), state and logs. The
nodes are two names of this machine, with two pretended GPUs each. Ports are picked free.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from pytest_wf.loopback.sshd import free_port
from tests.support import slurm_guardian
from tests.support.waiting import until

NODES = ("n1", "n2")
GPUS = 2
#: A client that gets no answer gives up after so long.
CLIENT_S = 60.0
#: A job begins with a login shell, whose start-up files are this machine's and may do anything:
#: those of pyenv wait a minute for each other. $0 is the node.
_WITHOUT_LOGIN = """
for file in .bash_profile .bash_login .profile .bashrc; do
    [ ! -e ~/"$file" ] || mount --bind /dev/null ~/"$file" || exit 1
done
exec slurmd -D -N "$0"
"""
_DAEMONS = ("munged", "slurmctld", "slurmd")
_PATH = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin", os.environ["PATH"]])

_CONF = """\
ClusterName=wf
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/{task}
ReturnToService=1
SlurmdParameters=config_overrides
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
SlurmctldTimeout=10
SlurmdTimeout=60
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,requeue_delay=1
SelectType=select/cons_tres
SelectTypeParameters={select}
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.log
JobAcctGatherType=jobacct_gather/none
JobRequeue=0
MinJobAge=300
MaxJobCount=20000
MaxArraySize=1001
KillWait=5
InactiveLimit=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
_NODE = (
    "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=2000 "
    "Gres=gpu:{gpus} State=UNKNOWN\n"
)


_MEMORY = Path("/sys/fs/cgroup/memory")


def why_not() -> str:
    """Why this machine cannot have such a Slurm; '' where it can."""
    if os.getuid() != 0:
        return "a Slurm of the tests needs root"
    missing = [name for name in (*_DAEMONS, "sbatch") if not shutil.which(name, path=_PATH)]
    if missing:
        return f"the package slurm-wlm is not installed: no {', '.join(missing)}"
    return "" if os.path.ismount("/sys/fs/cgroup") else "nothing is mounted at /sys/fs/cgroup"


def why_no_memory_limit() -> str:
    """Why such a Slurm cannot limit the memory of jobs; '' where it can."""
    if not (_MEMORY / "memory.limit_in_bytes").exists():
        return "there is no memory controller of cgroup v1"
    taken = [str(path) for path in _cgroups() if path.exists()]
    return f"a Slurm uses {' '.join(taken)}" if taken else ""


def _cgroups() -> list[Path]:
    """Where slurmd limits the memory of jobs."""
    return [_MEMORY / f"slurm_{node}" for node in NODES]


class Slurm:
    """A cluster of two nodes. `start` it, and `stop` it without a trace.

    With `limits_memory` a job that takes more than its `--mem` is ended.
    """

    def __init__(self, *, limits_memory: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wf-slurm-"))
        self.folder.chmod(0o755)  # munged wants its socket within reach of everyone
        self.conf = self.folder / "slurm.conf"
        self.environ = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": _PATH}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._guardian: subprocess.Popen[bytes] | None = None
        self._cgroups = _cgroups() if limits_memory else []
        self._configure(limits_memory)

    def start(self) -> None:
        """Start the daemons and wait until both nodes are idle."""
        own = [sys.executable, "-m", slurm_guardian.__name__, str(self.conf), str(os.getpid())]
        root = Path(__file__).parents[2]
        self._guardian = subprocess.Popen(own, cwd=root, start_new_session=True)
        key, files = self.folder / "munge.key", self.folder / "munge"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        words = [f"--{name}-file={files}.{name}" for name in ("pid", "seed", "log")]
        socket_path = self.folder / "munge.socket"
        self._spawn("munged", "-F", f"--key-file={key}", f"--socket={socket_path}", *words)
        until(socket_path.exists, "munged listens")
        self.start_controller()
        for node in NODES:
            self._spawn("unshare", "--mount", "sh", "-c", _WITHOUT_LOGIN, node, name=node)
        until(self._is_idle, f"both nodes are idle: {self.log('slurmctld')}")

    def stop(self) -> None:
        """End all jobs and daemons, and remove the folder."""
        try:
            self._end_jobs()
        finally:
            self._end_daemons()

    def start_controller(self) -> None:
        """Start slurmctld; it goes on from the state that one before left."""
        self._spawn("slurmctld", "-D")
        until(lambda: "UP" in self.client("scontrol", "ping", check=False), "slurmctld answers")

    def kill(self, name: str, by: signal.Signals = signal.SIGKILL) -> None:
        """End the daemon 'slurmctld', 'munged' or that of a node."""
        daemon = self._daemons.pop(name)
        daemon.send_signal(by)
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def client(self, *argv: str, check: bool = True) -> str:
        """What a client says on stdout."""
        done = subprocess.run(
            argv, env=self.environ, capture_output=True, text=True, timeout=CLIENT_S, check=False
        )
        assert done.returncode == 0 or not check, (argv, done.stdout, done.stderr)
        return done.stdout

    def log(self, name: str) -> str:
        """What a daemon said so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def _end_jobs(self) -> None:
        with suppress(subprocess.SubprocessError):
            if "slurmctld" in self._daemons:
                self.client("scancel", "--full", f"--user={os.getuid()}")
                until(lambda: not self.client("squeue", "-h"), "all jobs have ended", 30)

    def _end_daemons(self) -> None:
        for name in list(self._daemons):
            self.kill(name, signal.SIGTERM)
        slurm_guardian.end(self.conf)
        if self._guardian is not None:
            self._guardian.kill()
            self._guardian.wait()
        for cgroup in self._cgroups:
            for folder, _, _ in os.walk(cgroup, topdown=False):
                os.rmdir(folder)
        shutil.rmtree(self.folder)

    def _spawn(self, program: str, *words: str, name: str = "") -> None:
        name = name or program
        with open(self.folder / f"{name}.log", "ab") as log:
            self._daemons[name] = subprocess.Popen(
                [program, *words],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                executable=shutil.which(program, path=_PATH),
                start_new_session=True,
            )

    def _is_idle(self) -> bool:
        states = self.client("sinfo", "-hN", "-p", "low", "-o", "%T", check=False).split()
        return states == ["idle"] * len(NODES)

    def _configure(self, limits_memory: bool) -> None:
        host = socket.gethostname().partition(".")[0]
        port, *ports = (free_port() for _ in range(1 + len(NODES)))
        for name in ("state", "spool", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir()
        text = _CONF.format(
            host=host,
            folder=self.folder,
            port=port,
            task="cgroup" if limits_memory else "none",
            select="CR_Core_Memory" if limits_memory else "CR_Core",
        )
        gres = ""
        for node, node_port in zip(NODES, ports, strict=True):
            text += _NODE.format(node=node, host=host, port=node_port, gpus=GPUS)
            for number in range(GPUS):
                # a GPU without a file leaves the node invalid; this one is /dev/null
                os.mknod(self.folder / f"{node}gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            gres += f"NodeName={node} Name=gpu File={self.folder}/{node}gpu[0-{GPUS - 1}]\n"
        self.conf.write_text(text)
        (self.folder / "gres.conf").write_text(gres)
        limits = "ConstrainRAMSpace=yes\nAllowedRAMSpace=100\n" if limits_memory else ""
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n" + limits)
