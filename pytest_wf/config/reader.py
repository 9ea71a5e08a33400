"""Turns the bytes of `flows/workflow.env` into a `Config`, or into all of its mistakes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_wf.config import fleet
from pytest_wf.config.dotenv import HAND_OVER, Entry, Piece, Reading, looks_secret
from pytest_wf.config.formats import has_password
from pytest_wf.config.keys import HOST_KEY, KEYS, POD_ROOT, PROJECT, TARGET, Config, Key
from pytest_wf.config.lookalikes import called, odd_character
from pytest_wf.config.problems import Problems, nearest
from pytest_wf.config.types import BadValue, canonical
from pytest_wf.wire.ownership import is_within

_REFERENCE = re.compile(r"\$\{([^{}]*)(\})?|\$([A-Za-z_]\w*)")


def load(
    reading: Reading,
    *,
    project_dir: str,
    keys: Sequence[Key] = KEYS,
    needs_csv: bool = True,
    needs_target: bool = True,
    part: fleet.Part = fleet.WHOLE,
) -> Config:
    """The config in `reading`; adds to its problems.

    `keys` are those of the core and of the providers. `project_dir` is the absolute path of the
    project, which contains the local pod's folder, unless `WF_POD_ROOT` is set. `needs_csv` and
    `needs_target` say whether the flow requires a CSV and a target. With several pods, `part` says
    which pod's config it is. Raises InputError with every problem of the file.
    """
    by_name = {key.name: key for key in keys}
    problems = reading.problems
    entries = _known(reading, by_name, problems)
    resolution = _Resolution(by_name, entries, reading, project_dir, part)
    typed = {name: resolution.typed(name) for name in by_name}
    _required(entries, resolution, problems, needs_csv=needs_csv, needs_target=needs_target)
    _conflicts(entries, resolution, problems)
    problems.raise_if_any()
    core = {name: value for name, value in typed.items() if not by_name[name].provider}
    values = {name: canonical(value) for name, value in core.items()}
    values["WF_PODS"] = str(resolution.pods)
    return Config(
        **{**{name.lower(): value for name, value in core.items()}, "wf_pods": resolution.pods},
        values=values,
        provided={name: value for name, value in typed.items() if name not in core},
        lines={name: entry.line for name, entry in entries.items()},
        table=tuple(keys),
    )


def _known(reading: Reading, by_name: Mapping[str, Key], problems: Problems) -> dict[str, Entry]:
    """The entries of existing keys; every other entry is a problem."""
    known = {}
    for name, entry in reading.entries.items():
        if name in by_name:
            known[name] = entry
        elif name == fleet.MEMBER:
            problems.add(
                entry.line,
                name,
                entry.text,
                "built in; it cannot be set.",
                "Remove the line; ${WF_MEMBER} in a path on the pod is the name of the pod.",
            )
        elif looks_secret(name):
            problems.add(
                entry.line,
                name,
                None,
                "looks like a secret, and no secret belongs in a config.",
                HAND_OVER,
            )
        else:
            hint = "" if problems.full else nearest(name, by_name)
            problems.add(
                entry.line,
                name,
                None,
                "not a config key.",
                f"{hint}docs/configuration.md lists them all.",
            )
    return known


class _Resolution:
    """Expands `${...}` and parses values, each key once, in the order of the references."""

    def __init__(
        self,
        by_name: Mapping[str, Key],
        entries: Mapping[str, Entry],
        reading: Reading,
        project_dir: str,
        part: fleet.Part,
    ) -> None:
        self._asked_pods, self._member = part
        #: Every existing key.
        self.by_name = by_name
        self._entries = entries
        self._problems = reading.problems
        self._project_dir = project_dir
        #: Text and typed value of each key that was read; None if it is wrong.
        self._done: dict[str, tuple[str, Any] | None] = dict.fromkeys(reading.broken - set(entries))
        self._under_way: list[str] = []
        #: The targets of each key that names some.
        self._targets: dict[str, str] = {}

    def text(self, name: str) -> str | None:
        """The expanded text of a key; None if it, or a key that it refers to, is wrong."""
        if name not in self._done:
            self._under_way.append(name)
            self._done[name] = self._resolved(name)
            self._under_way.pop()
        done = self._done[name]
        return None if done is None else done[0]

    def typed(self, name: str) -> Any:
        """The parsed value of a key; None also if it is wrong."""
        self.text(name)
        done = self._done[name]
        return None if done is None else done[1]

    def target_keys(self) -> list[str]:
        """The keys that name a target, in order of precedence: OPS_DEFAULT_HOST last."""
        return [k.name for k in self.by_name.values() if k.role == TARGET] + [HOST_KEY]

    @property
    def asked_pods(self) -> int | None:
        """The requested number of pods; None if there is none, or it is wrong."""
        if self._asked_pods is not None:
            return self._asked_pods
        entry = self._entries.get("WF_PODS")
        return self.typed("WF_PODS") if entry is not None and entry.text else None

    @property
    def targets(self) -> list[str]:
        """The targets of the first key that names any."""
        texts = filter(None, (self._written_targets(name) for name in self.target_keys()))
        return next(texts, "").split()

    @property
    def pods(self) -> int:
        """The number of pods of the flow."""
        try:
            return fleet.pods_of(self.targets, self.asked_pods)
        except fleet.WrongNumber:
            return len(self.targets)

    @property
    def member_name(self) -> str:
        """The name of the member that the config is for."""
        if self.pods > 1 and not self._member:
            return fleet.ANY_MEMBER
        return fleet.member_name(self._member or 1)

    def _written_targets(self, name: str) -> str:
        self.text(name)
        return self._targets.get(name, "")

    def _pod_root(self) -> str | None:
        texts = [self.text(name) for name in self.target_keys()]
        if None in texts:
            return None
        if texts[-1] != fleet.LOCAL or any(texts[:-1]):
            return "/mnt"
        root = f"{self._project_dir}/.wf/pod"
        return f"{root}/{self.member_name}" if self.pods > 1 else root

    def _target(self, key: Key, text: str) -> tuple[str, Any]:
        """The targets that a key names, or that of the member. Raises BadValue."""
        words = text.split() or [""]
        typed = [key.kind.parse(word) for word in words]
        self._targets[key.name] = " ".join(words)
        again = fleet.repeated(words)
        if again:
            remedy = "Name each pod once" + (
                "; WF_PODS makes several pods of this machine." if fleet.LOCAL in again else "."
            )
            raise BadValue(f"{', '.join(again)} is named twice", remedy)
        if len(words) == 1:
            return words[0], typed[0]
        if not self._member:
            return " ".join(words), " ".join(map(str, typed))
        place = min(self._member, len(words)) - 1
        return words[place], typed[place]

    def _resolved(self, name: str) -> tuple[str, Any] | None:
        if name == fleet.MEMBER:
            return self.member_name, self.member_name
        key = self.by_name[name]
        entry = self._entries.get(name)
        if entry is not None and not self._well_written(key, entry):
            return None
        if entry is None or (not entry.text and not key.empty_counts):
            if name == POD_ROOT:
                root = self._pod_root()
                return None if root is None else (root, root)
            default = self._project() if name == PROJECT else key.default
            if default is None:
                return None
            pieces: tuple[Piece, ...] = (Piece(default, live=True),)
        else:
            pieces = entry.pieces
        text = "".join(p.text for p in pieces) if key.kind.verbatim else self._expanded(key, pieces)
        if text is None:
            return None
        if not text and key.required:
            return "", None
        try:
            if name in self.target_keys():
                return self._target(key, text)
            return text, key.kind.parse(text)
        except BadValue as e:
            self._add(key, text if key.kind.shown else None, e.reason, e.remedy)
            return None

    def _project(self) -> str | None:
        """The project's default name; None if REPO_URL is wrong."""
        url = self.text("REPO_URL")
        if url is None:
            return None
        named = re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git") if url != "." else ""
        name = named or posixpath.basename(self._project_dir)
        return re.sub(r"[^A-Za-z0-9 _.-]", "-", name).lstrip(" _.-") or "project"

    def _expanded(self, key: Key, pieces: tuple[Piece, ...]) -> str | None:
        parts: list[str | None] = []
        for piece in pieces:
            position = 0
            for found in _REFERENCE.finditer(piece.text) if piece.live else ():
                parts.append(piece.text[position : found.start()])
                parts.append(self._referred(key, found))
                position = found.end()
            parts.append(piece.text[position:])
        known = [p for p in parts if p is not None]
        return "".join(known) if len(known) == len(parts) else None

    def _referred(self, key: Key, found: re.Match[str]) -> str | None:
        """The text for `${NAME}`; None if there is none, after adding the problem."""
        name = found[1] if found[3] is None else found[3]
        if found[3] is not None:
            reason = f"'${name}' is not expanded; only ${{KEY}} of a config key is."
            instead = f"${{{name}}}" if name in self.by_name else "the value out"
            remedy = f"Write {instead}, or single quotes round it all to keep it as text."
        elif not found[2]:
            reason, remedy = "'${' is not closed.", "Write ${KEY}, or single quotes to keep it."
        elif name in self._under_way:
            circle = [*self._under_way[self._under_way.index(name) :], name]
            reason = f"refers to itself: {' -> '.join(circle)}."
            remedy = "Write one of them out."
        elif name in self.by_name and self.by_name[name].kind.verbatim:
            reason = f"${{{name}}} is a {self.by_name[name].type}."
            remedy = "Refer to keys that hold plain values."
        elif name in self.by_name or name == fleet.MEMBER:
            return self.text(name)
        else:
            reason = f"${{{name}}} is not a config key, and the environment is never read."
            remedy = nearest(name, [*self.by_name, fleet.MEMBER]) + "Write the value out."
        self._add(key, self._written(key), reason, remedy)
        return None

    def _well_written(self, key: Key, entry: Entry) -> bool:
        """Whether a value contains nothing that no value may contain, before any expansion."""
        text = entry.text
        shown = text if key.kind.shown else None
        verbatim = key.kind.verbatim
        if has_password(text):
            self._add(
                key,
                None,
                "a URL with a name or password in it.",
                "Leave them out; git may use a key on the pod, or CHECKOUT_VIA=bundle needs none, "
                "and what else is secret goes through WF_SECRET_ENV.",
            )
        elif verbatim and _assigns_secret(text):
            self._add(key, None, "a secret is written into the command.", HAND_OVER)
        elif not (text.replace("\t", " ") if verbatim else text).isprintable():
            self._add(
                key,
                shown,
                "there is an invisible character in the value.",
                "Type the value again, with plain blanks.",
            )
        elif (odd := None if text.isascii() else odd_character(text)) is not None:
            self._add(
                key,
                shown,
                f"{called(odd)} is in the value, easily taken for another.",
                "Type the value again, with plain quotes, hyphens, digits and letters.",
            )
        elif not verbatim and ("$(" in text or "`" in text):
            self._add(
                key,
                shown,
                "a command substitution; the config is read, never run.",
                "Write the value out.",
            )
        elif not verbatim and not entry.quote and ("'" in text or '"' in text):
            self._add(
                key,
                shown,
                "a quote inside an unquoted value.",
                "Put quotes round the whole value, or leave them out.",
            )
        else:
            return True
        return False

    def _written(self, key: Key) -> str | None:
        entry = self._entries.get(key.name)
        return entry.text if entry and key.kind.shown else None

    def _add(self, key: Key, value: str | None, reason: str, remedy: str) -> None:
        entry = self._entries.get(key.name)
        shown = None if value is not None and has_password(value) else value
        self._problems.add(entry.line if entry else None, key.name, shown, reason, remedy)


