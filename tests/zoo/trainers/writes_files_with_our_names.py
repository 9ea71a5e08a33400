"""Writes its own summary.json, status.json, stdout.log and attempts.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
for name in (
    "summary.json",
    "status.json",
    "stdout.log",
    "command.sh",
    "made.json",
    "FETCHED.json",
):
    (out / name).write_text('{"ok": false, "state": "failed", "schema": 1}')
(out / "attempts" / "1").mkdir(parents=True)
(out / "attempts" / "1" / "result.json").write_text("not JSON")
