"""What a template refers to, read as bash reads it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_wf.wire.trainer import template


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ('t.py "$CONFIG" --seed $SEED', ["CONFIG", "SEED"]),
        ("t.py ${CONFIG} ${SEED%x}", ["CONFIG", "SEED"]),
        ("t.py '$CONFIG' \\$SEED \"it's $RUN_ID\"", ["RUN_ID"]),
        ('t.py ${CONFIG:+--config "$CONFIG"} ${SEED:-1} ${#RUN_ID}', ["RUN_ID"]),
        ('t.py "$@" $# $? $1 $$ ${@:2} $(( $SEED + 1 ))', ["SEED"]),
        ('a "$(basename "$CONFIG")"', ["CONFIG"]),
        ("${OPEN", ["OPEN"]),
        ("$", []),
    ],
)
def test_the_variables_that_a_command_needs_are_found(command: str, names: list[str]) -> None:
    found = template.references(command)
    assert [one.name for one in found if not one.is_optional] == names


@pytest.mark.parametrize(
    "command",
    [
        "t.py $SEED $HOME $MINE",
        "LR=1; t.py $LR",
        "for LR in 1 2; do t.py $LR; done",
        "echo 1 | while read -r LR; do echo $LR; done",
        "names+=(x); t.py ${names[@]}",
        "t.py ${CONDA_PREFIX:-/opt} ${LD_LIBRARY_PATH-} ${X:?is missing}",
    ],
)
def test_what_the_shell_the_row_or_the_command_itself_sets_is_known(command: str) -> None:
    assert template.unknown(command, frozenset({"MINE"})) == ()


def test_a_variable_that_no_row_has_is_unknown() -> None:
    assert template.unknown("t.py $OUT_DIR --seed=$SED $OUT_DIR") == ("OUT_DIR", "SED")


@pytest.mark.parametrize(
    ("command", "launches"),
    [
        ("", True),
        ("launch train.py", True),
        ("cd a && launch -m pkg.train", True),
        ("A=1 launch train.py; echo $?", True),
        ("if true; then launch t.py; fi", True),
        ("accelerate launch train.py", False),
        ("python launch.py", False),
        ("launcher train.py", False),
    ],
)
def test_a_template_may_use_the_launcher(command: str, launches: bool) -> None:
    assert template.uses_launcher({"TRAIN_COMMAND_TEMPLATE": command}) is launches


@given(st.text(alphabet="ab$ {}'\"\\:+-#@!", max_size=40))
@example("${a:+'${b}'}")
def test_any_text_is_read_to_its_end(command: str) -> None:
    for one in template.references(command):
        assert one.name in command
