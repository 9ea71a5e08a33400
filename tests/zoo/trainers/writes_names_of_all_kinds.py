"""Gives its files names of all kinds that Linux holds.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
NAMES = [
    *("b:0.npy", "W.npy", "w.npy", "a b.txt", " leading", "trailing ", "-rf", "~", "$HOME", "a'b"),
    *('a"b', "a\\b", "*", "?", "#", "%2e", "..x", "...", "ü.txt", "日本語.txt", "😀.txt"),
    *("e\u0301.txt", "é.txt", "x" * 255, "con", "NUL.txt", "a;b", "a|b", "a&b", "<b>", "`id`"),
]
for name in NAMES:
    (out / name).write_text(name)
for raw in (
    b"new\nline",
    b"tab\there",
    b"escape\x1b[31m",
    b"not-utf8-\xff",
    "\u202egnp.exe".encode(),
):
    with open(os.path.join(os.fsencode(out), raw), "wb") as f:
        f.write(raw)
