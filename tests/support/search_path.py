"""A PATH of chosen programs, for what a pod may lack."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest


class SearchPath:
    """A PATH of chosen programs: the rest of the machine is not there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("git", "tmux", "rsync", "python3", "sh", "bash", "env", "echo", "touch"):
            found = sys.executable if name == "python3" else shutil.which(name)
            if found:
                self.add(name, f'#!/bin/sh\nexec {found} "$@"\n')
        monkeypatch.setenv("PATH", str(folder))

    def add(self, name: str, script: str) -> None:
        """Put a program there."""
        (self.folder / name).write_text(script)
        (self.folder / name).chmod(0o755)

    def remove(self, *names: str) -> None:
        """Take programs away."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def add_apt(self, installs: str = "", rc: int = 0) -> Path:
        """An apt-get that notes its words and 'installs' one program."""
        noted = self.folder / "apt.log"
        brings = f'printf "#!/bin/sh\\necho {installs} 1.2\\n" > {self.folder}/{installs};'
        brings += f"/bin/chmod +x {self.folder}/{installs}"
        self.add(
            "apt-get",
            f'#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >> {noted}\n'
            f'case "$*" in *install*) {brings if installs else ":"}; exit {rc};; esac\n',
        )
        return noted
