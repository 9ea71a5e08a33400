"""Views drawn from a flow's records after these are closed: recorded, and compared later.

A view is replaced by the next flow's; the next flow's own record of views says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pytest_wf.evidence import chain
from pytest_wf.evidence.chain import NOT_HERE, Finding
from pytest_wf.evidence.folder import digest_of, files_of, parsed, read_regular
from pytest_wf.evidence.place import Place
from pytest_wf.evidence.records import View, Views
from pytest_wf.wire.files import canonical_json, sha256_bytes

Kind = Literal["page", "junit", "checklist", "allure"]

_FLOW_ID = re.compile(rb"f-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
_MOST_READ_BYTES = 256 * 1024 * 1024
_MOST_NAMED = 20


def views_of(
    flow_id: str, project: Path, found: Sequence[tuple[Kind, Path]]
) -> tuple[list[View], list[str]]:
    """The record of each view that was drawn, and a line for each that cannot be read.

    A view names its flow: one that does not is an earlier flow's, and this flow's was not drawn.
    """
    views, wrong = [], []
    for kind, path in found:
        shown = path.relative_to(project) if path.is_relative_to(project) else path
        try:
            if flow_id not in _flow_ids_in(path):
                continue
            sha256, files = _content(path)
        except OSError as e:
            wrong.append(f"{shown} is not recorded as a view: {e.strerror}")
            continue
        views.append(
            View(kind=kind, path=shown.as_posix(), sha256=sha256, flow_id=flow_id, files=files)
        )
    return views, wrong


def view_findings(
    place: Place, documents: Mapping[str, bytes], flow_id: str, summary_sha256: str
) -> Iterator[Finding]:
    """Findings in the record of views, or otherwise in each view.

    The problem of a view is 'ok', 'changed' or 'not here', with the flow that replaced it.
    """
    record, raw = parsed(documents.get(chain.VIEWS)), documents.get(chain.VIEWS, b"")
    if not chain.states_itself(record, raw):
        said = "it does not have the digest that it states of itself"
        yield Finding(chain.VIEWS, "changed", said)
        return
    try:
        views = Views.model_validate(record)
    except (ValidationError, RecursionError):
        yield Finding(chain.VIEWS, "changed", "it is not a record of views")
        return
    if views.flow_id != flow_id or views.summary_sha256 != summary_sha256:
        said = f"it is of another summary, of flow {views.flow_id}"
        yield Finding(chain.VIEWS, "inconsistent", said)
        return
    for view in views.views:
        yield from _view(place, view)


def _view(place: Place, view: View) -> Iterator[Finding]:
    path = place.located(view.path)
    try:
        sha256, files = _content(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        yield Finding(view.path, NOT_HERE, "view")
        return
    except OSError as e:
        yield Finding(view.path, "changed", str(e.strerror))
        return
    if sha256 == view.sha256:
        yield Finding(view.path, "ok")
        return
    other = place.replaced_by(chain.VIEWS, lambda raw: _has(raw, view.path, sha256))
    other = other or _unrecorded(place, path)
    if other:
        yield Finding(view.path, NOT_HERE, f"view; replaced by flow {other}")
    elif view.files is None or files is None:
        yield Finding(view.path, "changed", f"its SHA-256 is {sha256}, recorded was {view.sha256}")
    else:
        yield from _of_folder(view, files)


def _of_folder(view: View, files: Mapping[str, str]) -> Iterator[Finding]:
    stated = view.files or {}
    differing = [n for n in sorted({*stated, *files}) if stated.get(n) != files.get(n)]
    for name in differing[:_MOST_NAMED]:
        problem = "added" if name not in stated else "removed" if name not in files else "changed"
        yield Finding(f"{view.path}/{name}", problem, "of a view")
    if len(differing) > _MOST_NAMED:
        yield Finding(view.path, "changed", f"{len(differing) - _MOST_NAMED} more of its files")


def _content(path: Path) -> tuple[str, dict[str, str] | None]:
    """The digest of a view, and for a folder the digests of its files."""
    if not path.is_dir():
        return digest_of(path)[0], None
    files = {name: digest_of(file)[0] for name, file in files_of(path).items()}
    return sha256_bytes(canonical_json(files)), files


def _has(raw: bytes, path: str, sha256: str) -> bool:
    """Whether a record of views has that content for that path."""
    listed: Any = parsed(raw).get("views")
    pair = (path, sha256)
    return isinstance(listed, list) and any(
        isinstance(v, dict) and (v.get("path"), v.get("sha256")) == pair for v in listed
    )


def _unrecorded(place: Place, path: Path) -> str:
    """A flow that is named in `path` and has not recorded its views, as it runs or was killed.

    The view itself proves nothing: one that names the flow of `place`, too, is not taken for
    another's.
    """
    named = set(_flow_ids_in(path))
    if place.flow_id in named:
        return ""
    for flow_id in sorted(named, reverse=True):
        if place.has_begun(flow_id) and not (place.folder.parent / flow_id / chain.VIEWS).exists():
            return flow_id
    return ""


def _flow_ids_in(path: Path) -> Iterator[str]:
    """Ids of flows in a file, or in the files of a folder."""
    left = _MOST_READ_BYTES
    for file in files_of(path).values() if path.is_dir() else [path]:
        with suppress(OSError):
            raw = read_regular(file, left)
            left -= len(raw)
            yield from (match.decode() for match in _FLOW_ID.findall(raw))
