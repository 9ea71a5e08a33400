"""Is cut off in the middle of a line of metrics.

state: success
metrics: loss=1.5
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
(out / "metrics.jsonl").write_text('{"step": 1, "loss": 1.5}\n{"step": 2, "lo')
