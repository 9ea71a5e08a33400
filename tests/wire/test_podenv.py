"""The pod's copy of the config: exact, and harmless to a shell."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.wire.ownership import POD_CONFIG
from pytest_wf.wire.podenv import parse, render

KEYS = st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(KEYS, VALUES))
def test_every_value_comes_back_as_it_was(values: dict[str, str]) -> None:
    assert parse(render(values)) == values


def test_keys_are_sorted_one_a_line_and_always_quoted() -> None:
    assert render({"B": "", "A": "plain"}) == POD_CONFIG + b"A='plain'\nB=''\n"


@pytest.mark.fault("X1")
def test_a_shell_reads_the_same_and_runs_nothing(tmp_path: object) -> None:
    nasty = "$(touch canary) `id` \"x\" 'y'; rm -rf * \\ $HOME\nnext"
    script = render({"NASTY": nasty}) + b'printf %s "$NASTY"'

    done = subprocess.run(["sh"], input=script, capture_output=True, cwd=str(tmp_path), check=True)

    assert done.stdout.decode() == nasty
    assert not list(tmp_path.iterdir())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "raw",
    [
        *(
            b"A=plain\n",
            b"A='x'",
            b"A='x\n",
            b"a='x'\n",
            b"='x'\n",
            b"A='x' B='y'\n",
            b"A='x'\nA='y'\n",
        ),
        *(b"A=$(id)\n", b"\n", b"A=\n", b"\xff"),
    ],
)
def test_anything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"line|codec"):
        parse(POD_CONFIG + raw)


def test_what_no_config_sync_wrote_is_refused() -> None:
    with pytest.raises(ValueError, match="not what a config sync writes"):
        parse(b"A='x'\n")


def test_a_name_that_is_no_key_is_not_written() -> None:
    with pytest.raises(ValueError, match="not a config key"):
        render({"X;id": "1"})
