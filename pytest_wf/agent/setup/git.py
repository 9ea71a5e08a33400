"""Git on the pod: nothing prompts, no hook or filter runs, no credential is stored or shown."""

import os
import re
from typing import List, Mapping, Optional, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.setup import git_trust, same_code
from pytest_wf.agent.setup.logged_step import Step, StepLog, run_step
from pytest_wf.agent.setup.same_code import ReadHere
from pytest_wf.wire import environment
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.remotes import Remote, Wanted

_FETCH_TIMEOUT_S = 3600.0
_TIMEOUT_S = 300.0
#: How many paths a refusal names.
SHOWN_PATHS = 20

_TARGET = "refs/wf/target"
_ORIGIN = "remote.origin.url"
_LFS_POINTER = "version https://git-lfs.github.com/spec/v1"


#: Ignored files of the user stay, too: git would replace them silently.
_CHECKOUT = ("checkout", "--quiet", "--detach", "--no-overwrite-ignore")


class Repository:
    """The training repository on the pod."""

    def __init__(self, path: str, log: StepLog) -> None:
        self.path = path
        self._log = log
        self._known_config: Optional[List[Tuple[str, str]]] = None

    def git(
        self, *words: str, timeout_s: float = _TIMEOUT_S, env: Optional[Mapping[str, str]] = None
    ) -> Step:
        """Run git in the repository."""
        options = {
            "core.hooksPath": "/dev/null",
            "core.fsmonitor": "false",
            # files are those of the commit, whatever the login's git configuration says
            "core.autocrlf": "false",
            "core.attributesFile": "/dev/null",
            "protocol.ext.allow": "never",
            "advice.detachedHead": "false",
            # volumes often belong to another user than the login; see git_trust
            "safe.directory": self.path,
        }
        for driver in self._drivers():
            for command in ("clean", "smudge", "process"):
                options["filter.%s.%s" % (driver, command)] = ""
            options["filter.%s.required" % driver] = "false"
        argv = ["git", "-C", self.path]
        for key, value in options.items():
            argv += ["-c", "%s=%s" % (key, value)]
        return run_step(
            self._log,
            [*argv, *words],
            timeout_s=timeout_s,
            env=environment.of_git({**git_trust.of_others(self.path), **(env or {})}),
        )

    def _drivers(self) -> List[str]:
        """Filter drivers that are configured on the pod: none of them runs.

        Git LFS may run; it finds only pointers, or what was fetched by hand.
        """
        found = set()
        for key, value in self._config():
            section, _, rest = key.partition(".")
            driver, _, command = rest.rpartition(".") if section == "filter" else ("", "", "")
            is_lfs = driver == "lfs" and re.fullmatch(r"git[ -]lfs [a-z%f -]+", value)
            if driver and command in ("clean", "smudge", "process") and not is_lfs:
                found.add(driver)
        return sorted(found)

    def _config(self) -> List[Tuple[str, str]]:
        """The filters and the origin that git is configured with, as keys and values; read once."""
        if self._known_config is None:
            trusted = "safe.directory=" + self.path
            argv = ["git", "-C", self.path, "-c", trusted, "config", "-z"]
            argv += ["--get-regexp", r"^(filter\.|%s$)" % re.escape(_ORIGIN)]
            env = environment.of_git(git_trust.of_others(self.path))
            done = process.output(argv, _TIMEOUT_S, env=env, errors="surrogateescape")
            if done.code is None:
                raise Refusal(
                    "clone", "git cannot list the filters of %s: %s" % (self.path, done.stderr)
                )
            entries = [entry.partition("\n") for entry in done.stdout.split("\0")]
            self._known_config = [(key, value) for key, _, value in entries]
        return self._known_config

    def exists(self) -> bool:
        """Whether there is a repository of its own at the path."""
        return os.path.isdir(os.path.join(self.path, ".git"))

    def head(self) -> str:
        """The commit that is checked out; '' if there is none."""
        return self._word("rev-parse", "--verify", "--quiet", "HEAD^{commit}")

    def has(self, sha: str) -> bool:
        """Whether the commit `sha` is in the repository."""
        return self.git("cat-file", "-e", sha + "^{commit}").ok

    def is_same_code(self, before: str, now: str, read_here: ReadHere) -> bool:
        """Whether two commits differ only in files of `read_here`; False if one is missing."""
        if not same_code.is_commit(before) or not same_code.is_commit(now):
            return False
        argv = ["git", "-C", self.path, "-c", "safe.directory=" + self.path]
        argv += same_code.words(before, now)
        env = environment.of_git()
        done = process.output(argv, _TIMEOUT_S, env=env, errors="surrogateescape")
        return done.ok and same_code.differences_are_in(read_here, done.stdout)

    def modified(self) -> List[str]:
        """Tracked files that differ from the commit."""
        done = self.git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=no")
        if not done.ok:
            raise Refusal("clone", "git cannot read the state of %s: %s" % (self.path, done.says()))
        return [entry[3:] for entry in done.output.split("\0") if len(entry) > 3]

    def origin(self) -> str:
        """Where it was cloned from; '' if that is not known."""
        values = [value.strip() for key, value in self._config() if key == _ORIGIN]
        return values[-1] if values else ""

    def begin(self, url: str, digits: int) -> None:
        """Create the repository, or complete one whose creation was interrupted.

        Credentials are not in `url`; `digits` is the length of its commit ids.
        """
        kind = "sha256" if digits == 64 else "sha1"
        self._must("init", "--quiet", "--object-format=" + kind)
        self._must("config", _ORIGIN, url)
        self._known_config = None

    def digits(self, origin: Remote) -> int:
        """The length of the remote's commit ids. Raises Refusal 'clone'."""
        done = self._outside(origin, "ls-remote", "--quiet", "--", origin.url)
        found = re.search(r"(?m)^([0-9a-f]{40}|[0-9a-f]{64})\t", done.output)
        if not done.ok or found is None:
            raise _unreachable(origin.url, done)
        return len(found.group(1))

    def tip(self, origin: Remote, wanted: Wanted) -> str:
        """The commit of the wanted branch or change request, as the remote says; nothing is
        fetched. Raises Refusal 'clone'."""
        refs = [ref + end for ref in wanted.refs for end in ("^{}", "")]
        done = self._outside(origin, "ls-remote", "--quiet", "--", origin.url, *refs)
        if not done.ok:
            raise _unreachable(origin.url, done)
        listed = re.findall(r"(?m)^([0-9a-f]{40}|[0-9a-f]{64})\t(.*)$", done.output)
        by_ref = {ref: sha for sha, ref in listed}
        commit = next((by_ref[ref] for ref in refs if ref in by_ref), "")
        if not commit:
            raise Refusal("clone", "%s has no %s" % (origin.url, wanted.what))
        return str(commit)

    def fetch(self, origin: Remote, wanted: Wanted) -> str:
        """Fetch the wanted commit; its full id. Raises Refusal 'clone' or 'wrong-sha'."""
        if wanted.sha and self.has(wanted.sha):
            return wanted.sha
        tip = ""
        if wanted.branch or wanted.change or not wanted.sha:
            tip = self._fetch_ref(origin, wanted)
        if not wanted.sha:
            return tip
        if not self.has(wanted.sha):
            # not an ancestor of that tip: servers may still send a commit by its id
            self._fetch(origin, wanted.sha)
        if not self.has(wanted.sha):
            self._fetch(origin, "refs/heads/*", "refs/wf/heads/*")
        if not self.has(wanted.sha):
            found = tip or self.head()
            raise Refusal(
                "wrong-sha",
                "commit %s is not in %s; found there: %s" % (wanted.sha, origin.url, found or "-"),
                "Correct EXPECT_GIT_SHA, or push that commit.",
                {"expected": wanted.sha, "found": found},
            )
        return wanted.sha

    def take_bundle(self, path: str) -> str:
        """Fetch the HEAD of the bundle at `path`; its full id. Raises Refusal 'clone'."""
        # the file is ours: a login may forbid its git to read files of other users
        allowed = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "protocol.file.allow",
            "GIT_CONFIG_VALUE_0": "always",
        }
        done = self._fetch(Remote(path, allowed), "HEAD")
        if not done.ok:
            raise Refusal(
                "clone",
                "the bundle %s cannot be read: %s" % (path, done.says()),
                "Run the checkout again.",
            )
        return self._word("rev-parse", _TARGET + "^{commit}")

    def check_out(self, sha: str) -> None:
        """Check `sha` out, detached, and compare. Raises Refusal 'clone' or 'wrong-sha'."""
        done = self.git(*_CHECKOUT, sha, "--", timeout_s=_FETCH_TIMEOUT_S)
        if not done.ok:
            raise Refusal(
                "clone",
                "%s cannot be checked out in %s: %s" % (sha, self.path, done.says()),
                "Untracked files may be in the way; see the log.",
                {"log_tail": done.tail()},
            )
        found = self.head()
        if found != sha:
            raise Refusal(
                "wrong-sha",
                "%s is at %s after the checkout of %s" % (self.path, found, sha),
                "Run the checkout again.",
                {"expected": sha, "found": found},
            )

    def reset(self) -> None:
        """Discard changes to tracked files; untracked files stay."""
        self._must("reset", "--hard", "--quiet")

    @property
    def git_dir(self) -> str:
        """The folder in which git keeps what belongs to this working tree alone."""
        path = os.path.join(self.path, ".git")
        if not os.path.isfile(path):
            return path
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            return f.read().partition("gitdir: ")[2].rstrip("\n")

    def exclude(self, *patterns: str) -> None:
        """Exclude what matches one of `patterns` from git's status, in this repository only."""
        known = self._excluded()
        new = set(patterns) - set(known.splitlines())
        if not new:
            return
        os.makedirs(os.path.dirname(self._exclude_path), exist_ok=True)
        with open(self._exclude_path, "a", encoding="utf-8", errors="surrogateescape") as f:
            f.write("\n" * bool(known and not known.endswith("\n")))
            f.write("".join(pattern + "\n" for pattern in sorted(new)))

    @property
    def _exclude_path(self) -> str:
        # a linked working tree has no such file of its own
        common = re.sub(r"/worktrees/[^/]+$", "", self.git_dir)
        return os.path.join(common, "info", "exclude")

    def _excluded(self) -> str:
        try:
            with open(self._exclude_path, encoding="utf-8", errors="surrogateescape") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def is_tracked(self, path: str) -> bool:
        """Whether git tracks the file or link at `path`, relative to the repository."""
        # with --error-unmatch git prints a hint that users would take as meant for them
        done = self.git("ls-files", "-z", "--", path)
        return done.ok and "\0" in done.output

    def submodules(self) -> List[str]:
        """Paths of submodules; they are named, not fetched."""
        if not os.path.isfile(os.path.join(self.path, ".gitmodules")):
            return []
        done = self.git("config", "-f", ".gitmodules", "-z", "--get-regexp", r"\.path$")
        paths = [entry.partition("\n")[2] for entry in done.output.split("\0")]
        return [path for path in paths if path]

    def empty_submodules(self) -> List[str]:
        """Paths of submodules that no command has fetched."""
        places = {path: os.path.join(self.path, path) for path in self.submodules()}
        return [path for path, at in places.items() if not os.path.isdir(at) or not os.listdir(at)]

    def lfs_pointers(self) -> List[str]:
        """Files of which only the Git LFS pointer is here."""
        done = self.git("grep", "-z", "-l", "-e", "^%s$" % _LFS_POINTER, "HEAD", "--")
        names = [name.partition(":")[2] for name in done.output.split("\0") if name.strip()]
        return [name for name in names if self._is_pointer(name)]

    def _is_pointer(self, name: str) -> bool:
        try:
            with open(os.path.join(self.path, name), "rb") as f:
                return f.read(len(_LFS_POINTER)) == _LFS_POINTER.encode()
        except OSError:
            return False

    def _fetch_ref(self, origin: Remote, wanted: Wanted) -> str:
        asked = ["ls-remote", "--quiet", "--", origin.url, *wanted.refs]
        listed = self._outside(origin, *asked)
        if not listed.ok:
            raise _unreachable(origin.url, listed)
        there = [line.partition("\t")[2] for line in listed.output.splitlines()]
        ref = next((ref for ref in wanted.refs if ref in there), None)
        if ref is None:
            raise Refusal(
                "clone",
                "%s has no %s" % (origin.url, wanted.what),
                "Correct CHECKOUT_BRANCH or CHECKOUT_PR, or push it.",
            )
        done = self._fetch(origin, ref)
        if not done.ok:
            raise _unreachable(origin.url, done)
        return self._word("rev-parse", _TARGET + "^{commit}")

    def _fetch(self, origin: Remote, source: str, target: str = _TARGET) -> Step:
        words = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ]
        spec = "+%s:%s" % (source, target)
        env = {**git_trust.of_others(self.path, _local(origin.url)), **origin.env}
        return self.git(*words, "--", origin.url, spec, timeout_s=_FETCH_TIMEOUT_S, env=env)

    def _word(self, *words: str) -> str:
        done = self.git(*words)
        return done.output.strip() if done.ok else ""

    def _must(self, *words: str) -> None:
        done = self.git(*words)
        if not done.ok:
            raise Refusal(
                "clone",
                "git %s in %s: %s" % (words[0], self.path, done.says()),
                "Look at the log of the checkout.",
                {"log_tail": done.tail()},
            )

    def _outside(self, origin: Remote, *words: str) -> Step:
        return run_step(
            self._log,
            ["git", "-c", "protocol.ext.allow=never", *words],
            timeout_s=_TIMEOUT_S,
            env=environment.of_git({**git_trust.of_others(_local(origin.url)), **origin.env}),
        )


