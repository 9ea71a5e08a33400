"""Makes folders where a reader of metrics expects files.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
for name in ("metrics.jsonl", "trainer_state.json", "metrics.csv"):
    (out / name).mkdir()
    (out / name / "model.bin").write_bytes(b"weights")
