"""Names of runs, campaigns and tmux things."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.wire import ids


@pytest.mark.parametrize("text", ["a", "mhc-s1", "run1.2_x", "0", "A" * 128])
def test_plain_names_are_ids(text: str) -> None:
    assert ids.is_id(text)


@pytest.mark.fault("R2", "R6")
@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "../x", "a/b", "/abs", "a\\b", "%2e%2e", "-rf", "_x", ".hidden"),
        *("a b", "a\tb", "a\nb", "a\n", ";id", "$(id)", "`id`", "'", '"', "*", "?", "~", "!"),
        *("a:b", "schön", "a\u202eb", "😀", "A" * 129, "CON", "nul", "status", "Summary"),
    ],
)
def test_anything_else_is_not(text: str) -> None:
    assert not ids.is_id(text)


@pytest.mark.parametrize("text", ["a", "_archive/c-1/a", "_archive/c-1/a.2"])
def test_a_run_directory_is_a_run_or_one_of_the_archive(text: str) -> None:
    assert ids.is_run_path(text)


@pytest.mark.parametrize(
    "text",
    ["", "/", "a/b", "/a", "a/", "_archive", "_archive/a", "_archive/../a", "_archive/c/a/b"],
)
def test_any_other_path_names_no_run_directory(text: str) -> None:
    assert not ids.is_run_path(text)


@pytest.mark.fault("R6")
@given(st.text())
def test_an_id_never_leaves_its_directory(text: str) -> None:
    if ids.is_id(text):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)
        assert text not in (".", "..")


def test_names_for_tmux_hold_nothing_that_tmux_rewrites() -> None:
    for name in (ids.tmux_socket("/mnt/out.puts:x"), ids.tmux_window("a.b:c")):
        assert re.fullmatch(r"[a-z]+-[0-9a-f]{12}", name)


@pytest.mark.fault("P5")
def test_a_name_and_its_prefix_get_different_windows() -> None:
    assert ids.tmux_window("run1") != ids.tmux_window("run10")


def test_flow_and_campaign_ids_are_ids() -> None:
    assert ids.is_id(ids.flow_id("20260101T000000Z", "abc123"))
    assert ids.is_id(ids.campaign_id("20260101T000000Z", "abc123"))