def _local(url: str) -> str:
    """The path of a repository on this machine; other URLs are returned as they are."""
    return url[len("file://") :] if url.startswith("file://") else url


#: Git's errors when access is denied, and what the user can do; the first match counts.
_REMEDIES = (
    (
        r"(?i)certificate|ssl problem",
        "The pod's git does not trust that server: put the certificate of its CA on the pod and "
        "name it there, `git config --global http.sslCAInfo /path/ca.pem` (BOOTSTRAP_SCRIPT can), "
        "or set CHECKOUT_VIA=bundle to have this machine read it.",
    ),
    (
        r"(?i)could not read (?:username|password)|authentication failed|permission denied"
        r"|returned error: 40[134]|repository .*not found|repository not found",
        "It may be private, and no password is asked for: set CHECKOUT_VIA=bundle to have "
        "this machine read it, or give the pod's git a key or a credential helper.",
    ),
    (
        r"(?i)host key verification failed",
        "Put the server's key into ~/.ssh/known_hosts on the pod, or set CHECKOUT_VIA=bundle to "
        "have this machine read it.",
    ),
)
_ELSE = (
    "Check REPO_URL and the pod's network; for a private repository set "
    "CHECKOUT_VIA=bundle: this machine then clones it."
)


def _unreachable(url: str, done: Step) -> Refusal:
    # the URL itself may hold any word
    output = done.output.replace(url, "")
    return Refusal(
        "clone",
        "%s cannot be read from the pod: %s" % (url, done.says()),
        next((then for said, then in _REMEDIES if re.search(said, output)), _ELSE),
        {"log_tail": done.tail()},
    )
