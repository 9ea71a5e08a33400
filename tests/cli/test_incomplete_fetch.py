"""A fetch that cannot bring all of a run says what is missing, and leads on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SECRET = "hunter2hunter2"
TRAINER = """\
import os, sys
out = dict(word.split("=", 1) for word in sys.argv[2:])["out_dir"]
os.makedirs(out, exist_ok=True)
os.symlink("/etc/hostname", os.path.join(out, "link-" + os.environ["TOKEN"]))
"""


@pytest.mark.long
def test_an_incomplete_fetch_names_what_each_run_lacks_and_succeeds_once_that_is_gone(
    new_wf: Callable[..., Any],
) -> None:
    wf = new_wf(rows=("one,default.py,1,,",), trainer=TRAINER, config={"WF_SECRET_ENV": "TOKEN"})
    wf.environ["TOKEN"] = SECRET
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start", "sweep-watch")
    told = wf("fetch-all")
    assert told.code == 1
    assert told.problems == [
        "run one is incomplete: out/link-[redacted] (a link out of the run directory, "
        "to /etc/hostname)",
        "On the pod, replace what cannot be carried; then fetch again.",
    ]
    (link,) = (wf.root / ".wf" / "pod" / "outputs" / "one" / "out").iterdir()
    link.unlink()
    assert wf("fetch-all").code == 0
