"""Commands that a message names become whole command lines, with the options of the flow."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from pytest_wf.cli.main import app
from pytest_wf.court.named_commands import WITHOUT_CONFIG, with_whole_commands

AGAIN = "pytest flows/ --wf-flow"
COMMANDS: Any = typer.main.get_command(app)


@pytest.mark.parametrize(
    ("options", "named", "whole"),
    [
        ({}, "--wf-sweep=resume", f"{AGAIN} --wf-sweep=resume"),
        ({}, "--wf-sweep=start", AGAIN),
        ({"sweep": "resume", "wait": "true"}, "--wf-sweep=start", f"{AGAIN} --wf-wait=true"),
        (
            {"root": "../..", "config": "my flows/b.env"},
            "--wf-sweep=resume --wf-campaign=c-1",
            f"cd ../.. && {AGAIN} --wf-sweep=resume --wf-campaign=c-1 --wf-config='my flows/b.env'",
        ),
        (
            {"selection": '-k "[a]"'},
            "--wf-sweep=resume",
            f'{AGAIN} --wf-sweep=resume -k "[a]"',
        ),
        (
            {"selection": '-k "[a]"'},
            f'{AGAIN} --wf-sweep=resume -k "[b]"',
            f'{AGAIN} --wf-sweep=resume -k "[b]"',
        ),
        ({}, "wf sweep-stop", "wf sweep-stop"),
        ({"root": ".."}, "wf sweep-stop", "wf sweep-stop"),
        ({"root": "p", "config": "b.env"}, "wf logs a", "cd p && wf logs a --wf-config=b.env"),
        ({"root": "p", "config": "b.env"}, "wf keys WF_PODS", "wf keys WF_PODS"),
        ({"config": "b.env"}, "--wf-sweep=skip", "--wf-sweep=skip"),
    ],
)
def test_a_named_command_becomes_whole(options: dict[str, str], named: str, whole: str) -> None:
    once = with_whole_commands(f"Do `{named}`, or wait.", options)
    assert once == f"Do `{whole}`, or wait."
    assert with_whole_commands(once, options) == once


def test_a_command_of_a_hostile_pod_stays_one_command() -> None:
    said = with_whole_commands("`--wf-sweep=resume --wf-campaign=$(id);x --wf-evil=1`", {})
    assert said == f"`{AGAIN} --wf-sweep=resume --wf-campaign='$(id);x'`"


def test_the_commands_without_a_config_are_those_that_take_none() -> None:
    takes = {
        name
        for name, command in COMMANDS.commands.items()
        if any("--wf-config" in parameter.opts for parameter in command.params)
    }
    assert set(COMMANDS.commands) - takes == WITHOUT_CONFIG
