"""The commands that a message names, as whole command lines for where its reader is.

A message is written where the options of the flow, and its reader's directory, are not known, as
on the pod. It names a flow by its options, as `--wf-sweep=resume`, and a `wf` command by its words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_wf.court.next_command import flow_command, wf_command

_FLOW = re.compile(
    r"`(?:pytest flows/ --wf-flow )?"
    r"(?P<options>--wf-sweep=(?:start|resume)(?: --wf-[a-z]+=[^\s`]+)*)"
    r'(?P<selection> -k "[^"`]+")?`'
)
_WF = re.compile(r"`(wf (?P<name>[a-z-]+)[^`]*)`")
#: `wf` commands that read no config, or find it by a folder.
WITHOUT_CONFIG = frozenset(
    {
        "baseline",
        "completion",
        "costs",
        "docs",
        "explain",
        "flow",
        "init",
        "keygen",
        "keys",
        "report",
        "results",
        "verify",
    }
)


def with_whole_commands(text: str, options: Mapping[str, str]) -> str:
    """`text` with its commands as they are run after a flow or command with `options`.

    Each has the rows, config, CSV and reports of the flow that it takes, and the directory if
    that is another one. Commands that are whole stay as they are.
    """
    text = _FLOW.sub(lambda found: f"`{_flow(found, options)}`", text)
    return _WF.sub(lambda found: f"`{_wf(found, options)}`", text)


def _flow(found: re.Match[str], options: Mapping[str, str]) -> str:
    named = dict(word[len("--wf-") :].split("=", 1) for word in found["options"].split())
    if found["selection"]:
        named["selection"] = found["selection"].strip()
    return flow_command(options, **named)


def _wf(found: re.Match[str], options: Mapping[str, str]) -> str:
    command = found[1]
    if found["name"] in WITHOUT_CONFIG or "--wf-config" in command:
        return command
    root = options.get("root", "")
    is_above = set(root.split("/")) <= {"..", ""}  # `wf` looks for its project there itself
    return wf_command(command, {**options, "root": "" if is_above else root})
