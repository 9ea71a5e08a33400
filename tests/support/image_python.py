"""The python of a pod's image, with a stand-in for torch where it has one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def make_image(where: Path) -> Path:
    """A python of its own in `where`, without pip: a virtual environment."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(where)], check=True)
    return where / "bin" / "python"


def site_of(python: Path | str) -> Path:
    done = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def put_torch(site: Path, version: str = "2.6.0+cu124", gpus: int = 2) -> None:
    """A stand-in for torch with a given version and number of GPUs."""
    package = site / "torch"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(
        f"__version__ = {version!r}\n"
        "class version:\n    cuda = '12.4'\n"
        "class cuda:\n"
        f"    is_available = staticmethod(lambda: {gpus} > 0)\n"
        f"    device_count = staticmethod(lambda: {gpus})\n"
        "    get_device_name = staticmethod(lambda i: 'NVIDIA H100')\n"
    )
