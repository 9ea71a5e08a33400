"""Several pods in one config: their number, their targets, and what parts them."""

from __future__ import annotations

import pytest

from pytest_wf.config import fleet, reader
from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.keys import Config
from pytest_wf.errors import InputError

_REST = """\
REPO_URL=https://example.org/lab/train.git
OPS_REMOTE_REPO=${WF_POD_ROOT}/repo
OPS_REMOTE_OUTPUTS_DIR=${WF_POD_ROOT}/outputs
"""


def _load(text: str, pods: int | None = None, member: int = 0) -> Config:
    reading = read_entries((_REST + text).encode(), "w.env")
    part = fleet.Part(pods, member)
    return reader.load(reading, project_dir="/p", needs_csv=False, needs_target=False, part=part)


@pytest.mark.parametrize(
    ("text", "asked", "pods"),
    [
        ("OPS_DEFAULT_HOST=a\n", None, 1),
        ("OPS_DEFAULT_HOST=a b c\n", None, 3),
        ("OPS_DEFAULT_HOST=a b c\nWF_PODS=3\n", None, 3),
        ("OPS_DEFAULT_HOST=a b c\nWF_PODS=2\n", 3, 3),
        ("OPS_DEFAULT_HOST=local\nWF_PODS=3\n", None, 3),
        ("OPS_DEFAULT_HOST=local\nWF_PODS=3\n", 2, 2),
        ("WF_PODS=4\n", None, 4),
        ("", 4, 4),
    ],
)
def test_the_number_of_pods_is_that_of_the_targets_or_of_what_was_asked_for(
    text: str, asked: int | None, pods: int
) -> None:
    assert _load(text, pods=asked).wf_pods == pods


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("OPS_DEFAULT_HOST=a b c\nWF_PODS=2\n", None),
        ("OPS_DEFAULT_HOST=a b c\nWF_PODS=1\n", None),
        ("OPS_DEFAULT_HOST=a b c\n", 4),
        ("OPS_DEFAULT_HOST=a\n", 2),
    ],
)
def test_a_number_that_disagrees_with_the_targets_is_a_mistake(
    text: str, asked: int | None
) -> None:
    with pytest.raises(InputError) as caught:
        _load(text, pods=asked)
    assert "pods are asked for" in str(caught.value.problems[0])


def test_more_usable_pods_than_there_are_cannot_be_demanded() -> None:
    with pytest.raises(InputError) as caught:
        _load("OPS_DEFAULT_HOST=a b\nWF_PODS_MIN=3\n")
    assert "more than the 2 pods that there are" in str(caught.value.problems[0])


def test_the_target_of_a_member_is_its_own_and_the_flow_names_all() -> None:
    text = "OPS_DEFAULT_HOST=a root@b:22 c\n"
    assert _load(text).target == "a root@b:22 c"
    assert [_load(text, member=k).target for k in (1, 2, 3)] == ["a", "root@b:22", "c"]


def test_local_pods_have_a_root_of_their_own_and_one_keeps_the_root_that_it_had() -> None:
    text = "OPS_DEFAULT_HOST=local\n"
    assert _load(text).ops_remote_repo == "/p/.wf/pod/repo"
    assert _load(text, pods=2, member=2).ops_remote_repo == "/p/.wf/pod/pod2/repo"


def test_the_name_of_the_member_parts_paths_on_a_shared_volume() -> None:
    text = "OPS_DEFAULT_HOST=a b\nHF_HOME=/mnt/${WF_MEMBER}/hf\n"
    assert _load(text, member=2).hf_home == "/mnt/pod2/hf"
    assert _load(text).hf_home == f"/mnt/{fleet.ANY_MEMBER}/hf"
    assert _load("OPS_DEFAULT_HOST=a\nHF_HOME=/mnt/${WF_MEMBER}/hf\n").hf_home == "/mnt/pod1/hf"


def test_the_name_of_the_member_is_built_in() -> None:
    with pytest.raises(InputError) as caught:
        _load("OPS_DEFAULT_HOST=a\nWF_MEMBER=pod7\n")
    assert "built in" in str(caught.value.problems[0])
