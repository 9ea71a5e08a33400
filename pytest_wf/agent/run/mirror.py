"""RUN_OUT_MODE=local_sync: the trainer's folder on a fast local disk, mirrored to the durable one.

A mirror adds and replaces files; those that only the durable side has stay, since an empty local
directory usually means a fresh pod. pytest-wf writes nothing into the local directory: a file
beside it records its owner.
"""

import os
import threading
from typing import List, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control import created_paths, locks
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.results import local_out
from pytest_wf.agent.results.listing import contents_of
from pytest_wf.wire.files import move_into, write_atomic
from pytest_wf.wire.ownership import NotOurs, is_within
from pytest_wf.wire.rows import Row

#: Seconds without progress after which a transfer has failed.
IO_TIMEOUT_S = 600
#: How often the last copy is tried before the row has failed, and the pauses between.
LAST_TRIES = 3
LAST_PAUSE_S = 2.0
#: How rsync ends if files vanished meanwhile: a trainer is at work there.
_VANISHED = "rsync ended with status 24:"
_FULL = ("No space left on device", "Disk quota exceeded")


class Mirror:
    """Copies one run's local directory into its ``out/``, at intervals and at the end."""

    def __init__(self, campaign: Campaign, row: Row) -> None:
        settings = campaign.settings
        self._settings = settings
        self._run_id = row.run_id
        self.source = settings.out_dir(row.run_id)
        self._target = settings.durable_out(row.run_id)
        self._every_s = settings.int("SYNC_INTERVAL_SECS")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        #: The errors of failed copies, each once.
        self.complaints: List[str] = []

    def start(self) -> None:
        """Begin to copy at intervals."""
        self._thread.start()

    def finish(self) -> Optional[str]:
        """Copy once more, when the trainer has ended; why that failed, or None."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        why: Optional[str] = None
        for number in range(LAST_TRIES):
            if number:
                threading.Event().wait(LAST_PAUSE_S)
            why = self.copy(is_last=True)
            if why is None:
                return None
        return why

    def copy(self, is_last: bool = False) -> Optional[str]:
        """Copy what is new; why it failed, or None.

        A last copy has not failed if it lacks only unreadable files: each listing of the run names
        them, and so do the complaints. If the trainer has removed the directory, there is nothing
        to copy; if it put a file in its place, that is copied under its name.
        """
        if not os.path.exists(self.source):
            if is_last:
                self.complaints.append("the trainer removed %s" % self.source)
            return None
        why = _rsync(self.source, self._target, local_out.beside(self.source, "lock"))
        if why is not None and why.startswith(_VANISHED) and not is_last:
            return None
        if why is not None and why not in self.complaints:
            self.complaints.append(why)
        if why is not None and is_last and not self._lacks_any():
            return None
        return why

    def _lacks_any(self) -> bool:
        """Whether the durable side lacks anything that could be copied."""
        durable = contents_of(self._settings.run_dir(self._run_id))
        lacking = local_out.lacking(self._settings, self._run_id, durable)
        return any(why.startswith(local_out.ONLY_LOCAL) for _, _, why in lacking)

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            self.copy()


def is_used(settings: Settings) -> bool:
    """Whether runs write to a local directory that is mirrored."""
    return settings["RUN_OUT_MODE"] == "local_sync"


def prepare(campaign: Campaign, row: Row) -> None:
    """Create the local directory of a row that is about to run.

    One that another campaign left is moved aside; a new one begins with what this campaign has on
    the durable side, such as after a change of pods. Raises OSError.
    """
    settings = campaign.settings
    local = settings.out_dir(row.run_id)
    if os.path.lexists(local):
        owner = local_out.owner(local)
        if owner == campaign.campaign_id:
            return
        if not owner:
            raise FileExistsError(NotOurs(local).message)
        _move_aside(local, owner)
    root = os.path.dirname(local)
    created_paths.directory(settings, root)
    created_paths.cover(settings, local)
    fresh = os.path.join(root, ".%s.new" % row.run_id)
    os.makedirs(fresh, exist_ok=True)
    durable = settings.durable_out(row.run_id)
    lock = local_out.beside(local, "lock")
    why = _rsync(durable, fresh, lock) if os.path.exists(durable) else None
    if why is not None:
        raise OSError("the run's files could not be copied to %s: %s" % (local, why))
    write_atomic(local_out.beside(local, "campaign"), campaign.campaign_id.encode("ascii"))
    os.rename(fresh, local)


def foreign(settings: Settings, rows: List[Row]) -> List[str]:
    """Paths of the rows' local directories where something is that was not made for a run."""
    if not is_used(settings):
        return []
    root = settings["RUN_OUT_LOCAL_ROOT"]
    real = os.path.realpath(root)
    if is_within(root, settings.repo) and not is_within(real, os.path.realpath(settings.repo)):
        return [root]  # a link in the repository leads out of it
    places = [settings.out_dir(row.run_id) for row in rows]
    return [place for place in places if os.path.lexists(place) and not local_out.owner(place)]


def failure_class(why: str) -> str:
    """The failure class of a row whose results could not be copied to the durable side."""
    return "disk_full" if any(text in why for text in _FULL) else "data"


def _move_aside(local: str, owner: str) -> None:
    folder = os.path.join(os.path.dirname(local), "_archive", owner)
    os.makedirs(folder, exist_ok=True)
    move_into(folder, local)


def _rsync(source: str, target: str, lock: str) -> Optional[str]:
    """Copy the content of the directory `source`, or that file, to `target`; None, or the error.

    A copy that a killed runner left running keeps `lock`, and is waited for.
    """
    # a socket or a named pipe is created on the other side too: it has to be reported as not a
    # result
    argv = ["rsync", "-rltS", "--specials", "--partial-dir=.rsync-partial", "--delay-updates"]
    argv += ["--timeout=%d" % IO_TIMEOUT_S]
    content = source + "/" if os.path.isdir(source) else source
    argv += ["--", content, target + "/"]
    try:
        with locks.locked(lock) as held:
            done = process.output(argv, None, pass_fds=(held,))
    except OSError as e:
        return "rsync: %s" % e
    if done.ok:
        return None
    first = next(iter(done.stderr.strip().splitlines()), "")
    if done.code is None:
        return "rsync: %s" % first
    return "rsync ended with status %d: %s" % (done.code, first)
