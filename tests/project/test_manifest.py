"""The sweep CSV: what a right one means, how rows are chosen and compared."""

from __future__ import annotations

import csv
import hashlib
import io
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.config import lookalikes
from pytest_wf.errors import InputError
from pytest_wf.project import command, manifest
from pytest_wf.wire.rows import Row

HEADER = "run_id,config,seed,overrides,notes\n"
SWEEP = (
    HEADER + "a-1,conf/a.py,1,,\na-2,conf/a.py,2,lr=0.1,\nb-1,conf/b.py,1,,\nb-2,conf/b.py,2,,\n"
)


def rows(text: str | bytes) -> tuple[Row, ...]:
    raw = text.encode() if isinstance(text, str) else text
    return manifest.read(raw, "sweep.csv").rows


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(InputError) as caught:
        rows(text)
    return [str(p) for p in caught.value.problems]


def test_row_carries_what_stands_in_the_file() -> None:
    (row,) = rows(HEADER + "mhc-s1,config/mhc.py,1337,\"lr=0.1 name='two words'\",first try\n")
    assert row == Row(
        index=0,
        line=2,
        run_id="mhc-s1",
        config="config/mhc.py",
        seed=1337,
        overrides="lr=0.1 name='two words'",
        argv=("lr=0.1", "name=two words"),
        notes="first try",
    )


def test_manifest_keeps_the_very_bytes_and_their_digest() -> None:
    read = manifest.read(SWEEP.encode(), "sweep.csv")
    assert read.raw == SWEEP.encode()
    assert read.sha256 == hashlib.sha256(SWEEP.encode()).hexdigest()


@pytest.mark.fault("X1")
@pytest.mark.parametrize(
    ("cell", "argv"),
    [
        ('"a=1,b=2"', ("a=1,b=2",)),
        ("name='hello world' x=1", ("name=hello world", "x=1")),
        ('"s=""dq"" y=1"', ("s=dq", "y=1")),
        ("a=$(id) b=`id` c=$HOME;d", ("a=$(id)", "b=`id`", "c=$HOME;d")),
        ("=cmd|'/C calc'!A0", ("=cmd|/C calc!A0",)),
        (r"path=a\ b", ("path=a b",)),
        ("tail=#5 # no comment", ("tail=#5", "#", "no", "comment")),
        ("empty=''", ("empty=",)),
        ("", ()),
    ],
)
def test_overrides_are_split_like_a_shell_does_and_never_evaluated(
    cell: str, argv: tuple[str, ...]
) -> None:
    assert rows(f"{HEADER}r,c.py,1,{cell},\n")[0].argv == argv


@pytest.mark.fault("R3")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_means_the_same(end: str) -> None:
    assert rows(SWEEP.replace("\n", end)) == rows(SWEEP)


@pytest.mark.fault("R3", "R4")
def test_mixed_line_ends_bom_and_missing_last_newline_are_accepted() -> None:
    raw = b"\xef\xbb\xbf" + HEADER.encode() + b"a,c.py,1,x=1,\r\nb,c.py,2,y=2,\rc,c.py,3,z=3,last"
    assert [(r.run_id, r.argv, r.line) for r in rows(raw)] == [
        ("a", ("x=1",), 2),
        ("b", ("y=2",), 3),
        ("c", ("z=3",), 4),
    ]


def test_empty_lines_at_the_end_are_accepted() -> None:
    assert len(rows(SWEEP + "\n  \n\r\n")) == 4


def test_notes_may_have_several_lines_and_lines_are_still_counted_right() -> None:
    read = rows(HEADER + 'a,c.py,1,,"one\ntwo\r\nthree, ""quoted"""\nb,c.py,2,,größe\u00a0\n')
    assert read[0].notes == 'one\ntwo\r\nthree, "quoted"'
    assert [r.line for r in read] == [2, 5]


def test_columns_stand_in_any_order() -> None:
    assert rows("notes,seed,run_id,overrides,config\nn,7,a,x=1,c.py\n")[0].seed == 7


def test_optional_columns_are_typed_and_may_be_empty() -> None:
    header = "run_id,config,seed,overrides,notes,timeout_secs,gpus,retries,expect\n"
    full, empty, unlimited = rows(
        f"{header}a,c.py,1,,,3600,2,0,val_loss<3.3\nb,c.py,-2,,,,,,\nc,c.py,1,,,0,,,\n"
    )
    assert (full.timeout_s, full.gpus, full.retries, full.expect) == (3600, 2, 0, "val_loss<3.3")
    assert (empty.timeout_s, empty.gpus, empty.retries, empty.expect) == (None, None, None, "")
    assert empty.seed == -2
    assert unlimited.timeout_s == 0


@pytest.mark.fault("R1")
def test_ten_thousand_and_one_rows_are_fine() -> None:
    text = HEADER + "".join(f"run-{n},c.py,{n},lr=0.1,\n" for n in range(10_001))
    assert len(rows(text)) == 10_001


