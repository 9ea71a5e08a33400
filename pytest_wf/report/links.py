"""Links to files beside the page: relative, quoted, and never anything but a path."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from pytest_wf.report.model import Link


class Links:
    """Makes links relative to the page's folder."""

    def __init__(self, page_dir: Path) -> None:
        self._page_dir = page_dir.resolve()

    def to(self, path: Path, label: str) -> Link:
        """A link to `path`, which need not exist."""
        relative = Path(os.path.relpath(path, self._page_dir)).as_posix()
        # without the dot a name such as 'data:x' would be read as a scheme
        dotted = relative if relative.startswith(("./", "../")) else f"./{relative}"
        return Link(label, quote(dotted, safe="/"))

    def existing(self, path: Path, label: str | None = None) -> tuple[Link, ...]:
        """A link to `path` if it is a file or a folder, otherwise nothing."""
        return (self.to(path, label or path.name),) if path.exists() else ()
