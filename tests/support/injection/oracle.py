"""Judges a project after faults, by the trainer's journal and the files on both sides."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.flow_project import Project
from tests.support.injection import processes
from tests.support.injection.journal import Journal, Training
from tests.support.injection.user import User

_TRACES = ("Traceback (most recent call last)", "INTERNALERROR")
#: How long what ends by itself may take for that.
_STRAY_S = 60.0


class Oracle:
    """What must hold in the end, whatever happened meanwhile."""

    def __init__(self, base: Path, project: Project, user: User, journal: Journal) -> None:
        self._base = base
        self._project = project
        self._user = user
        self._journal = journal
        #: Trainings that something killed, or whose exit status nobody could have kept.
        self.excused: set[str] = set()
        #: How often each row was asked for again, whatever came of it before.
        self._asked: Counter[str] = Counter()

    def ask_again(self, run_ids: list[str]) -> None:
        """Let these rows be trained again, also where a training is yet to end before that."""
        self._asked.update(run_ids)
        self.excused |= {t.nonce for t in self._journal.trainings() if t.run_id in run_ids}

    def excuse_living(self) -> None:
        """Excuse the trainings whose end is not on the pod's disk: they are about to be killed."""
        last: dict[str, Training] = {t.run_id: t for t in self._journal.trainings()}
        for run_id, training in last.items():
            attempts = self._project.outputs / run_id / "attempts"
            newest = max(attempts.glob("*"), key=lambda p: int(p.name), default=attempts)
            if not (newest / "exit.json").exists():
                self.excused.add(training.nonce)

    def violations(self, run_ids: list[str]) -> list[str]:
        """Everything that is wrong, in words; nothing where all is well."""
        return [
            *self._wrong_trainings(),
            *(wrong for run_id in run_ids for wrong in self._wrong_results(run_id)),
            *self._wrong_words(),
            *self._wrong_flows(),
            *self._strays(),
        ]

    def _wrong_trainings(self) -> list[str]:
        wrong, good, asked = [], {}, self._asked.copy()
        for training in self._journal.trainings():
            key = (training.run_id, training.recipe)
            if training.is_second:
                wrong.append(f"{training.run_id} was trained twice at once")
            if key in good and asked[training.run_id]:
                asked[training.run_id] -= 1
            elif key in good:
                wrong.append(f"{training.run_id} had ended ok and was trained again")
            if training.status == 0 and training.nonce not in self.excused:
                good[key] = training
        return wrong

    def _wrong_results(self, run_id: str) -> list[str]:
        pod, here = self._project.outputs / run_id, self._runs / run_id
        for place in (pod, here):
            if not (place / "summary.json").exists():
                return [f"{run_id}: no summary in {place}"]
        summary = json.loads((here / "summary.json").read_text())
        wrong = [] if summary["ok"] else [f"{run_id} is not ok: {summary['reason']}"]
        if _digests(pod / "out") != _digests(here / "out"):
            wrong.append(f"{run_id}: its results here differ from those on the pod")
        ended = {t.sha256 for t in self._journal.trainings() if t.run_id == run_id and not t.status}
        if _digests(here / "out").get("model.bin", "none") not in ended:
            wrong.append(f"{run_id}: its model is of no training that ended well")
        return wrong

    @property
    def _runs(self) -> Path:
        return self._project.root / "reports" / "runs"

    def _wrong_words(self) -> list[str]:
        told = [(" ".join(words), text) for words, text in self._user.told]
        logs = self._project.outputs.glob("_control/**/*.log")
        told += [(str(log), log.read_text(errors="replace")) for log in logs]
        return [
            f"{name}: {text[text.index(trace) :][:2000]}"
            for name, text in told
            for trace in _TRACES
            if trace in text
        ]

    def _wrong_flows(self) -> list[str]:
        wrong = []
        codes = {run.process.returncode for run in self._user.flows}
        flows = self._project.root / "reports" / "flows"
        for folder in sorted(flows.iterdir()) if flows.exists() else []:
            summary = _json(folder / "flow.summary.json")
            if summary is None:
                continue  # it was killed
            if summary["exit_code"] not in codes:
                wrong.append(f"{folder.name}: exit code {summary['exit_code']} is no flow's")
            if summary["ok"] != (summary["exit_code"] == 0):
                wrong.append(f"{folder.name}: ok={summary['ok']}, exit {summary['exit_code']}")
            if not (folder / "flow.views.json").exists():
                continue  # it was killed behind its summary, or its disk was full: verify says so
            told = self._project.wf("verify", str(folder))
            if told.returncode != 0:
                wrong.append(f"{folder.name}: {told.stdout}{told.stderr}")
        return wrong

    def _strays(self) -> list[str]:
        deadline = time.monotonic() + _STRAY_S
        while (left := processes.of_flows(self._base)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [f"still runs: {pid} {b' '.join(argv)[:300]!r}" for pid, argv in left.items()]


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _json(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found
