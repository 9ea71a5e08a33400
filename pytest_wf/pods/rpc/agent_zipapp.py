"""The agent as one file: the package's own `wire` and `agent` sources, zipped."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from pathlib import Path

# The oldest time that a zip can hold: the same sources always give the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@functools.lru_cache(maxsize=1)
def build() -> tuple[bytes, str]:
    """The zipapp's bytes and their hex SHA-256. Built once per process."""
    package = Path(__file__).resolve().parents[2]
    main = (package / "agent" / "bytecode_cache.py").read_bytes()
    members = {"__main__.py": main, "pytest_wf/__init__.py": b""}
    for floor in ("agent", "wire"):
        for source in sorted((package / floor).rglob("*.py")):
            members[f"pytest_wf/{source.relative_to(package).as_posix()}"] = source.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, members[name])
    content = packed.getvalue()
    return content, hashlib.sha256(content).hexdigest()
