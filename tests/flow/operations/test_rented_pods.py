"""Binding a pod changes the value of its key in the config and no other byte."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pytest_wf.config import reader
from pytest_wf.config.dotenv import read_entries
from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.rented_pods import bind_config, binding_key
from pytest_wf.pods.base import Provider
from pytest_wf.pods.lium.provider import LiumProvider
from pytest_wf.pods.provider_choice import all_keys
from pytest_wf.project.project import Project

ID = "7d1f6d1e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"LIUM_TARGET=%s\n"),
        (b"A=1", b"A=1\nLIUM_TARGET=%s\n"),
        (b"LIUM_TARGET=\nB=2\n", b"LIUM_TARGET=%s\nB=2\n"),
        (b"# x\r\nLIUM_TARGET=old\r\nB=2\r\n", b"# x\r\nLIUM_TARGET=%s\r\nB=2\r\n"),
        (b"LIUM_TARGET='old' # why\n", b"LIUM_TARGET=%s # why\n"),
        (b'export LIUM_TARGET="old"\t# why\n', b"export LIUM_TARGET=%s\t# why\n"),
        (b"LIUM_TARGET = old\n", b"LIUM_TARGET =%s\n"),
        (b"LIUM_TARGET=   # why\n", b"LIUM_TARGET=%s   # why\n"),
        (b"# LIUM_TARGET=no\nLIUM_TARGET=old", b"# LIUM_TARGET=no\nLIUM_TARGET=%s"),
    ],
)
def test_only_the_value_changes(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "workflow.env"
    path.write_bytes(before)
    path.chmod(0o640)
    bind_config(path, "LIUM_TARGET", ID)
    assert path.read_bytes() == after % ID.encode()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_line_that_is_not_plain_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "workflow.env"
    path.write_bytes(b"LIUM_TARGET='a'b\n")
    with pytest.raises(OperationFailed, match=f"Write LIUM_TARGET={ID}"):
        bind_config(path, "LIUM_TARGET", ID)
    assert path.read_bytes() == b"LIUM_TARGET='a'b\n"


class Keyless(LiumProvider):
    """A renter without keys."""

    name = "keyless"
    keys = None  # type: ignore[assignment]


def key_for(provider: Provider, target: str = "") -> str:
    lines = f"REPO_URL=.\nOPS_REMOTE_REPO=/r\nOPS_REMOTE_OUTPUTS_DIR=/o\nOPS_DEFAULT_HOST={target}"
    config = reader.load(
        read_entries(lines.encode(), "w.env"),
        project_dir="/p",
        keys=all_keys([provider]),
        needs_csv=False,
        needs_target=False,
    )
    project = SimpleNamespace(config=config, rented_from=provider.name)
    return binding_key(cast(Project, project), [provider])


def test_a_pod_is_bound_by_the_target_key_of_its_provider() -> None:
    assert key_for(LiumProvider()) == "LIUM_TARGET"
    assert key_for(Keyless(), target="local") == ""


def test_binding_is_refused_before_a_rent_where_no_key_names_the_pod() -> None:
    with pytest.raises(OperationFailed, match=r"keyless has no config key.*Nothing was rented"):
        key_for(Keyless())
