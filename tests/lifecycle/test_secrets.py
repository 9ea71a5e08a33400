"""Twelve secrets in a whole flow: a run prints them, and no file or output holds them then."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.wire import ids
from tests.support.secret_forms import all_told
from tests.support.waiting import until

SECRETS = {
    "WF_T_PLAIN_TOKEN": "tr0ub4dor-and-3",
    "WF_T_SPACE_TOKEN": "correct horse battery staple",
    "WF_T_QUOTE_TOKEN": "say \"hush\" and 'hush'",
    "WF_T_SHELL_TOKEN": "$(cat /etc/passwd) `id` ;ls",
    "WF_T_PERCENT_TOKEN": "100%/of+it?a=b&c=d",
    "WF_T_BACKSLASH_TOKEN": "C:\\keys\\new\\table",
    "WF_T_UNICODE_TOKEN": "schlüssel-für-alles-€",
    "WF_T_LINES_KEY": "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----",
    "WF_T_BASE64_KEY": "c2VjcmV0LWluLWJhc2U2NC1mb3Jt",
    "WF_T_HEX_KEY": "00112233445566778899aabbccddeeff",
    "WF_T_LONG_KEY": "long-" + "0123456789abcdef" * 64,
    "WF_T_SHORTEST_KEY": "eight888",
}

TRAINER = f"""\
import json, os, sys, time

sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.support.secret_forms import FORMS

out = dict(word.split("=", 1) for word in sys.argv[2:])["out_dir"]
found = {{name: value for name, value in os.environ.items() if name.startswith("WF_T_")}}
sys.stdout.reconfigure(errors="backslashreplace")
print("secrets here:", len(found), flush=True)
metrics = open(os.path.join(out, "metrics.jsonl"), "w")
for value in found.values():
    for form in FORMS.values():
        text = form(value)
        print("bare", text)
        print("torn", text[: len(text) // 2], end="", flush=True)
        print(text[len(text) // 2 :], flush=True)
        print(json.dumps({{"text": "x" + text}}), file=sys.stderr, flush=True)
    for text in (value, value.encode().hex(), json.dumps(value)):
        metrics.write(json.dumps({{"step": 1, "train_loss": 1.5, text[:100]: 2.5}}) + "\\n")
metrics.close()
with open(os.path.join(out, "waits"), "w"):
    pass
while not os.path.exists(os.path.join(out, "go")):
    time.sleep(0.02)
raise RuntimeError("giving up with " + "\\x1b[1m".join(found["WF_T_PLAIN_TOKEN"]))
"""


def hits(text: bytes) -> set[str]:
    """Names of the secrets that a text tells."""
    return all_told(SECRETS, text.decode("utf-8", "replace"))


def command_lines() -> bytes:
    """What `ps` shows of every process."""
    said = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said.append(path.read_bytes())
        except OSError:
            continue
    return b"\n".join(said)


@pytest.mark.fault("X2")
def test_twelve_secrets_in_every_form_are_found_nowhere(
    new_project: Callable[..., Any],
) -> None:
    project = new_project(
        rows=["one,default.py,1,,"],
        config={"WF_SECRET_ENV": '"' + " ".join(SECRETS) + '"'},
        trainer=TRAINER,
    )
    project.environ = {**project.environ, **SECRETS}
    run = project.start("--wf-wait=true", "--wf-fetch=all", "-v", "-l")
    shown = set()

    def waits() -> bool:
        shown.update(hits(command_lines()))
        return (
            project.outputs / "one" / "out" / "waits"
        ).exists() or run.process.poll() is not None

    until(waits, "the row has told all that it knows")
    assert run.process.poll() is None, run.wait().output
    tmux = ["tmux", "-L", ids.tmux_socket(str(project.outputs))]
    environment = subprocess.run(
        [*tmux, "show-environment", "-g", ";", "show-environment", "-t", "=sweeps"],
        capture_output=True,
    ).stdout
    assert b"PATH=" in environment, "the sweep has a tmux of its own"
    shown |= hits(environment) | hits(command_lines())
    (project.outputs / "one" / "out" / "go").touch()
    run.wait()
    assert run.code == 1, run.output
    assert not shown, "in ps, or in tmux's environment"
    log = (project.outputs / "one" / "stdout.log").read_text()
    assert f"secrets here: {len(SECRETS)}" in log
    assert log.count("[redacted]") > 100
    assert not hits(run.output.encode())
    words = (
        ["report", str(run.folder), "-o", "again.html"],
        ["logs", "one"],
        ["sweep-status", "--json"],
    )
    for told in [project.wf(*command) for command in words]:
        assert told.returncode == 0, told.stderr
        assert not hits((told.stdout + told.stderr).encode())
    places = [
        path
        for root in (project.root, Path(project.environ["HOME"]))
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    ]
    assert {path.name for path in places} >= {"again.html", "junit.xml", "events.jsonl"}
    for path in places:
        if "out" not in path.parts:  # what the trainer itself wrote
            assert not hits(path.read_bytes()), path
    summary = json.loads((project.root / "reports/runs/one/summary.json").read_text())
    assert summary["reason"] == "RuntimeError: giving up with [redacted]"