def test_all_problems_of_all_rows_are_told_at_once() -> None:
    told = problems(HEADER + "a,../c.py,1.5,'x,\nb,c.py,1\n-rf,c.py,2,,\na,c.py,3,,\n")
    assert [t.split(": ")[0] for t in told] == ["sweep.csv:" + n for n in "222345"]


def test_a_quote_that_is_never_closed_is_told_where_its_row_begins() -> None:
    told = problems(SWEEP + 'c-1,c.py,1,"lr=1,\n' + "d,c.py,1,,\n" * 50)
    assert len(told) == 1
    assert told[0].startswith("sweep.csv:6: the quotes of the row that begins here")


@pytest.mark.fault("R2")
@pytest.mark.parametrize(
    "id", ["caf\u00e9", "\u0430", "\uff41", "\U0001f600", "a\u200b", "\u202ea"]
)
def test_an_id_in_unicode_is_refused_with_its_line_and_shown(id: str) -> None:
    told = problems(f"{HEADER}a,c.py,1,,\n{id},c.py,2,,\n")
    assert len(told) == 1, told
    assert told[0].startswith("sweep.csv:3: ")
    assert "run_id" in told[0]


@pytest.mark.fault("R5")
def test_same_id_in_two_unicode_forms_is_one_id() -> None:
    told = problems(f"{HEADER}caf\u00e9,c.py,1,,\ncafe\u0301,c.py,2,,\nA,c.py,1,,\na,c.py,1,,\n")
    assert any("already used on line 2" in t and ":3:" in t for t in told)
    assert any("already used on line 4" in t and ":5:" in t for t in told)


def test_credentials_in_an_override_are_never_shown() -> None:
    told = problems(f"{HEADER}a,c.py,1,url=https://me:canary@host/x,\n")
    assert "canary" not in told[0]
    assert "WF_SECRET_ENV" in told[0]


def test_rows_are_selected_by_start_glob_and_limit_in_this_order() -> None:
    every = rows(SWEEP)

    def chosen(match: str = "", start_at: str = "", limit: int = 0) -> list[str]:
        return [r.run_id for r in manifest.select(every, match, start_at, limit)]

    assert chosen() == ["a-1", "a-2", "b-1", "b-2"]
    assert chosen(match="a-*") == ["a-1", "a-2"]
    assert chosen(match="?-2") == ["a-2", "b-2"]
    assert chosen(start_at="a-2") == ["a-2", "b-1", "b-2"]
    assert chosen(start_at="a-2", match="*-1", limit=9) == ["b-1"]
    assert chosen(limit=1) == ["a-1"]
    assert manifest.select(every, start_at="b-1")[0].index == 2


@pytest.mark.parametrize(
    ("match", "start_at", "told"),
    [
        ("a", "", 'e:7: SWEEP_MATCH="a": leaves no row of the sweep.'),
        ("A-*", "", "leaves no row"),
        ("", "b-3", "no row of the sweep has this run_id."),
        ("a-*", "b-1", 'e:7: SWEEP_MATCH="a-*": leaves no row'),
    ],
)
def test_a_selection_that_leaves_nothing_is_refused(match: str, start_at: str, told: str) -> None:
    lines = {"SWEEP_MATCH": 7}
    with pytest.raises(InputError) as caught:
        manifest.select(rows(SWEEP), match, start_at, origin="e", lines=lines)
    assert told in str(caught.value)


def test_equal_rows_do_not_differ_whatever_their_order_notes_and_quotes() -> None:
    here = rows(HEADER + "a,c.py,1,x='1' y=2,\nb,c.py,1,,\n")
    there = rows(HEADER + 'b,c.py,1,,note\na,c.py,1,"x=1  y=2",\n')
    assert not any(manifest.differences(here, there).values())


def test_differences_name_row_and_column() -> None:
    here = rows(SWEEP)
    there = (here[0]._replace(seed=9, argv=("lr=1 2",)), here[1]._replace(gpus=2), *here[2:3])
    extra = here[0]._replace(run_id="z")
    assert manifest.differences(here, (*there, extra)) == {
        "added": ["b-2"],
        "removed": ["z"],
        "edited": [
            "a-1 (seed 1 here, 9 there, overrides nothing here, \"'lr=1 2'\" there)",
            "a-2 (gpus nothing here, 2 there)",
        ],
    }


def outcome(raw: bytes) -> tuple[Row, ...] | InputError:
    """The rows, or their problems; anything else that is raised fails the test."""
    try:
        return rows(raw)
    except InputError as e:
        told = e
    assert told.problems
    assert all(p.origin == "sweep.csv" and p.reason and p.remedy for p in told.problems)
    return told


