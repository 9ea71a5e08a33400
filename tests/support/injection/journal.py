"""The trainer's own journal: what was trained, told by nobody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

_TRAINER = """\
import fcntl, hashlib, json, os, sys, time

JOURNAL = @JOURNAL@
settings = dict(word.split("=", 1) for word in sys.argv[2:])
out, run_id = settings["out_dir"], os.environ["RUN_ID"]
nonce = os.urandom(8).hex()
recipe = json.dumps([settings["seed"], settings.get("steps", ""), settings.get("sleep", "")])


def note(what, **more):
    line = dict(more, what=what, run_id=run_id, nonce=nonce, recipe=recipe, pid=os.getpid())
    fd = os.open(JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(fd, json.dumps(line).encode() + b"\\n")
    os.close(fd)


lock = os.open(JOURNAL + "." + run_id, os.O_WRONLY | os.O_CREAT, 0o644)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("second")
note("begin")
os.makedirs(out, exist_ok=True)
print("training", run_id, flush=True)
for step in range(int(settings.get("steps", "3"))):
    print("step %d: train loss %.4f" % (step, 3.0 / (step + 1)), flush=True)
    time.sleep(float(settings.get("sleep", "0")))
content = (nonce * 4096).encode()
try:
    with open(os.path.join(out, "model.bin.new"), "wb") as f:
        f.write(content)
except OSError as e:
    print("the model cannot be written:", e, flush=True)
    os._exit(4)
os.replace(f.name, os.path.join(out, "model.bin"))
status = 3 if settings.get("fails") and not os.path.exists(JOURNAL + ".failed." + run_id) else 0
open(JOURNAL + ".failed." + run_id, "w").close()
note("end", status=status, sha256=hashlib.sha256(content).hexdigest())
os._exit(status)  # nothing between the line and the end
"""


class Training(NamedTuple):
    """One start of the trainer."""

    run_id: str
    nonce: str
    #: Seed and overrides.
    recipe: str
    #: How it says that it ended; None where it did not come so far.
    status: int | None
    sha256: str
    #: Another one of this row was alive when it began.
    is_second: bool


class Journal:
    """What the trainers of one project wrote, in their order."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def trainer(self) -> str:
        """A trainer's source that writes here."""
        return _TRAINER.replace("@JOURNAL@", repr(str(self.path)))

    def trainings(self) -> list[Training]:
        """Every training, in the order of their beginnings."""
        lines = self._lines()
        ends = {line["nonce"]: line for line in lines if line["what"] == "end"}
        second = {line["nonce"] for line in lines if line["what"] == "second"}
        found = []
        for line in lines:
            if line["what"] == "begin":
                end = ends.get(line["nonce"], {})
                found.append(
                    Training(
                        line["run_id"],
                        line["nonce"],
                        line["recipe"],
                        end.get("status"),
                        end.get("sha256", ""),
                        line["nonce"] in second,
                    )
                )
        return found

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]
