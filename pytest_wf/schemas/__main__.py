"""Write the schema files: ``python -m pytest_wf.schemas [folder]``."""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_wf.evidence.records import schemas
from pytest_wf.wire.files import write_json


def main(argv: list[str]) -> int:
    """Write every schema into the given folder, otherwise into the package."""
    folder = Path(argv[0]) if argv else Path(__file__).parent
    for name, schema in schemas().items():
        write_json(str(folder / name), schema)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
