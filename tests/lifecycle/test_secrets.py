"""Twelve secrets through a whole flow: a run has them, and nobody finds them anywhere after."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_wf.wire import ids
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

TRAINER = """\
import base64, json, os, sys, time, urllib.parse

out = dict(word.split("=", 1) for word in sys.argv[2:])["out_dir"]
found = {name: value for name, value in os.environ.items() if name.startswith("WF_T_")}
print("secrets here:", len(found), flush=True)
for value in found.values():
    forms = [value, urllib.parse.quote(value, safe=""), json.dumps(value)]
    forms += [base64.b64encode(value.encode()).decode(), *value.splitlines()]
    for form in forms:
        print("bare", form)
        half = len(form) // 2
        print("torn", form[:half], end="", flush=True)
        time.sleep(0.02)
        print(form[half:], flush=True)
        print(json.dumps({"text": "x" + form}), file=sys.stderr, flush=True)
with open(os.path.join(out, "waits"), "w"):
    pass
while not os.path.exists(os.path.join(out, "go")):
    time.sleep(0.02)
raise RuntimeError("giving up with " + found["WF_T_PLAIN_TOKEN"])
"""


def forms(value: str) -> set[bytes]:
    """A secret in five encodings, and its lines by themselves."""
    encoded = base64.b64encode(value.encode()).decode()
    found = {value, urllib.parse.quote(value, safe=""), json.dumps(value)[1:-1], encoded}
    return {form.encode() for form in [*found, *value.splitlines()] if len(form) >= 8}


def hits(text: bytes) -> set[str]:
    """Names of the secrets that a text tells."""
    return {name for name, value in SECRETS.items() if any(f in text for f in forms(value))}


def command_lines() -> bytes:
    """What `ps` shows of every process."""
    said = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said.append(path.read_bytes())
        except OSError:
            continue
    return b"\n".join(said)


def test_twelve_secrets_in_five_encodings_are_found_nowhere(
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
    for root in (project.root, Path(project.environ["HOME"])):
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert not hits(path.read_bytes()), path
    summary = json.loads((project.root / "reports/runs/one/summary.json").read_text())
    assert summary["reason"] == "RuntimeError: giving up with [redacted]"
