"""Types of config values: paths, hosts, git addresses, lists of names."""

from __future__ import annotations

import ipaddress
import re
import shlex

from pytest_wf.config import expect, ranking
from pytest_wf.config.dotenv import looks_secret
from pytest_wf.config.places import why_unfit
from pytest_wf.config.types import BadValue, Kind, choice, matching, or_empty, whole, words
from pytest_wf.wire import ids
from pytest_wf.wire.failures import CLASSES
from pytest_wf.wire.trainer import entrypoint, variables


def has_password(text: str) -> bool:
    """Whether a URL in `text` contains credentials: `scheme://user:password@`, or any user
    name over http, where it is usually a token. A shell variable is neither."""
    return (
        re.search(r"://[^/@\s:]*:(?!\$)[^/@\s]*@|(?i:https?)://(?!\$)[^/@\s]+@", text) is not None
    )


def ttl_s(text: str) -> int:
    """Seconds of a time to live such as `90m`, `2h` or `1d`. Raises BadValue."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    if found is None:
        raise BadValue("not a time to live", "Write it as 90m, 2h or 1d.")
    return int(found[1]) * {"m": 60, "h": 3600, "d": 86400}[found[2]]


PATH_REMEDY = "Write a relative path without '..', such as a/b."


def relative_path(below: str) -> Kind[str]:
    """A path below some directory: relative, without `..`, not starting with '-'."""

    def parse(text: str) -> str:
        if not text or text.startswith(("/", "~", "-")) or ".." in text.split("/"):
            raise BadValue(f"not a path below {below}", PATH_REMEDY)
        return text

    return Kind(f"path below {below}", parse)


def _entrypoint(text: str) -> str:
    if entrypoint.is_module(text):
        if re.fullmatch(r"-m [A-Za-z_]\w*(\.[A-Za-z_]\w*)*", text, re.ASCII):
            return text
        raise BadValue("not a module's name behind -m", "Write it as -m package.module.")
    return _SCRIPT.parse(text)


def _ttl(text: str) -> str:
    ttl_s(text)
    return text


def _remote_path(text: str) -> str:
    parts = text.split("/")
    if not text.startswith("/"):
        raise BadValue(
            "not an absolute path on the pod", "Begin it with '/', or with ${WF_POD_ROOT}/."
        )
    if ".." in parts:
        raise BadValue("a path with '..' in it", "Write the path out, without '..'.")
    if all(p in ("", ".") for p in parts):
        raise BadValue("the root of the file system", "Name a directory below it.")
    return text


def _remote_place(text: str) -> str:
    why = why_unfit(_remote_path(text))
    if why:
        raise BadValue(why, "Name a place of this project's own, such as one below a volume.")
    return text


def _gpus(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9/-]*(,[A-Za-z0-9][A-Za-z0-9/-]*)*", text):
        raise BadValue("not a list of GPUs", "Write it as 0,1.")
    names = [str(int(n)) if re.fullmatch("[0-9]+", n) else n.lower() for n in text.split(",")]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadValue(f"names GPU {twice} twice", "Name each GPU once, such as 0,1.")
    return text


def _secret_names(text: str) -> tuple[str, ...]:
    names = ENV_NAMES.parse(text)
    for name in names:
        if name in _SET_HERE or name.startswith(("LD_", "DYLD_")):
            steers = True
        else:
            steers = name.startswith(("GIT_", "PYTHON", "SSH_")) and not looks_secret(name)
        if steers:
            raise BadValue(
                f"{name} steers programs or is set by the run itself",
                "Name variables that hold secrets, such as HF_TOKEN.",
            )
    return names


def _host(text: str) -> str:
    if text.startswith("-"):
        raise BadValue("begins with '-', which ssh takes for an option", "Write the host's name.")
    user, at, rest = text.rpartition("@")
    if at and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", user):
        raise BadValue("what is before '@' is not a user name", "Write user@host:port.")
    port: str | None
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", rest)
    if bracketed:
        port = bracketed[2]
        if not _is_ipv6(bracketed[1]):
            raise BadValue("there is no IPv6 address in the brackets", "Write [2001:db8::1]:22.")
    elif rest.count(":") > 1:
        raise BadValue("an IPv6 address needs brackets", "Write [2001:db8::1]:22.")
    else:
        name, colon, port_text = rest.partition(":")
        port = port_text if colon else None
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise BadValue(
                "not a host", "Write an alias of ~/.ssh/config, user@host:port, or local."
            )
    if port is not None and not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise BadValue(
            "not a port (1 to 65535)", "Use the port that your provider shows, as user@host:port."
        )
    return text


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return re.search(r"[^0-9A-Za-z:.%_-]", text) is None


def _repository(text: str) -> str:
    remedy = "Write https://host/repo.git, git@host:repo.git, /path/to/repo, or . for this one."
    if text.startswith("-"):
        raise BadValue("begins with '-', which git takes for an option", remedy)
    if re.match(r"[A-Za-z0-9+.-]*::", text):
        raise BadValue("a remote helper such as ext::, which runs programs", remedy)
    forms = (
        r"\.",
        r"/.+",
        r"file:///.+",
        r"(https?|ssh|git|git\+ssh)://[^\s/-][^\s/]*/\S+",
        r"([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_][A-Za-z0-9_.-]*:(?!//)[^\s-]\S*",
    )
    if not any(re.fullmatch(form, text) for form in forms):
        raise BadValue("not a repository's address", remedy)
    return text


def _branch(text: str) -> str:
    remedy = "Write the branch's name, such as main."
    if text.startswith("-"):
        raise BadValue("begins with '-', which git takes for an option", remedy)
    if (
        re.search(r"[\s~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)", text)
        or text.startswith((".", "/"))
        or text.endswith((".", "/"))
        or text == "@"
    ):
        raise BadValue("not a branch name to git", remedy)
    return text


def _sha(text: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", text):
        return text.lower()
    raise BadValue(
        "not a full commit id (40 or 64 hex digits)", "Write what `git rev-parse HEAD` prints."
    )


def _dollars(text: str) -> float:
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) and float(text) > 0:
        return float(text)
    raise BadValue("not a price above 0", "Write dollars as 2.50; leave it empty for no limit.")


def _expectations(text: str) -> str:
    expect.parse(text)
    return text


def _rank_rule(text: str) -> str:
    ranking.parse(text)
    return text


def _argv(text: str) -> str:
    try:
        argv = shlex.split(text)
    except ValueError:
        argv = []
    if argv and not argv[0].startswith("-"):
        return text
    raise BadValue("not a command line", "Write a program and its arguments; close each quote.")


def _arguments(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise BadValue("not arguments of a program", "Close each quote.") from None


def _run_id(text: str) -> str:
    if ids.is_id(text):
        return text
    raise BadValue("not a run id", "Use letters, digits, '.', '_' and '-', at most 128 of them.")


_SCRIPT = relative_path("TRAIN_WORKDIR_REL")
#: The program that TRAIN_LAUNCHER starts.
ENTRYPOINT = Kind(f"{_SCRIPT.name}, or `-m package.module`", _entrypoint)
COUNT = whole(1, remedy="Write a whole number, at least 1.")
SECONDS = whole(0, remedy="Write whole seconds in plain digits, such as 600, or 0.")
INTERVAL = whole(1, remedy="Write whole seconds in plain digits, at least 1.")
POLICY = choice("keep", "delete")
#: A program and its arguments, run without a shell.
LOCAL_COMMAND = Kind("command line on this machine", _argv)
ARGUMENTS = Kind("arguments, split as a shell does", _arguments)
LOCAL_PATH: Kind[str] = Kind("path on this machine", str)
REMOTE_PATH = Kind("absolute path on the pod", _remote_path)
#: A path on the pod that is written to.
REMOTE_PLACE = Kind("absolute path on the pod", _remote_place)
RUN_ID = Kind("run id", _run_id)
RUN_IDS = words("run ids, separated by blanks", RUN_ID)
HOST = or_empty(Kind("ssh alias, `user@host:port`, `local`", _host))
#: A larger number than one process can serve is probably a typing mistake.
PODS = whole(1, 1000, remedy="Write the number of pods.")
REPOSITORY = Kind("repository address", _repository)
BRANCH = or_empty(Kind("branch", _branch))
SHA = or_empty(Kind("40 or 64 hex digits", _sha))
TTL = or_empty(Kind("`90m`, `2h`, `1d`", _ttl))
DOLLARS = Kind("price in US dollars", _dollars)
EXPECTATIONS = or_empty(Kind("conditions on metrics", _expectations))
RANK_RULE = or_empty(Kind("metric to rank rows by", _rank_rule))
ENDPOINT = or_empty(
    matching(
        "http address",
        r"https?://[A-Za-z0-9\[][^\s@?#]*",
        "not an address without credentials",
        "Write https://host, nothing before the host and no query after it.",
    )
)
TMUX = matching(
    "tmux session name",
    r"[A-Za-z0-9_][A-Za-z0-9_-]*",
    "not a session name that tmux keeps as it is",
    "Use letters, digits, '_' and '-'; no ':' and no '.'.",
)
POD_NAME = matching(
    "pod name",
    r"[A-Za-z0-9][A-Za-z0-9-]{0,39}",
    "not a pod name",
    "Use letters, digits and '-', at most 40 of them.",
)
POD = or_empty(
    matching(
        "pod id or name",
        r"[A-Za-z0-9][A-Za-z0-9._-]*",
        "not a pod's id or name",
        "Write the id or name that `wf pod-list` shows.",
    )
)
WORD = or_empty(
    matching(
        "name",
        r"[A-Za-z0-9][A-Za-z0-9 _.-]*",
        "not a plain name",
        "Use letters, digits, blanks, '.', '_' and '-'.",
    )
)
PROGRAM = matching(
    "program on the pod",
    r"[A-Za-z0-9_][A-Za-z0-9_.+-]*|/(?!(.*/)?\.\.(/|\Z)).*[^/]",
    "neither a program's name nor an absolute path without '..'",
    "Write python3, or a path such as /opt/conda/bin/python.",
)
PACKAGES = words(
    "package names",
    matching(
        "",
        r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?",
        "not a list of Debian package names",
        "Write names separated by blanks, such as: git tmux rsync.",
    ),
)
FILE_PATTERNS = words(
    "patterns of names",
    matching(
        "",
        r"[^/\0]+/?",
        "not a list of patterns of names",
        "Write base names with * and ?, separated by blanks; end a folder's with '/': "
        "ckpt*.pt checkpoints/",
    ),
)
GPUS = or_empty(Kind("GPU indices or UUIDs, separated by commas", _gpus))
FINGERPRINT = or_empty(
    matching(
        "`SHA256:...`",
        r"SHA256:[A-Za-z0-9+/]{43}=?",
        "not a SHA-256 fingerprint",
        "Write it as `ssh-keygen -lf` prints it, SHA256:...",
    )
)
ENV_NAMES = words(
    "names of environment variables",
    matching(
        "",
        r"[A-Za-z_][A-Za-z0-9_]*",
        "not a list of environment variable names",
        "Write the names alone, separated by blanks; the values stay in your environment.",
    ),
    shown=False,
)
#: Variables that a run gets from its pod or its row; no secret may replace them.
_SET_HERE = frozenset(v.name for v in variables.VARIABLES if not v.is_default).union(
    "BASH_ENV BASHOPTS CDPATH ENV HOME HOSTNAME IFS LANG LOGNAME PATH PS4 PWD SHELL SHELLOPTS TERM "
    "TMPDIR USER VIRTUAL_ENV TAR_OPTIONS TMUX RSYNC_RSH PERL5LIB PERL5OPT NODE_OPTIONS RUBYOPT "
    "NVIDIA_VISIBLE_DEVICES OPS_REMOTE_OUTPUTS_DIR TASK_ID".split()
)
#: Names of variables that may be passed to a run.
SECRET_NAMES = Kind(ENV_NAMES.name, _secret_names, shown=False)
FAILURES = words(
    "failure classes",
    matching(
        "",
        "|".join(CLASSES),
        "not a list of failure classes",
        f"Choose from: {' '.join(CLASSES)}.",
    ),
)
