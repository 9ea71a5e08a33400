"""Selects the files of a run to fetch, with reasons for those left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pytest_wf.agent.results.checkpoints import Checkpoints
from pytest_wf.evidence.fetch_record import CHECKPOINT, LeftOut, shown
from pytest_wf.fetch.announced_files import Announced, PodFile, PodLink
from pytest_wf.fetch.local_names import LocalNames


@dataclass(frozen=True)
class Selection:
    """The part of a pod's listing of a run that is fetched."""

    run_id: str
    files: tuple[PodFile, ...]
    #: Links by path, with the text of each.
    links: Mapping[str, str]
    folders: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    holes: int

    @property
    def bytes(self) -> int:
        """The total size of the files."""
        return sum([f.size for f in self.files])


def select(
    announced: Announced,
    names: LocalNames,
    checkpoints: Checkpoints,
    is_wanted: Callable[[PodFile], bool],
) -> Selection:
    """Select all that this machine can store, and only those checkpoints
    that are wanted. Raises OSError if the local file system cannot be tested."""
    left_out: Counter[tuple[str, str]] = Counter()
    files = []
    for file in announced.files:
        checkpoint = checkpoints.of(file.path)
        if checkpoint and not is_wanted(file):
            left_out[checkpoint, CHECKPOINT] += file.size
        else:
            files.append(file)
    paths = [*(f.path for f in files), *(p.path for p in announced.links), *announced.folders]
    refused = names.refused(paths)
    if refused:
        sizes = {file.path: file.size for file in files}
        for path in paths:
            where = _refused_at(path, refused)
            if where:
                left_out[where, refused[where]] += sizes.get(path, 0)
        files = [file for file in files if not _refused_at(file.path, refused)]
    folders = [path for path in announced.folders if not _refused_at(path, refused)]
    links, lost = _links(announced.links, refused, files, folders, left_out)
    return Selection(
        announced.run_id,
        tuple(files),
        links,
        tuple(folders),
        tuple(
            sorted(
                [
                    *announced.odd,
                    *lost,
                    *(LeftOut(path, size, why) for (path, why), size in left_out.items()),
                ]
            )
        ),
        announced.holes,
    )


def differences(before: Selection, now: Selection) -> dict[str, str]:
    """The paths that changed while the run was fetched, with the reasons."""
    had = {f.path: f for f in before.files}
    has = {f.path: f for f in now.files}
    paths = {path for path in {*had, *has} if had.get(path) != has.get(path)}
    paths |= {path for path, _ in {*before.links.items()} ^ {*now.links.items()}}
    paths |= {*before.folders} ^ {*now.folders}
    return dict.fromkeys(paths, "changed while the run was fetched")


def _refused_at(path: str, refused: Mapping[str, str]) -> str:
    """The refused path that `path` is, or is below; '' if there is none."""
    if not refused:
        return ""
    if path in refused:
        return path
    at = path.find("/")
    while at >= 0:
        if path[: at + 1] in refused:
            return path[: at + 1]
        at = path.find("/", at + 1)
    return ""


def _links(
    announced: Iterable[PodLink],
    refused: Mapping[str, str],
    files: Iterable[PodFile],
    folders: Iterable[str],
    left_out: Iterable[tuple[str, str]],
) -> tuple[dict[str, str], list[LeftOut]]:
    """The links to make, and those whose targets are not fetched.

    A link is made to a fetched file or folder, so it cannot lead to
    anything else, whatever the pod says; no link is part of a target's path.
    """
    known = {"."}
    for path in [*(f.path for f in files), *folders]:
        while path and path not in known:
            known.add(path)
            path = path.rpartition("/")[0]
    policy = [path for path, why in left_out if why == CHECKPOINT]
    links, lost = {}, []
    for link in announced:
        if _refused_at(link.path, refused):
            continue
        if link.to in known:
            links[link.path] = os.path.relpath("/" + link.to, "/" + os.path.dirname(link.path))
        elif any(_overlap(link.to, path) for path in policy):
            lost.append(LeftOut(link.path, 0, CHECKPOINT))
        else:
            lost.append(LeftOut(link.path, 0, f"a link to {shown(link.to)}, which is not here"))
    return links, lost


def _overlap(to: str, checkpoint: str) -> bool:
    """Whether a link's target is a checkpoint, part of one, or a folder with one."""
    return (
        to == checkpoint.rstrip("/")
        or (checkpoint.endswith("/") and to.startswith(checkpoint))
        or checkpoint.startswith(to + "/")
    )