cells = st.text(
    st.characters(max_codepoint=0x7E, exclude_categories=["C"], include_characters="äß漢字д"),
    max_size=12,
).filter(lambda text: lookalikes.odd_character(text) is None)
ids = st.from_regex(r"\A[a-z][a-z0-9._-]{2,12}\Z").map(lambda text: text + "-x")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_manifest_or_told_what_is_wrong(raw: bytes) -> None:
    assert outcome(raw)
    assert outcome(HEADER.encode() + raw)


@given(st.lists(st.sampled_from([*HEADER, *'"\r\n,;\t', HEADER, "a,c.py,1,,\n", "\u202e"])))
def test_any_mixture_of_tokens_is_a_manifest_or_told_what_is_wrong(pieces: list[str]) -> None:
    assert outcome("".join([HEADER, *pieces]).encode())


@given(
    st.lists(
        st.tuples(ids, st.integers(-(10**17), 10**17), st.lists(cells, max_size=4), cells),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0],
    ),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_a_csv_writer_wrote_is_read_back(
    written: list[tuple[str, int, list[str], str]], end: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end)
    writer.writerow(HEADER.strip().split(","))
    for run_id, seed, arguments, notes in written:
        if any("://" in a for a in arguments):
            return
        writer.writerow([run_id, "c.py", seed, shlex.join(arguments), notes])
    read = rows(out.getvalue())
    assert [(r.run_id, r.seed, list(r.argv), r.notes) for r in read] == written


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("lr=\u20131", "character 4 is U+2013 EN DASH, easily taken for another."),
        ("lr=\u22121", "U+2212 MINUS SIGN"),
        ("\u2014\u2014lr 1", "U+2014 EM DASH"),
        ("name=\u2018two words\u2019", "U+2018 LEFT SINGLE QUOTATION MARK"),
        ("name=\u201dx\u201d", "U+201D RIGHT DOUBLE QUOTATION MARK"),
        ("lr=\uff11", "U+FF11 FULLWIDTH DIGIT ONE"),
        ("lr\uff1d1", "U+FF1D FULLWIDTH EQUALS SIGN"),
        ("lr=\u0661", "U+0661 ARABIC-INDIC DIGIT ONE"),
        ("lr=1e\u207b\u00b3", "U+207B SUPERSCRIPT MINUS"),
        ("m\u043edel=x", "U+043E CYRILLIC SMALL LETTER O"),
        ("\u0441\u043e\u0440\u0443=1", "U+0441 CYRILLIC SMALL LETTER ES"),
        ("\u03bdalue=1", "U+03BD GREEK SMALL LETTER NU"),
        ("\U0001d425r=1", "U+1D425 MATHEMATICAL BOLD SMALL L"),
        ("lr=1\u200b", "U+200B ZERO WIDTH SPACE, an invisible"),
        ("lr=\u202e1", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("lr=1\u00a0x=2", "U+00A0 NO-BREAK SPACE"),
        ("lr=1\u3164", "U+3164 HANGUL FILLER"),
        ("lr=1\ufe0f", "U+FE0F VARIATION SELECTOR-16"),
        ("lr=1\tx=2", "U+0009 a control character"),
        ("lr=#NAME?", "#NAME? is an error value of a spreadsheet"),
        *((f"lr={e}", e) for e in ("#REF!", "#VALUE!", "#DIV/0!", "#N/A", "#NUM!", "#NULL!")),
        ("lr=Err:508", "Err:508"),
    ],
)
def test_what_looks_like_something_else_is_refused_by_name(cell: str, told: str) -> None:
    for column in ("config", "overrides", "expect"):
        cells = {"config": "c.py", "overrides": "", "expect": "", column: cell}
        header = HEADER.strip() + ",expect\n"
        text = f'{header}a,"{cells["config"]}",1,"{cells["overrides"]}",,"{cells["expect"]}"\n'
        (problem,) = problems(text)
        assert problem.startswith(f"sweep.csv:2: {column}=")
        assert told in problem


@pytest.mark.parametrize(
    "cell",
    [
        "name=caf\u00e9",
        "name=Gr\u00f6\u00dfe",
        "text=\u6a21\u578b",
        "t=\u043c\u043e\u0434\u0435\u043b\u044c",
        "x=#5",
        "a-b=-1",
    ],
)
def test_a_word_of_another_language_is_an_argument(cell: str) -> None:
    assert rows(f"{HEADER}a,c.py,1,{cell},\n")[0].argv == (cell,)


def test_a_strict_column_names_the_character_that_is_wrong() -> None:
    told = problems(f"{HEADER}a\u2013b,c.py,1,,\nb,c.py,#REF!,,\n")
    assert "not a run id: character 2 is U+2013 EN DASH" in told[0]
    assert "not an integer: #REF! is an error value of a spreadsheet" in told[1]


