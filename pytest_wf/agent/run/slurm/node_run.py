"""One machine's part of a row over several machines: torchrun with c10d, started there by srun."""

import os
import signal
import socket
import subprocess
import sys
from types import FrameType
from typing import BinaryIO, Dict, List, Mapping, Optional

from pytest_wf.agent import process

#: Variables through which training libraries find a cluster that is not the row's own.
OF_THE_QUEUE = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_")
#: Seconds that remaining processes of an ended torchrun get to end by themselves.
_GRACE_S = 5.0


def launcher(job: str, nodes: int, cookie: str, keeps_env: bool) -> List[str]:
    """The command before a row's Python, which starts it once on each of `nodes` machines."""
    port = _free_port()
    words = ["srun", "--jobid=" + job, "--nodes=%d" % nodes, "--ntasks=%d" % nodes]
    words += ["--ntasks-per-node=1", "--kill-on-bad-exit=1", "--export=ALL", "--quiet"]
    own = process.agent_argv("node-run", str(nodes), str(port), cookie, "01"[keeps_env])
    return [*words, *own]


def node_main(words: List[str], _stdin: BinaryIO) -> int:
    """``node-run NODES PORT ID KEEPS_ENV PYTHON -m torch.distributed.run …``: its exit status.

    The first machine of the job holds the rendezvous. Processes that torchrun leaves behind are
    ended.
    """
    nodes, port, cookie, keeps_env, python, *rest = words
    host = os.environ["SLURM_LAUNCH_NODE_IPADDR"]
    is_host = os.environ["SLURM_NODEID"] == "0"
    process.become_subreaper()
    argv = [python, *rest[:2], *rendezvous(int(nodes), host, int(port), cookie, is_host), *rest[2:]]
    child = subprocess.Popen(
        argv,
        env=dict(os.environ) if keeps_env == "1" else without_queue(os.environ),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )

    def end(_number: int, _frame: Optional[FrameType]) -> None:
        child.terminate()

    signal.signal(signal.SIGTERM, end)
    status = child.wait()
    process.kill_tree("", None, _GRACE_S)
    sys.stdout.flush()
    return status if status >= 0 else 128 - status


def rendezvous(nodes: int, host: str, port: int, cookie: str, is_host: bool) -> List[str]:
    """The options of torchrun with which `nodes` machines find one another."""
    return [
        "--nnodes=%d" % nodes,
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=%s:%d" % (host, port),
        "--rdzv-id=" + cookie.replace("/", "-"),
        "--rdzv-conf=is_host=%s" % ("true" if is_host else "false"),
        "--local-addr=" + _own_address(host, port),
        "--max-restarts=0",
    ]


def without_queue(environ: Mapping[str, str]) -> Dict[str, str]:
    """`environ` without what Slurm sets in it."""
    return {name: value for name, value in environ.items() if not name.startswith(OF_THE_QUEUE)}


def _own_address(host: str, port: int) -> str:
    """The address of this machine from which `host` is reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))  # of a datagram socket: nothing is sent
        return str(sock.getsockname()[0])


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("", 0))
        return int(sock.getsockname()[1])