def _assigns_secret(command: str) -> bool:
    """Whether a command assigns a literal value to a variable whose name looks secret."""
    found = re.finditer(r"""\b([A-Z][A-Z0-9_]*)=["']?[^\s"'$;&|)]""", command)
    return any(looks_secret(assignment[1]) for assignment in found)


def _required(
    entries: Mapping[str, Entry],
    resolution: _Resolution,
    problems: Problems,
    *,
    needs_csv: bool,
    needs_target: bool,
) -> None:
    for key in resolution.by_name.values():
        asked = key.required or (needs_csv and key.name == "SWEEP_CSV")
        if asked and resolution.text(key.name) == "":
            entry = entries.get(key.name)
            problems.add(
                entry.line if entry else None,
                key.name,
                "" if entry else None,
                "required, and not set.",
                f"Set it: {key.doc[:1].lower()}{key.doc[1:]}",
            )
    names = resolution.target_keys()
    if needs_target and all(resolution.text(name) == "" for name in names):
        problems.add(
            None,
            HOST_KEY,
            None,
            "no target is set.",
            f"Set {' or '.join(names)}; OPS_DEFAULT_HOST=local is this machine.",
        )


def _conflicts(entries: Mapping[str, Entry], resolution: _Resolution, problems: Problems) -> None:
    """Keys that are valid alone and invalid together."""

    def add(name: str, reason: str, remedy: str) -> None:
        entry = entries.get(name)
        problems.add(entry.line if entry else None, name, resolution.text(name), reason, remedy)

    rented = [name for name in resolution.target_keys()[:-1] if resolution.text(name)]
    for name in rented[1:]:
        line = entries[rented[0]].line
        add(name, f"{rented[0]} is set too, on line {line}.", "Empty one of them.")
    if resolution.text("CHECKOUT_BRANCH") and resolution.text("CHECKOUT_PR"):
        line = entries["CHECKOUT_BRANCH"].line
        add(
            "CHECKOUT_PR",
            f"CHECKOUT_BRANCH is set too, on line {line}.",
            "Empty one of them; with neither, the remote's HEAD is taken.",
        )
    if resolution.text("WF_ENGINE") == "slurm":
        _slurm_conflicts(resolution, add)
    _pod_conflicts(resolution, add)
    _place_conflicts(resolution, add)


