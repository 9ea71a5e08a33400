"""Writes a good summary into the run directory and fails.

state: failed
exit: 5
"""

import json
import os
from pathlib import Path

run = Path(os.environ["TRAIN_OUT_DIR"]).parent
good = {"schema": 1, "run_id": os.environ["RUN_ID"], "state": "success", "ok": True}
(run / "summary.json").write_text(json.dumps(good))
raise SystemExit(5)