def test_rows_of_commas_at_the_end_are_as_good_as_none() -> None:
    assert rows(SWEEP + ",,,,\n , ,,,\n" * 20) == rows(SWEEP)
    assert rows(SWEEP + ",,,,,,\n") == rows(SWEEP)


def test_rows_of_commas_between_rows_are_one_problem() -> None:
    told = problems(SWEEP + ",,,,\n" * 20 + "c-1,c.py,1,,\n")
    assert told == ["sweep.csv:6: an empty line between rows. Delete it."]


def test_an_empty_cell_of_the_header_is_told_as_empty() -> None:
    (told,) = problems("run_id,config,seed,overrides,notes,\na,c.py,1,,,\n")
    assert told.startswith("sweep.csv:1: cell 6 of the header is empty. ")


def test_a_look_alike_in_the_header_is_named() -> None:
    told = problems("run_id,config,seed,overrides,notes,exp\u0435ct\na,c.py,1,,,\n")
    assert "U+0435 CYRILLIC SMALL LETTER IE" in told[0]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (" c.py", "blanks at its ends"),
        ("c.py ", "blanks at its ends"),
        ("conf\\a.py", "a backslash"),
    ],
)
def test_a_config_that_no_pod_has_is_refused(config: str, told: str) -> None:
    (problem,) = problems(f"{HEADER}a,{config},1,,\n")
    assert told in problem
    assert problem.startswith("sweep.csv:2: config=")


VALUES = {
    "DATA_DIR": "/mnt/data",
    "TRAIN_COMMAND_TEMPLATE": "",
    "SWEEP_WANDB": "0",
    "WANDB_PROJECT": "mine",
    "WANDB_GROUP": "",
    "RUN_OUT_MODE": "durable",
    "OPS_REMOTE_OUTPUTS_DIR": "/mnt/outputs",
}


def given_again(overrides: str, **values: str) -> list[str]:
    read = rows(f'{HEADER}first,c.py,1,,\na,c.py,7,"{overrides}",\n')
    return [str(p) for p in command.row_problems(read, {**VALUES, **values}, "sweep.csv")]


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        ("seed=99", "seed=99"),
        ("lr=1 --seed 99", "--seed"),
        ("--seed=99", "--seed=99"),
        ("-seed=99", "-seed=99"),
        ("+seed=99", "+seed=99"),
        ("++seed=99", "++seed=99"),
        ("~seed", "~seed"),
        ("SEED=99", "SEED=99"),
        ("--seed", "--seed"),
        ("out_dir=/elsewhere", "out_dir=/elsewhere"),
        ("--out-dir=/elsewhere", "--out-dir=/elsewhere"),
        ("--out_dir /elsewhere", "--out_dir"),
        ("config=other.py", "config=other.py"),
        ("wandb_log=True", "wandb_log=True"),
        ("--data-dir=/elsewhere", "--data-dir=/elsewhere"),
        ("--no-wandb-log", "--no-wandb-log"),
    ],
)
def test_a_name_that_the_harness_gives_is_refused_in_overrides(overrides: str, word: str) -> None:
    (told,) = given_again(overrides)
    assert told.startswith(f'sweep.csv:3: overrides="{word}": ')
    assert "is set by pytest-wf on this row's command" in told


@pytest.mark.parametrize(
    "overrides",
    [
        "seed=7 --seed 7 out_dir=/mnt/outputs/a/out config=c.py wandb_log=False",
        "wandb_project=other wandb_run_name=x",
        "data_dir=/mnt/data",
        "seeds=99 data_seed=99 model.seed=99 reseed=1 seed",
    ],
)
def test_a_rows_own_value_and_other_names_are_allowed(overrides: str) -> None:
    assert given_again(overrides) == []


def test_names_of_trackers_are_the_harness_s_where_it_sets_them() -> None:
    assert len(given_again("wandb_project=other wandb_run_name=x", SWEEP_WANDB="1")) == 2
    assert given_again("wandb_project=mine wandb_run_name=a", SWEEP_WANDB="1") == []


def test_a_template_of_the_users_own_may_be_given_any_name() -> None:
    assert given_again("seed=99", TRAIN_COMMAND_TEMPLATE="python t.py $OVERRIDES") == []


@pytest.mark.parametrize(
    ("template", "is_needed"),
    [("", True), ("t.py $CONFIG", True), ("t.py ${CONFIG}", True), ("t.py $CONFIGS $SEED", False)],
)
def test_a_row_needs_a_config_where_its_command_uses_it(template: str, is_needed: bool) -> None:
    read = rows(f"{HEADER}a,,1,,\n")
    values = {**VALUES, "TRAIN_COMMAND_TEMPLATE": template}
    told = [str(p) for p in command.row_problems(read, values, "sweep.csv")]
    assert len(told) == is_needed
    assert all(t.startswith('sweep.csv:2: config="": not a path below') for t in told)