def _pod_conflicts(resolution: _Resolution, add: Callable[[str, str, str], None]) -> None:
    """Numbers of pods that contradict each other."""
    targets, asked = resolution.targets, resolution.asked_pods
    try:
        pods = fleet.pods_of(targets, asked)
    except fleet.WrongNumber as e:
        name = next(n for n in resolution.target_keys() if resolution.text(n))
        add(name, f"{e}, and {asked} pods are asked for.", "Let them agree, or leave WF_PODS out.")
        return
    least = resolution.typed("WF_PODS_MIN")
    if least is not None and least > pods:
        add("WF_PODS_MIN", f"more than the {pods} pods that there are.", "Write a smaller number.")


def _slurm_conflicts(resolution: _Resolution, add: Callable[[str, str, str], None]) -> None:
    """Settings that are not possible if rows are jobs of Slurm."""
    if resolution.text("WF_SECRET_ENV") and not resolution.text("WF_SLURM_SECRET_FILE"):
        add(
            "WF_SECRET_ENV",
            "Slurm keeps the environment of a job on a disk.",
            "Write the values into a file of mode 600 on the cluster, and name that in "
            "WF_SLURM_SECRET_FILE.",
        )
    if resolution.text("RUN_OUT_MODE") == "local_sync":
        add(
            "RUN_OUT_MODE",
            "the results of jobs have to be on the shared disk.",
            "Set RUN_OUT_MODE=durable.",
        )


