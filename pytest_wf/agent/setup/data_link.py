"""DATA_LINK: links to the data set in the repository, which git does not see.

If the repository has no folder at DATA_LINK, a link to DATA_DIR is created there. If it has one,
each entry of DATA_DIR is linked into it by name, and existing files stay. The created links are
recorded in the repository's git directory; no other link is changed or removed.
"""

import filecmp
import os
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup.git import Repository
from pytest_wf.wire.files import BadJson, read_json, write_json
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import NotOurs, is_really_within

#: A folder with more entries is not a folder of shards.
_MOST_ENTRIES = 10000
#: Larger files, in bytes, are not compared; git holds few of them.
_MOST_COMPARED = 1 << 20
_SPECIAL = re.compile(r"([\\*?\[\]!# ])")


class DataLinks(NamedTuple):
    """The result of `refresh`: the number of links, and the hidden entries of DATA_DIR."""

    linked: int
    hidden: List[str]


def refresh(settings: Settings, repository: Repository) -> DataLinks:
    """Link the data into `repository`, a checkout or a campaign's tree, as DATA_DIR is now.

    Our links to entries that no longer exist are removed. Raises Refusal 'data', NotOurs.
    """
    known = _read(repository)
    ours = _matching(settings, repository) if known is None else known
    wanted, hidden = _wanted(settings, repository, ours)
    _remove(repository, {path: ours[path] for path in ours if wanted.get(path) != ours[path]})
    # first: a link that is made and not recorded would never be removed
    _record(repository, wanted)
    repository.exclude(*("/" + _SPECIAL.sub(r"\\\1", path) for path in wanted))
    for path, target in wanted.items():
        place = os.path.join(repository.path, path)
        if not os.path.islink(place):
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(target, place)
    return DataLinks(len(wanted), hidden)


def refresh_tree(settings: Settings, tree: Repository) -> None:
    """`refresh` for a campaign's tree, whose folder may be a link to the checkout's."""
    ours = recorded(tree)
    parts = os.path.normpath(settings["DATA_LINK"] or ".").split("/")
    for count in range(1, len(parts) + 1):
        path = os.path.join(*parts[:count])
        if os.path.islink(os.path.join(tree.path, path)) and not _is_ours(tree, path, ours):
            return
    refresh(settings, tree)


def clear(repository: Repository) -> None:
    """Remove the links: another commit may have files of their names."""
    _remove(repository, recorded(repository))


def recorded(repository: Repository) -> Dict[str, str]:
    """Each link of ours by its path in the repository, and what it points to."""
    return _read(repository) or {}


def _read(repository: Repository) -> Optional[Dict[str, str]]:
    """The record of the links; None if it is damaged."""
    try:
        found = read_json(_record_path(repository))
    except FileNotFoundError:
        return {}
    except (OSError, BadJson):
        return None
    return found if isinstance(found, dict) else None


def _matching(settings: Settings, repository: Repository) -> Dict[str, str]:
    """Untracked links that are as `refresh` would create them: ours, though not recorded."""
    link, folder = os.path.normpath(settings["DATA_LINK"] or "."), settings["DATA_DIR"]
    wanted = {link: folder}
    if os.path.isdir(folder):
        names = os.listdir(folder)[:_MOST_ENTRIES]
        wanted.update({os.path.join(link, name): os.path.join(folder, name) for name in names})
    return {
        path: target
        for path, target in wanted.items()
        if _is_ours(repository, path, wanted) and not repository.is_tracked(path)
    }


def _wanted(
    settings: Settings, repository: Repository, ours: Dict[str, str]
) -> Tuple[Dict[str, str], List[str]]:
    """Each link by its path in the repository, and the entries that others hide."""
    link, target = settings["DATA_LINK"], settings["DATA_DIR"]
    if not link or not target:
        return {}, []
    link = os.path.normpath(link)
    path = os.path.join(repository.path, link)
    if not os.path.islink(path) and os.path.realpath(path) == os.path.realpath(target):
        return {}, []  # the data is in the repository
    why = ""
    if os.path.isabs(link) or ".." in link.split("/"):
        why = "it is not a path within the repository"
    elif not is_really_within(os.path.dirname(path), repository.path):
        why = "it leads out of the repository"
    elif is_really_within(os.path.dirname(path), target):
        why = "it is in DATA_DIR itself, %s" % target
    elif os.path.isdir(path) and not os.path.islink(path):
        return _entries(settings, repository, link, ours)
    elif os.path.lexists(path) and not os.path.islink(path):
        why = "a file is there already"
    elif repository.is_tracked(link):
        why = "the repository has a file of that name"
    if why:
        raise _refused(link, why)
    if os.path.islink(path) and not _is_ours(repository, link, ours):
        raise NotOurs(path, "Move it away, or choose another DATA_LINK.")
    return {link: target}, []


def _entries(
    settings: Settings, repository: Repository, link: str, ours: Dict[str, str]
) -> Tuple[Dict[str, str], List[str]]:
    folder = settings["DATA_DIR"]
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        names = []  # the data contract decides whether that is enough
    except OSError as e:
        raise _refused(link, "%s cannot be listed: %s" % (folder, e.strerror)) from None
    if len(names) > _MOST_ENTRIES:
        raise _refused(
            link, "it is a folder of the repository, and DATA_DIR has %d entries" % len(names)
        )
    # git reads files of these names in any folder
    paths = {os.path.join(link, name): name for name in names if not name.startswith(".git")}
    wanted = {path: os.path.join(folder, name) for path, name in paths.items()}
    standing = [
        path
        for path in wanted
        if os.path.lexists(os.path.join(repository.path, path))
        and not _is_ours(repository, path, ours)
    ]
    hidden = [
        paths[path]
        for path in standing
        if not _is_same(os.path.join(repository.path, path), wanted[path])
    ]
    return {path: target for path, target in wanted.items() if path not in standing}, hidden


def _is_same(one: str, other: str) -> bool:
    """Whether both are files with the same content, as in two clones of a repository."""
    try:
        return (
            os.path.isfile(one)
            and not os.path.islink(one)
            and os.path.getsize(one) <= _MOST_COMPARED
            and filecmp.cmp(one, other, shallow=False)
        )
    except OSError:
        return False


def _is_ours(repository: Repository, path: str, ours: Dict[str, str]) -> bool:
    try:
        return os.readlink(os.path.join(repository.path, path)) == ours.get(path)
    except OSError:
        return False


def _remove(repository: Repository, links: Dict[str, str]) -> None:
    for path in links:
        if _is_ours(repository, path, links):
            os.unlink(os.path.join(repository.path, path))


def _record(repository: Repository, links: Dict[str, str]) -> None:
    if links != recorded(repository):
        write_json(_record_path(repository), links)


def _record_path(repository: Repository) -> str:
    return os.path.join(repository.git_dir, "wf-data-links.json")


def _refused(link: str, why: str) -> Refusal:
    return Refusal(
        "data",
        'DATA_LINK="%s" cannot be made: %s' % (link, why),
        "Choose another place for the link, empty DATA_LINK to have none, or move away what is "
        "there.",
    )
