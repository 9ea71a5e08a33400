"""Program that reads TensorBoard's event files, with TensorBoard's own reader.

It is a separate process, as the files come from a pod and must not be able to stop a page. It
imports nothing of this package. It reads ``{run: {"files": [path], "since": seconds}}`` from
stdin, and writes a line ``{"run", "scalars": {tag: {steps, values, points}}, "errors": [text]}``
for each run. Exit status 3: TensorBoard is not installed.
"""

from __future__ import annotations

import json
import resource
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

MAX_TAGS = 256
MAX_POINTS = 20_000
_MAX_MEMORY_BYTES = 4 * 1024**3
_MAX_OUTPUT_BYTES = 512 * 1024**2
_SCALARS = ("", "scalars")
_MAX_TEXT = 500

NOT_INSTALLED = 3


def main() -> int:
    """Read the files that stdin names."""
    for limit, value in (
        (resource.RLIMIT_AS, _MAX_MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, _MAX_OUTPUT_BYTES),
    ):
        try:
            resource.setrlimit(limit, (value, value))
        except (OSError, ValueError):
            pass  # already lower, or not supported by this system
    try:
        load, as_array = _reader()
    except ImportError:
        return NOT_INSTALLED
    for run, asked in json.load(sys.stdin).items():
        scalars: dict[str, Scalar] = {}
        errors = []
        for path in asked["files"]:
            try:
                _read(load(path), as_array, asked["since"], scalars)
            except Exception as e:  # noqa: BLE001 - whatever a file holds, the next one is read
                errors.append(f"{type(e).__name__}: {e}"[:_MAX_TEXT])
        found = {tag: scalar.as_json() for tag, scalar in scalars.items()}
        sys.stdout.write(json.dumps({"run": run, "scalars": found, "errors": errors}) + "\n")
        sys.stdout.flush()
    return 0


class Scalar:
    """The points of one tag; every second one is dropped whenever there are too many."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.values: list[float] = []
        self.points = 0
        self._every = 1
        self._last: tuple[int, float] | None = None

    def take(self, step: int, value: float) -> None:
        """Add a point."""
        if self.points % self._every == 0:
            self.steps.append(step)
            self.values.append(value)
            self._last = None
            if len(self.steps) > MAX_POINTS:
                self.steps, self.values = self.steps[::2], self.values[::2]
                self._every *= 2
        else:
            self._last = step, value
        self.points += 1

    def as_json(self) -> dict[str, Any]:
        """The kept points, including the last one."""
        last = [] if self._last is None else [self._last]
        return {
            "steps": [*self.steps, *(step for step, _ in last)],
            "values": [*self.values, *(value for _, value in last)],
            "points": self.points,
        }


def _read(
    events: Iterable[Any],
    as_array: Callable[[Any], Any],
    since: float,
    scalars: dict[str, Scalar],
) -> None:
    """Read the scalars of one file: plain values, or tensors of one number."""
    plugins: dict[str, str] = {}
    for event in events:
        for value in event.summary.value:
            # the plugin is named with the first value of a tag
            plugin = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
            if event.wall_time < since or not (value.tag in scalars or len(scalars) < MAX_TAGS):
                continue
            number = _number(value, plugin, as_array)
            if number is not None:
                scalars.setdefault(value.tag, Scalar()).take(int(event.step), number)


def _number(value: Any, plugin: str, as_array: Callable[[Any], Any]) -> float | None:
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor" or plugin not in _SCALARS:
        return None
    if any(dimension.size > 1 for dimension in value.tensor.tensor_shape.dim):
        return None
    array = as_array(value.tensor)
    return float(array.item()) if array.size == 1 and array.dtype.kind in "fiu" else None


def _reader() -> tuple[Callable[[str], Iterator[Any]], Callable[[Any], Any]]:
    """TensorBoard's reader of a file, and its conversion of a tensor to an array."""
    # its own substitute for TensorFlow, which is not imported even if installed
    sys.modules["tensorboard.compat.notf"] = types.ModuleType("tensorboard.compat.notf")
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    return (lambda path: LegacyEventFileLoader(path).Load()), make_ndarray


if __name__ == "__main__":
    sys.exit(main())
