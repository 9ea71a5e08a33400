"""Reader of ``trainer_state.json``, which Hugging Face's Trainer writes with each checkpoint.

Its history is that of the whole training: a training resumed from a checkpoint has the reports
before that too. Of several files the one written last counts: that of ``out_dir``, or of the newest
checkpoint.
"""

from typing import Any, Dict, List, Optional, Sequence

from pytest_wf.agent.run.metrics.out_files import OutFile, read_object
from pytest_wf.agent.run.metrics.reader import Found, MetricReader, Run
from pytest_wf.agent.run.metrics.values import finite, whole

NAME = "trainer_state.json"
_MAX_BYTES = 32 * 1024 * 1024


class TrainerState(MetricReader):
    """Reads the newest state, and the new part of its history."""

    is_late = True

    def __init__(self, run: Run) -> None:
        self._run = run
        self._values = run.values(NAME)
        self._seen: Optional[OutFile] = None
        #: How many reports were taken, and the last of them.
        self._taken = 0
        self._last: Optional[Dict[str, Any]] = None

    def found(self) -> Sequence[Found]:
        """The values of all states, which are one history."""
        return [(NAME, self._values)]

    def update(self) -> None:
        """Read the newest readable state, if it is not the one that was read last."""
        for file in self._run.files.named(NAME):
            if file == self._seen:
                return
            state = read_object(file.path, _MAX_BYTES)
            if state is not None and isinstance(state.get("log_history"), list):
                self._seen = file
                self._take(state)
                return

    def _take(self, state: Dict[str, Any]) -> None:
        history = [one for one in state["log_history"] if isinstance(one, dict)]
        if not self._goes_on(history):
            self._values, self._taken = self._run.values(NAME), 0
        for report in history[self._taken :]:
            named = {name: value for name, value in report.items() if name != "step"}
            self._values.take(whole(report.get("step")), named)
        self._taken, self._last = len(history), history[-1] if history else None
        step, epoch = whole(state.get("global_step")), finite(state.get("epoch"))
        if step is not None and (self._values.step is None or step > self._values.step):
            self._values.step = step
        total = whole(state.get("max_steps"))
        self._values.total_steps = total if total and total > 0 else None
        if step and epoch:
            self._run.steps_per_epoch = step / epoch

    def _goes_on(self, history: List[Dict[str, Any]]) -> bool:
        """Whether a history continues the one that was taken."""
        return len(history) >= self._taken and (
            not self._taken or repr(history[self._taken - 1]) == repr(self._last)
        )