def _place_conflicts(resolution: _Resolution, add: Callable[[str, str, str], None]) -> None:
    """Paths on the pod that contain one another."""

    def place(name: str) -> str:
        value = resolution.typed(name)
        return posixpath.normpath(value) if value else ""

    repo, outputs = place("OPS_REMOTE_REPO"), place("OPS_REMOTE_OUTPUTS_DIR")
    if repo and outputs:
        own = "Keep results in a directory of their own."
        if repo == outputs:
            reason = "the same directory as OPS_REMOTE_REPO, whose checkout may be cleaned."
            add("OPS_REMOTE_OUTPUTS_DIR", reason, own)
        elif is_within(outputs, repo):
            add("OPS_REMOTE_OUTPUTS_DIR", "within OPS_REMOTE_REPO, the checkout.", own)
        elif is_within(repo, outputs):
            add("OPS_REMOTE_REPO", "within OPS_REMOTE_OUTPUTS_DIR, where runs are.", own)
    if place("REMOTE_ENV_PATH") and place("REMOTE_ENV_PATH") == place("WF_STATE_FILE"):
        add("REMOTE_ENV_PATH", "the same file as WF_STATE_FILE.", "Give each a file of its own.")
    local = place("RUN_OUT_LOCAL_ROOT")
    if resolution.text("RUN_OUT_MODE") == "local_sync" and local and outputs:
        disk = "Name a directory on the pod's local disk, or set RUN_OUT_MODE=durable."
        if local == outputs:
            add("RUN_OUT_LOCAL_ROOT", "the same directory as OPS_REMOTE_OUTPUTS_DIR.", disk)
        elif is_within(local, outputs) or is_within(outputs, local):
            add("RUN_OUT_LOCAL_ROOT", "it contains OPS_REMOTE_OUTPUTS_DIR, or the reverse.", disk)
