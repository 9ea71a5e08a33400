"""A row of a sweep."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

from pytest_wf.wire.rows.fields import Malformed, field_in, run_id_in, text_in, whole_in


class Row(NamedTuple):
    """One row of a sweep: one training."""

    #: Place in the manifest, from 0.
    index: int  # type: ignore[assignment]  # a row is never searched as a tuple
    run_id: str
    #: Path below TRAIN_WORKDIR_REL; '' if the command template uses none.
    config: str
    seed: int
    #: As written in the CSV, and split as a shell does.
    overrides: str
    argv: Tuple[str, ...]
    notes: str = ""
    timeout_s: Optional[int] = None
    gpus: Optional[int] = None
    retries: Optional[int] = None
    expect: str = ""
    #: Line of the CSV on which the row begins; 0 if it is not known.
    line: int = 0
    #: The campaign whose result was adopted as this row's; None if the row is run.
    adopted_from: Optional[str] = None
    #: Over how many machines of a cluster it is trained; None for one.
    nodes: Optional[int] = None

    @classmethod
    def from_json(cls, value: Any) -> "Row":
        """The row in a JSON object."""
        run_id = run_id_in(value)
        argv = field_in(value, "argv", list)
        if not all(isinstance(word, str) for word in argv):
            raise Malformed("row %s: argv is not a list of strings" % run_id)
        config = text_in(value, "config")
        if config.startswith("/") or ".." in config.split("/"):
            raise Malformed("row %s: not a path in the working directory: %r" % (run_id, config))
        if any("\0" in text for text in [config, *argv]):
            raise Malformed("row %s: an argument holds a NUL byte" % run_id)
        return cls(
            index=whole_in(value, "index") or 0,
            run_id=run_id,
            config=config,
            seed=field_in(value, "seed", int),
            overrides=text_in(value, "overrides"),
            argv=tuple(argv),
            notes=text_in(value, "notes"),
            timeout_s=whole_in(value, "timeout_s"),
            gpus=whole_in(value, "gpus"),
            retries=whole_in(value, "retries"),
            expect=text_in(value, "expect"),
            line=whole_in(value, "line") or 0,
            adopted_from=text_in(value, "adopted_from") or None,
            nodes=whole_in(value, "nodes"),
        )

    def as_json(self) -> Dict[str, Any]:
        """The row as `from_json` reads it."""
        return dict(self._asdict(), argv=list(self.argv))
