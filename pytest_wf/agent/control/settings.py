"""The config as the pod sees it: every key resolved by the controller, as strings."""

import os
from typing import Dict, Iterator, Mapping

from pytest_wf.wire import podenv
from pytest_wf.wire.messages import Refusal

_Int = int
render = podenv.render
parse = podenv.parse


class Settings(Mapping[str, str]):
    """All config keys with their values, read-only, and the pod's layout derived from them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values: Dict[str, str] = dict(values)

    @classmethod
    def read(cls, path: str) -> "Settings":
        """The settings in a file that `render` wrote.

        Raises Refusal 'config-not-synced' where it is absent or not of that form.
        """
        try:
            with open(path, "rb") as f:
                return cls(parse(f.read()))
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
        """Where results that stood in the way were moved to."""
        return os.path.join(self.outputs, "_archive")

    @property
    def campaigns(self) -> str:
        """One directory a campaign."""
        return os.path.join(self.control, "campaigns")

    @property
    def operations(self) -> str:
        """The journal: one directory a changing request."""
        return os.path.join(self.control, "ops")

    @property
    def state_file(self) -> str:
        """The pod's state: `WF_STATE_FILE`."""
        return self.get("WF_STATE_FILE") or os.path.join(self.control, "workflow_state.json")

    @property
    def env_path(self) -> str:
        """Where the rendered config stands: `REMOTE_ENV_PATH`."""
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
        """One directory a tracked task."""
        return os.path.join(self.outputs, "_tasks")

    def task_dir(self, task_id: str) -> str:
        """Where a tracked task stands."""
        return os.path.join(self.tasks, task_id)

    def run_dir(self, run_id: str) -> str:
        """Where a row's results stand."""
        return os.path.join(self.outputs, run_id)

    def out_dir(self, run_id: str) -> str:
        """Where a row's trainer writes: the run directory, or a local one that is mirrored."""
        if self.get("RUN_OUT_MODE") != "local_sync":
            return self.run_dir(run_id)
        return os.path.join(self._path("RUN_OUT_LOCAL_ROOT"), run_id)

    def flag(self, key: str) -> bool:
        """Whether a boolean key is on; an absent one is off."""
        return self.get(key, "") == "1"

    def int(self, key: str, default: _Int = 0) -> _Int:
        """A whole number; `default` where the key is absent or empty."""
        text = self.get(key, "")
        return int(text) if text else default

    def _path(self, key: str) -> str:
        value = self.get(key, "")
        if not value.startswith("/"):
            raise Refusal(
                "config-not-synced",
                '%s="%s" is not an absolute path on the pod' % (key, value),
                "Write an absolute path.",
            )
        return os.path.normpath(value)
