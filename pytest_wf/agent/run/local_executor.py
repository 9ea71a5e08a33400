"""The executor of a single pod: each runner is a process here, and has its own GPUs."""

import os
import time
from typing import List, Optional, Sequence, Set

from pytest_wf.agent import forks, process
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import gpus
from pytest_wf.agent.run.executor import Executor, Handle, Job, Share

#: Seconds between two looks at GPUs that another process uses.
GPU_LOOK_S = 5.0
#: Seconds between two looks at runners whose ends wake this process.
CHILD_LOOK_S = 1.0


class LocalExecutor(Executor):
    """Starts runners in sessions of their own. A pod without GPUs runs one at a time."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._detected: Optional[gpus.Gpus] = None
        #: Names of the GPUs in use; "" is the only slot of a pod without GPUs.
        self._used: Set[str] = set()
        self._look_at = 0.0
        #: Whether runners are under way that another supervisor started.
        self._has_adopted = False

    def capacity(self) -> int:
        """The number of GPUs of the pod."""
        return len(self._gpus().names)

    def share(self, gpus: int) -> Optional[Share]:
        """The first free GPUs in the machine's order."""
        found = self._gpus()
        count = gpus or max(1, len(found.names))
        free = [name for name in found.names or [""] if name not in self._used]
        if count > len(free):
            return None
        names = [name for name in free[:count] if name]
        environment = {}
        if names and len(names) < len(found.names):
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(names)
            if found.source == "nvidia-smi":
                # nvidia-smi's numbers; CUDA's own begin with the fastest GPU
                environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        return Share(names, environment)

    def start(self, job: Job) -> Optional[Handle]:
        """Spawn the runner if enough GPUs are free and no other process uses their memory."""
        share = self.share(job.gpus)
        if share is None:
            self.waits_for = ""  # only for rows of our own
            return None
        if not self._are_idle(share):
            return None
        words = ("attempt", job.folder, str(os.getpid()))
        runner = forks.start(words, log_path=job.log_path, stdin=job.prepare(share))
        self._used.update(share.names or [""])
        return dict(runner, gpus=share.names)

    def poll(self, handles: Sequence[Handle]) -> None:
        """Note which GPUs are in use; all of them if a handle names none."""
        self._has_adopted = not all(process.is_child(handle) for handle in handles)
        everything = self._gpus().names or [""]
        self._used = {name for handle in handles for name in handle.get("gpus") or everything}

    def look_s(self) -> float:
        """Longer for runners that this process started, as their ends wake it."""
        if self._has_adopted:
            return super().look_s()
        if self.waits_for:
            return min(CHILD_LOOK_S, max(0.0, self._look_at - time.monotonic()))
        return CHILD_LOOK_S

    def is_alive(self, handle: Handle) -> bool:
        """Whether the runner's process is alive."""
        return process.is_alive(handle)

    def cancel(self, cookie: str, handle: Optional[Handle], grace_s: float) -> List[int]:
        """Kill all processes that carry `cookie`, and the runner with its descendants."""
        return process.kill_tree(cookie, handle, grace_s)

    def _gpus(self) -> gpus.Gpus:
        if self._detected is None:
            self._detected = gpus.detect(self.settings)
        return self._detected

    def _are_idle(self, share: Share) -> bool:
        now = time.monotonic()
        if now < self._look_at:
            return False
        self.waits_for = gpus.users_of(share.names)
        self._look_at = now + GPU_LOOK_S if self.waits_for else 0.0
        return not self.waits_for
