"""Plays random faults for a given time: ``python -m tests.support.injection --secs 180``.

Each seed is one schedule, which ``--seed N`` plays again. What it does is printed as it is
done; the folders of games that end badly are kept.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support.injection.game import Game
from tests.support.injection.schedule import schedule


def main() -> int:
    """0 where every flow ended well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--secs", type=float, default=180.0, help="begin no flow after that time")
    parser.add_argument("--seed", type=int, nargs="+", default=[], help="play these alone")
    asked = parser.parse_args()
    injected: Counter[str] = Counter()
    bad, played, end = [], 0, time.monotonic() + asked.secs
    for seed in asked.seed or _new_seeds(end):
        bad += [] if _play(seed, injected) else [seed]
        played += 1
    for kind, count in sorted(injected.items()):
        print(f"{count:6} {kind}")
    print(f"{injected.total():6} faults in {played} flows; {len(bad)} ended badly: {bad}")
    return bool(bad)


def _new_seeds(end: float) -> Iterator[int]:
    while time.monotonic() < end:
        yield random.SystemRandom().randrange(10**6)


def _play(seed: int, injected: Counter[str]) -> bool:
    base = Path(tempfile.mkdtemp(prefix=f"wf-faults-{seed}-"))
    began = time.monotonic()
    game = Game(base, schedule(seed), lambda text: print(text, flush=True))
    wrong = game.play()
    injected.update(game.injected)
    for line in wrong:
        print(f"seed {seed}: VIOLATION {line}")
    if wrong:
        told = (f"$ {' '.join(map(str, words))}\n{text}" for words, text in game.user.told)
        (base / "told").write_text("\n".join(told))
        print(f"seed {seed}: kept {base}")
    else:
        shutil.rmtree(base)
    print(f"seed {seed}: {time.monotonic() - began:.1f} s", flush=True)
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
