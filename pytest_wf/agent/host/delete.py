"""Delete what this product made on the pod, and nothing else."""

import os
import stat as modes
from typing import Dict, Iterator, List, Set

from pytest_wf.agent.control import created_paths, frozen_campaign, removal, state
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import created_data
from pytest_wf.agent.sweep import leftovers, snapshot
from pytest_wf.agent.sweep.operations import stop
from pytest_wf.agent.tasks import task_dir
from pytest_wf.agent.tasks.operations import stop_task
from pytest_wf.wire import fsm
from pytest_wf.wire.files import COPY
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import MARKER, POD_CONFIG, is_foreign_file, is_foreign_folder


def delete(session: Session, args: Args) -> Result:
    """Remove the recorded paths; the state file stays, and says POD_TERMINATED.

    Links are removed, never followed; nothing on another file system or under a mount
    point is touched. It is refused while a sweep or a task runs or results are fetched, unless
    ``force`` stops them first.
    """
    settings = session.settings
    force = args.get("force") is True
    if force:
        _stop_all(session)
    else:
        state.require(settings, "pod-delete")
        _refuse_while_one_runs(settings)
    created_data.settle(settings)
    paths = sorted(set(created_paths.paths(settings)))
    mounts = created_paths.mount_points()
    for path in paths:
        _check(path, mounts)
    flow_id = str(args.get("flow_id", ""))
    reason = "deleted by force" if force else "deleted"
    if force:
        state.reset(settings, fsm.POD_TERMINATED, reason, flow_id)
    else:
        state.move(settings, "pod-delete", fsm.POD_TERMINATED, reason, flow_id)
    sweep = _Sweep(settings, session.request_id, mounts)
    for path in paths:
        sweep.remove(created_paths.real(path))
    # what had to stay remains recorded for the next deletion
    created_paths.keep_only(settings, [path for path in paths if os.path.lexists(path)])
    return {
        "removed": [path for path in paths if not sweep.left(created_paths.real(path))],
        "kept": [{"path": path, "why": why} for path, why in sorted(sweep.kept.items())],
        "files": sweep.files,
    }


class _Sweep:
    """One walk of removal."""

    def __init__(self, settings: Settings, request_id: str, mounts: Set[str]) -> None:
        control_dir = settings.control
        #: The records of the deletion, of who requested it and of its outcome; and this agent,
        #: which still runs.
        spared = (
            settings.state_file,
            settings.state_file + ".lock",
            os.path.join(control_dir, "agent"),
            os.path.join(control_dir, "lease.json"),
            os.path.join(control_dir, "lease.json" + COPY),
            os.path.join(control_dir, "lease.lock"),
            settings.state_file + COPY,
            created_paths.record_file(settings) + COPY,
            created_paths.record_file(settings),
            created_paths.record_file(settings) + ".lock",
            os.path.join(settings.operations, request_id),
            os.path.join(settings.operations, request_id + ".lock"),
        )
        self._spared = {created_paths.real(path) for path in spared}
        self._mounts = mounts
        outputs = created_paths.real(settings.outputs)
        #: What is directly in the outputs directory and was not made for a run stays.
        self._outputs = outputs
        folders = (settings.control, settings.manifests, settings.archive, settings.tasks)
        self._ours = {*map(created_paths.real, folders)}
        self._env_path = created_paths.real(settings.env_path)
        self.kept: Dict[str, str] = {}
        self.files = 0
        #: The folders that cannot go, as something in them remains.
        self._needed: Set[str] = set()
        #: The folders with a record of who made them; it goes last, with the folder: without it a
        #: later deletion would not remove what is left.
        self._marked: Set[str] = set()

    def remove(self, path: str) -> None:
        """Remove `path`. What remains is in `kept`, with the reason."""
        folders: List[str] = []
        self.files += removal.unlink_all(self._found_at(path, folders), self._keep_failed)
        for folder in reversed(folders):
            if folder not in self._needed:
                self._remove_folder(folder)

    def _found_at(self, path: str, folders: List[str]) -> Iterator[str]:
        """The files at `path` that are to be removed; the folders are added to `folders`."""
        waiting = [path]
        while waiting:
            path = waiting.pop()
            try:
                is_folder = modes.S_ISDIR(os.lstat(path).st_mode)
                if self._stays(path):
                    continue
                if is_folder:
                    waiting += [os.path.join(path, name) for name in os.listdir(path)]
                    folders.append(path)
                elif os.path.basename(path) == MARKER:
                    self._marked.add(os.path.dirname(path))
                else:
                    yield path
            except FileNotFoundError:
                pass
            except OSError as e:
                self._keep_failed(path, e)

    def _stays(self, path: str) -> bool:
        """Whether `path` is not to be removed."""
        if path in self._spared:
            self._need(os.path.dirname(path))
        elif path in self._mounts:
            self._keep(path, "it is a mount point")
        elif self._is_foreign(path):
            self._keep(path, "pytest-wf did not make it")
        else:
            return False
        return True

    def _remove_folder(self, path: str) -> None:
        try:
            if path in self._marked:
                os.unlink(os.path.join(path, MARKER))
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError as e:
            self._keep_failed(path, e)

    def _keep_failed(self, path: str, error: OSError) -> None:
        self._keep(path, str(error.strerror))

    def _keep(self, path: str, why: str) -> None:
        self.kept[path] = why
        self._need(os.path.dirname(path))

    def _need(self, folder: str) -> None:
        while folder not in self._needed:
            self._needed.add(folder)
            folder = os.path.dirname(folder)

    def _is_foreign(self, path: str) -> bool:
        if path == self._env_path:
            return is_foreign_file(path, POD_CONFIG)
        is_child = os.path.dirname(path) == self._outputs and path not in self._ours
        return is_child and is_foreign_folder(path)

    def left(self, path: str) -> List[str]:
        """What remains at `path` and below it, and should be gone."""
        return [kept for kept in self.kept if kept == path or kept.startswith(path + "/")]


def _refuse_while_one_runs(settings: Settings) -> None:
    # whatever the state says: it may have been set by hand
    found = frozen_campaign.readable_latest(settings)
    if found is not None and snapshot.take(found).is_active:
        at_work = [found.campaign_id]
    else:
        at_work = [one.campaign_id for one in leftovers.find_in_doubt(settings, found)]
    if at_work:
        raise Refusal(
            "sweep-running",
            "campaign %s is running" % at_work[0],
            "Wait for it, run `wf sweep-stop`, or use `--force`.",
            {"campaign_id": at_work[0]},
        )
    running = task_dir.at_work(settings)
    if running:
        raise Refusal(
            "task-running",
            "task %s is running" % " and task ".join(running),
            "Wait for it, run `wf task-stop --id %s`, or use `--force`." % running[0],
            {"tasks": running},
        )


def _stop_all(session: Session) -> None:
    left = list(stop(session)["leftovers"])
    for task_id in task_dir.at_work(session.settings):
        left += stop_task(session.settings, task_id)["leftovers"]
    if left:
        raise Refusal(
            "delete",
            "processes of the sweep or of a task could not be ended: %s" % left,
            "Nothing was deleted. End them, or restart the pod.",
            {"leftovers": left},
        )


def _check(path: str, mounts: Set[str]) -> None:
    if not created_paths.is_deletable(path, mounts):
        raise Refusal(
            "delete",
            "%s is never deleted: it is a root, a home or a mount point" % path,
            "Nothing was deleted. Remove what you no longer need yourself.",
            {"path": path},
        )
