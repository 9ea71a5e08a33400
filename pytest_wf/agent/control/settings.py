"""The config as the pod sees it: every key resolved by the controller, as strings."""

import os
from typing import Dict, Iterator, Mapping

from pytest_wf.wire import ids, podenv
from pytest_wf.wire.files import read_bytes
from pytest_wf.wire.messages import Refusal

_Int = int
#: The folder of a run directory in which experiment trackers write.
TRACKERS = "trackers"
#: A key that the settings of a smoke run have besides the config's keys.
SMOKE = "_SMOKE"
render = podenv.render
parse = podenv.parse


class Settings(Mapping[str, str]):
    """All config keys with their values, read-only, and the pod's layout derived from them.

    Every key is there: the controller resolves defaults. A value that is not set is "".
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values: Dict[str, str] = dict(values)

    @classmethod
    def read(cls, path: str) -> "Settings":
        """The settings in a file that `render` wrote.

        Raises Refusal 'config-not-synced' if it is missing or malformed.
        """
        try:
            return cls(parse(read_bytes(path)))
        except (OSError, ValueError) as e:
            raise Refusal(
                "config-not-synced",
                "the pod's config %s cannot be read: %s" % (path, e),
                "Run `wf config-sync`.",
            ) from None

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def project(self) -> str:
        """The project of the campaigns and runs: `WF_PROJECT`; '' in files of older versions."""
        return self.get("WF_PROJECT", "")

    @property
    def log_pattern(self) -> str:
        """`METRICS_LOG_PATTERN`; '' if there is none, and in files of older versions."""
        return self.get("METRICS_LOG_PATTERN", "")

    @property
    def is_smoke(self) -> bool:
        """Whether these are the settings of a smoke run (`agent/sweep/smoke.py`)."""
        return self.get(SMOKE, "") == "1"

    @property
    def outputs(self) -> str:
        """Root of everything that outlives a checkout: `OPS_REMOTE_OUTPUTS_DIR`."""
        return self._path("OPS_REMOTE_OUTPUTS_DIR")

    @property
    def control(self) -> str:
        """Where the agent keeps its own files."""
        return os.path.join(self.outputs, "_control")

    @property
    def manifests(self) -> str:
        """Frozen manifests and configs, and copies of the evidence."""
        return os.path.join(self.outputs, "_manifests")

    @property
    def archive(self) -> str:
        """Where results of earlier campaigns were moved to."""
        return os.path.join(self.outputs, ids.ARCHIVE)

    @property
    def campaigns(self) -> str:
        """One directory per campaign."""
        return os.path.join(self.control, "campaigns")

    @property
    def operations(self) -> str:
        """The journal: one directory per request that changes the pod."""
        return os.path.join(self.control, "ops")

    @property
    def state_file(self) -> str:
        """The pod's state: `WF_STATE_FILE`."""
        return self._path("WF_STATE_FILE")

    @property
    def env_path(self) -> str:
        """Path of the rendered config: `REMOTE_ENV_PATH`."""
        return self._path("REMOTE_ENV_PATH")

    @property
    def repo(self) -> str:
        """The training repository: `OPS_REMOTE_REPO`."""
        return self._path("OPS_REMOTE_REPO")

    @property
    def venv_python(self) -> str:
        """The interpreter that trainings run under."""
        return os.path.join(self.repo, ".venv", "bin", "python")

    @property
    def tasks(self) -> str:
        """One directory per tracked task."""
        return os.path.join(self.outputs, "_tasks")

    def task_dir(self, task_id: str) -> str:
        """The directory of a tracked task."""
        return os.path.join(self.tasks, task_id)

    def run_dir(self, run_id: str) -> str:
        """The run directory of a row: pytest-wf's files, and the trainer's in ``out/``."""
        return os.path.join(self.outputs, run_id)

    def durable_out(self, run_id: str) -> str:
        """The folder of the trainer's files in a row's run directory."""
        return os.path.join(self.run_dir(run_id), "out")

    def trackers_dir(self, run_id: str) -> str:
        """Where a row's experiment trackers keep what they do not send elsewhere."""
        return os.path.join(self.run_dir(run_id), TRACKERS)

    def out_dir(self, run_id: str) -> str:
        """Where a row's trainer writes: `durable_out`, or a local directory mirrored to it."""
        if self["RUN_OUT_MODE"] != "local_sync":
            return self.durable_out(run_id)
        return os.path.join(self._path("RUN_OUT_LOCAL_ROOT"), run_id)

    @property
    def kill_grace_s(self) -> float:
        """Seconds between SIGTERM and SIGKILL: `RUN_KILL_GRACE_SECS`."""
        return float(self["RUN_KILL_GRACE_SECS"])

    def flag(self, key: str) -> bool:
        """Whether a boolean key is on."""
        return self[key] == "1"

    def int(self, key: str) -> _Int:
        """A whole number; 0 if the value is empty."""
        return int(self[key] or 0)

    def _path(self, key: str) -> str:
        value = self[key]
        if not value.startswith("/"):
            raise Refusal(
                "config-not-synced",
                '%s="%s" is not an absolute path on the pod' % (key, value),
                "Write an absolute path.",
            )
        return os.path.normpath(value)
