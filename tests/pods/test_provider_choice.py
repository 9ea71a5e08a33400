"""What providers declare: keys of their own, and which one of them rents."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pytest_wf.config import reader
from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.keys import Config, key
from pytest_wf.config.types import TEXT
from pytest_wf.errors import InputError
from pytest_wf.pods.base import Provider
from pytest_wf.pods.lium.provider import LiumProvider
from pytest_wf.pods.local import LocalProvider
from pytest_wf.pods.provider_choice import all_keys, find_renter, renters_in_use


class Other(LiumProvider):
    """A second renting provider."""

    name = "other"


PROVIDERS: list[Provider] = [LocalProvider(), LiumProvider(), Other()]


def config(*lines: str) -> Config:
    required = ("REPO_URL=.", "OPS_REMOTE_REPO=/r", "OPS_REMOTE_OUTPUTS_DIR=/o")
    reading = read_entries("\n".join([*required, *lines]).encode(), "w.env")
    keys = all_keys(PROVIDERS)
    return reader.load(reading, project_dir="/p", keys=keys, needs_csv=False, needs_target=False)


def renter(*lines: str) -> str:
    found = find_renter(config(*lines), PROVIDERS, "w.env")
    return found.name if found else ""


def test_the_renter_is_the_one_that_is_named_or_the_only_one_whose_keys_are_set() -> None:
    assert renter("WF_PROVIDER=other") == "other"
    assert renter("OTHER_TTL=2h") == "other"
    assert renter("OTHER_TTL=2h", "LIUM_TTL=1h", "WF_PROVIDER=lium") == "lium"


@pytest.mark.parametrize("lines", [(), ("OTHER_TTL=2h", "LIUM_TTL=1h")])
def test_several_renters_that_could_be_meant_are_refused_with_their_names(
    lines: tuple[str, ...],
) -> None:
    with pytest.raises(InputError, match="one of these: lium, other"):
        renter(*lines)
    assert [r.name for r in renters_in_use(config(*lines), PROVIDERS)] == ["lium", "other"]


def test_a_name_that_is_no_renter_is_refused_at_its_line() -> None:
    with pytest.raises(InputError, match=r'w\.env:4: WF_PROVIDER="local": no provider'):
        renter("WF_PROVIDER=local")


def test_without_any_renter_none_is_found() -> None:
    assert find_renter(config(), [LocalProvider()], "w.env") is None


def test_two_providers_may_not_both_name_the_target() -> None:
    with pytest.raises(InputError, match=r"w\.env:5: OTHER_TARGET=.*LIUM_TARGET is set too"):
        config("LIUM_TARGET=a", "OTHER_TARGET=b")
    read = config("OTHER_TARGET=b", "OPS_DEFAULT_HOST=local")
    assert (read.target, read.target_key, read.target_provider) == ("b", "OTHER_TARGET", "other")
    assert not read.is_local
    assert read.values["WF_POD_ROOT"] == "/mnt"


def test_keys_of_providers_do_not_go_to_the_pod() -> None:
    read = config("OTHER_TTL=2h")
    assert read.provided["OTHER_TTL"] == "2h"
    assert "OTHER_TTL" not in read.values


def test_a_provider_may_not_take_a_name_or_a_key_that_exists() -> None:
    @dataclass(frozen=True)
    class Keys:
        timeout_secs: str = key(TEXT, "", "P10", "A key that the core has.")

    class Task(LocalProvider):
        name = "task"
        keys = Keys

    with pytest.raises(InputError, match="TASK_TIMEOUT_SECS exists already"):
        all_keys([Task()])
    with pytest.raises(InputError, match="its name is taken"):
        all_keys([LocalProvider(), LocalProvider()])
