"""Download FineWeb shards: whole, verified, and placed by one rename each."""

import json
import os
import shutil
import stat as modes
import tempfile
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from pytest_wf.agent.control import created_paths
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import virtualenv
from pytest_wf.agent.setup.logged_step import Step, StepLog, run_step
from pytest_wf.agent.setup.shards import look_at
from pytest_wf.wire.files import sha256_file
from pytest_wf.wire.messages import Refusal

REPOSITORY = "kjj0/fineweb10B-gpt2"
#: What is downloaded where a kind is missing.
FILES = {"train": "fineweb_train_000001.bin", "val": "fineweb_val_000000.bin"}

#: Room that a download leaves on a disk.
_SPARE_BYTES = 64 * 1024 * 1024
_TIMEOUT_S = 3600
_ABOUT_TIMEOUT_S = 120.0
_TRIES = 2
_MARK = "wf-facts:"
# Which endpoint it asks, it reads from the environment when it is imported.
_SCRIPT = """
import json, sys
asked = json.loads(sys.argv[1])
try:
    import huggingface_hub as hub
except ImportError as e:
    sys.exit("huggingface_hub is missing: %s" % e)
if asked["do"] == "look":
    told = {}
    for name in asked["names"]:
        url = hub.hf_hub_url(asked["repository"], name, repo_type="dataset")
        found = hub.get_hf_file_metadata(url)
        told[name] = {"bytes": found.size, "etag": found.etag, "commit": found.commit_hash}
    told = {"files": told, "version": hub.__version__, "endpoint": hub.constants.ENDPOINT}
else:
    told = hub.hf_hub_download(asked["repository"], asked["name"], repo_type="dataset",
                               local_dir=asked["folder"], revision=asked["commit"],
                               force_download=asked["anew"])
print("wf-facts:" + json.dumps(told))
"""


class Mount(NamedTuple):
    """The file system that a path is on, as the mount table tells."""

    source: str
    point: str
    kind: str

    @property
    def is_remote(self) -> bool:
        """Whether it is s3fs or its like: random writes and renames there are copies."""
        return self.kind == "fuse" or self.kind.startswith("fuse.")


def mount_of(path: str, table: str = "/proc/mounts") -> Mount:
    """The mount that `path`, or the nearest directory above it that exists, is on."""
    real = os.path.realpath(path)
    best = Mount("", "/", "")
    for mount in _mounts(table):
        inside = real == mount.point or real.startswith(mount.point.rstrip("/") + "/")
        # of two on one point the later one hides the earlier
        if inside and len(mount.point) >= len(best.point):
            best = mount
    return best


def fetch_missing(settings: Settings, log: StepLog, where: str, kinds: List[str]) -> Dict[str, Any]:
    """Download one shard of each of `kinds` into `where`; the facts of how. Raises Refusal 'data'.

    On a file system such as s3fs they are staged on a local disk and copied. What a download
    that was cut short left behind stays where the next one finds it.
    """
    names = [FILES[kind] for kind in kinds]
    about = _ask(settings, log, {"do": "look", "names": names}, _ABOUT_TIMEOUT_S)
    files: Dict[str, Any] = about["files"]
    need = sum(int(files[name]["bytes"] or 0) for name in names)
    mount = mount_of(where)
    try:
        os.makedirs(where, exist_ok=True)
        _demand_room(where, need)
        staging = _staging(settings, need) if mount.is_remote else os.path.join(where, ".wf-part")
        os.makedirs(staging, mode=0o700, exist_ok=True)
        taken = {}
        for name in names:
            path, tries = _download(settings, log, staging, name, files[name])
            _place(settings, path, os.path.join(where, name), copied=mount.is_remote)
            taken[name] = {"sha256": sha256_file(os.path.join(where, name)), "tries": tries}
        shutil.rmtree(staging, ignore_errors=True)
    except OSError as e:
        raise _refused(
            "the shards could not be stored: %s" % e, "Make room, or mend the disk."
        ) from None
    return {
        "path": "staged" if mount.is_remote else "direct",
        "staging": staging,
        "mount": dict(mount._asdict()),
        "downloaded": taken,
        "from": {"repository": REPOSITORY, "endpoint": about["endpoint"], "files": files},
        "huggingface_hub": about["version"],
    }


