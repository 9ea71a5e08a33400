"""What a pod says cannot steer the terminal of whoever runs `wf`."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_wf.wire.safe_text import CONTROLS

#: ESC, BEL, CR, C1 and the controls of writing direction, as a shell's printf writes them.
EVIL = r"\033]0;owned\007\033[2J\rover\302\233there\342\200\256\342\201\246"


def assert_harmless(told: Any) -> None:
    for text in (told.out, told.errors):
        assert CONTROLS.search(text) is None, repr(text)
        assert "\r" not in text


@pytest.mark.fault("P18")
def test_no_door_lets_the_text_of_a_pod_steer_a_terminal(wf: Any) -> None:
    wf.all_good("pod-status")
    run = wf("task-run", "--id", "evil", "--cmd", f"printf '{EVIL}\\n'; printf '{EVIL}'")
    assert run.code == 0, run
    wf("task-wait", "--id", "evil")
    log = wf("logs", "evil")
    assert "there" in log.out
    assert_harmless(log)

    script = wf.root / "evil.sh"
    script.write_text(f"printf '{EVIL}'; exit 3\n")
    post = f"CHECKOUT_POST_CMD=\"bash '{script}'\"\n"
    config = wf.root / "flows" / "workflow.env"
    config.write_text(f"{config.read_text()}BOOTSTRAP_SCRIPT={script}\n{post}")
    wf.all_good("config-sync")
    warned = wf("bootstrap")
    assert "there" in warned.out
    assert_harmless(warned)

    refused = wf("checkout")
    assert refused.code == 1
    assert "CHECKOUT_POST_CMD: exit status 3" in refused.errors
    assert "there" in refused.errors
    assert_harmless(refused)
