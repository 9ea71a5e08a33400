"""The config reader against everything that could stand in a file."""

from __future__ import annotations

import string

from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_wf.config import reader
from pytest_wf.config.dotenv import quoted, read_entries
from pytest_wf.config.formats import has_password
from pytest_wf.config.keys import KEYS, Config
from pytest_wf.config.lookalikes import odd_character
from pytest_wf.config.problems import nearest
from pytest_wf.config.types import COMMAND
from pytest_wf.errors import InputError
from pytest_wf.wire import podenv

REQUIRED = """\
REPO_URL=.
OPS_DEFAULT_HOST=local
OPS_REMOTE_REPO=/mnt/repo
OPS_REMOTE_OUTPUTS_DIR=/mnt/outputs
"""
NAMES = [key.name for key in KEYS]
COMMANDS = [key.name for key in KEYS if key.kind is COMMAND]
PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" ")).filter(
    lambda text: odd_character(text) is None
)

SIGNS = ["=", "\n", "\r\n", " ", "#", " #", "'", '"', "\\", "${", "}", "$(", "`", "export "]
WORDS = ["HF_TOKEN", "0", "1", "/mnt", "..", "local", "\0", "\t", "\ufeff", "\u00a0", "\u202e"]
tokens = st.sampled_from([*NAMES, *SIGNS, *WORDS])


def load(raw: bytes) -> Config:
    reading = read_entries(raw, "w.env")
    return reader.load(reading, project_dir="/p", needs_csv=False, needs_target=True)


def outcome(raw: bytes) -> Config | InputError:
    """The config, or its problems; anything else that is raised fails the test."""
    try:
        return load(raw)
    except InputError as e:
        told = e
    assert told.problems
    assert all(p.origin == "w.env" and p.reason and p.remedy for p in told.problems)
    return told


@given(st.binary(max_size=400))
def test_any_bytes_are_a_config_or_told_what_is_wrong(raw: bytes) -> None:
    outcome(raw)
    outcome(REQUIRED.encode() + raw)


@given(st.lists(st.one_of(tokens, st.text(max_size=8)), max_size=40).map("".join))
def test_any_mixture_of_tokens_is_a_config_or_told_what_is_wrong(text: str) -> None:
    outcome(REQUIRED.encode() + text.encode("utf-8", "surrogatepass"))


@given(st.sampled_from(NAMES), st.text(max_size=40))
def test_any_value_of_any_key_is_read_or_refused_with_its_line(name: str, value: str) -> None:
    if name in REQUIRED:
        return
    raw = REQUIRED.encode() + f"{name}={value}".encode("utf-8", "surrogatepass")
    found = outcome(raw)
    if isinstance(found, InputError) and "\n" not in value:
        assert {p.line for p in found.problems} == {5}


@given(PRINTABLE)
def test_single_quotes_keep_everything_but_themselves(text: str) -> None:
    text = text.replace("'", "").replace("`", "").replace("$(", "")
    assume(odd_character(text) is None)
    found = outcome(f"{REQUIRED}WANDB_GROUP='{text}'".encode())
    assert isinstance(found, InputError) is has_password(text)
    if isinstance(found, Config):
        assert found.wandb_group == text


@given(st.sampled_from(COMMANDS), PRINTABLE)
def test_escaped_double_quotes_bring_a_command_through(name: str, text: str) -> None:
    escaped = "".join("\\" + c if c in '\\"$`' else c for c in text)
    found = outcome(f'{REQUIRED}{name}="{escaped}" # comment'.encode())
    if isinstance(found, Config):
        assert found.values[name] == text


@given(st.dictionaries(st.sampled_from(NAMES), PRINTABLE))
def test_pod_reads_back_every_rendering(values: dict[str, str]) -> None:
    assert podenv.parse(podenv.render(values)) == values


SECRET_NAMES = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "export ", "  "]),
        st.sampled_from(
            ["WANDB_API_KEY", "HF_TOKEN", "DB_PASSWORD", "MY_SECRET_VALUE", "Hf_Token"]
        ),
        st.sampled_from(["", "_X"]),
    ),
).filter(lambda name: not name.endswith(("KEY_X", "TOKEN_X", "Token_X")))


@given(
    SECRET_NAMES,
    st.text(string.ascii_letters + string.digits, min_size=10, max_size=30),
    st.sampled_from(["{}", "'{}'", '"{}"', "'{}", '"{}', "'{}' x", "${{{}", "$({})", "`{}`"]),
)
def test_a_secret_is_refused_and_never_shown(name: str, canary: str, form: str) -> None:
    canary = "Zq9" + canary
    found = outcome(f"{REQUIRED}{name}={form.format(canary)}\n".encode())
    assert isinstance(found, InputError)
    assert canary not in str(found)
    assert canary not in repr(found.problems)


@given(st.text(string.ascii_letters + string.digits, min_size=10, max_size=30))
def test_credentials_in_a_url_are_refused_and_never_shown(canary: str) -> None:
    canary = "Zq9" + canary
    for url in (f"https://me:{canary}@host/x", f"https://{canary}@host/x", f"ssh://u:{canary}@h/x"):
        for line in (
            f"WANDB_GROUP={url}",
            f"CHECKOUT_POST_CMD='git clone {url}'",
            f"DATA_DIR={url}",
        ):
            found = outcome(f"{REQUIRED}{line}\n".encode())
            assert isinstance(found, InputError)
            assert canary not in str(found)


@given(st.text(string.ascii_letters, min_size=10, max_size=30))
def test_values_pasted_where_names_belong_are_never_shown(canary: str) -> None:
    canary = "Zq9" + canary
    # a name that resembles a key is shown beside that key
    assume(not nearest(canary.upper(), NAMES))
    for line in (
        f"WF_SECRET_ENV='HF_TOKEN={canary}'",
        f"WF_NOTIFY=slack://{canary}/x",
        f"CHECKOUT_POST_CMD=HF_TOKEN={canary} python x.py",
        canary + "==",
        canary + " no equals sign",
    ):
        found = outcome(f"{REQUIRED}{line}\n".encode())
        assert isinstance(found, InputError)
        assert canary not in str(found)


@given(PRINTABLE)
def test_a_value_that_is_written_is_read_again_with_nothing_expanded(value: str) -> None:
    reading = read_entries(f"WANDB_PROJECT={quoted(value)}\n".encode(), "w.env")
    entry = reading.entries["WANDB_PROJECT"]
    assert not len(reading.problems)
    assert entry.text == value
    assert entry.quote or not {"$", " "} & set(value)