def _download(
    settings: Settings, log: StepLog, staging: str, name: str, about: Dict[str, Any]
) -> Tuple[str, int]:
    """The shard's path below `staging`, and at which try it was whole."""
    path = os.path.join(staging, name)
    why = ""
    for number in range(1, _TRIES + 1):
        asked = {
            "do": "get",
            "name": name,
            "folder": staging,
            "commit": about["commit"],
            "anew": number > 1,
        }
        _ask(settings, log, asked, settings.int("WF_PHASE_TIMEOUT_SECS") or _TIMEOUT_S)
        why = _fault(path, about)
        if not why:
            return path, number
        log.write("%s is refused: %s\n" % (name, why))
        os.unlink(path)
    raise _refused(
        "%s was downloaded %d times and is not whole: %s" % (name, _TRIES, why),
        "Look at HF_ENDPOINT, or put the shard into DATA_DIR by hand.",
    )


def _fault(path: str, about: Dict[str, Any]) -> str:
    """Why the download at `path` is not what was asked for; '' where it is."""
    if os.path.islink(path) or not modes.S_ISREG(os.lstat(path).st_mode):
        return "it is not a regular file"
    found = look_at(path)
    if found.why:
        return found.why
    etag = str(about.get("etag") or "")
    if len(etag) == 64 and sha256_file(path) != etag:
        return "its SHA-256 is not %s" % etag
    return ""


def _place(settings: Settings, path: str, final: str, *, copied: bool) -> None:
    """Let the whole shard stand at `final`, at once."""
    if not os.path.lexists(final):
        created_paths.record(settings, final)
    if not copied:
        os.replace(path, final)
        return
    part = final + ".wf-part"
    with open(path, "rb") as source, open(part, "wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
        copy.flush()
        os.fsync(copy.fileno())
    if sha256_file(part) != sha256_file(path):
        os.unlink(part)
        raise _refused("the copy at %s differs from what was copied" % final, "Look at the disk.")
    os.replace(part, final)


def _ask(settings: Settings, log: StepLog, asked: Dict[str, Any], timeout_s: float) -> Any:
    env = virtualenv.venv_environment(settings)
    env.update(HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1")
    words = json.dumps(dict(asked, repository=REPOSITORY))
    argv = [settings.venv_python, "-I", "-c", _SCRIPT, words]
    done = run_step(log, argv, timeout_s=timeout_s, env=env)
    for line in reversed(done.output.splitlines() if done.ok else []):
        if line.startswith(_MARK):
            return json.loads(line[len(_MARK) :])
    raise _not_downloaded(done)


def _not_downloaded(done: Step) -> Refusal:
    if "huggingface_hub is missing" in done.output:
        return _refused(
            "DOWNLOAD_FINEWEB=1 needs huggingface_hub, which the checkout's environment lacks",
            "Let CHECKOUT_INSTALL_CMD install it: `pip install huggingface_hub`.",
        )
    return Refusal(
        "data",
        "%s could not be downloaded: %s" % (REPOSITORY, done.says()),
        "Check the pod's network and HF_ENDPOINT; the next checkout goes on with what is here.",
        {"log_tail": done.tail()},
    )


def _staging(settings: Settings, need: int) -> str:
    """A place on a local disk with room for `need` bytes. Raises Refusal 'data'."""
    tried = []
    private = "pytest-wf-%d" % os.getuid()
    places = [(os.path.join(settings.repo, ".git"), "wf-data"), (tempfile.gettempdir(), private)]
    for above, name in places:
        path = os.path.join(above, name)
        if not os.path.isdir(above) or mount_of(above).is_remote:
            tried.append("%s is not on a local disk" % above)
        elif os.path.lexists(path) and not _is_mine(path):
            tried.append("%s belongs to somebody else" % path)
        elif _free(above) < need + _SPARE_BYTES:
            tried.append("%s has %d MiB free" % (above, _free(above) >> 20))
        else:
            return path
    raise _refused(
        "there is no local disk to stage %d MiB on: %s" % (need >> 20, "; ".join(tried)),
        "Make room on the pod's own disk.",
    )


def _is_mine(path: str) -> bool:
    info = os.lstat(path)
    return modes.S_ISDIR(info.st_mode) and info.st_uid == os.getuid()


def _demand_room(where: str, need: int) -> None:
    free = _free(where)
    if free < need + _SPARE_BYTES:
        raise _refused(
            "%s has %d MiB free, and the shards take %d MiB" % (where, free >> 20, need >> 20),
            "Make room there, or point DATA_DIR elsewhere.",
        )


def _free(path: str) -> int:
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize


def _mounts(table: str) -> Iterator[Mount]:
    with open(table, encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            fields = [_unescaped(field) for field in line.split(" ")]
            if len(fields) >= 3:
                yield Mount(*fields[:3])


def _unescaped(field: str) -> str:
    """`field` with the octal escapes of the mount table resolved."""
    for char in (" ", "\t", "\n"):
        field = field.replace("\\%03o" % ord(char), char)
    return field.replace("\\134", "\\")


def _refused(message: str, remedy: str) -> Refusal:
    return Refusal("data", message, remedy)
