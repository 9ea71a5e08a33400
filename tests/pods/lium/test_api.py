"""What stands between a user and a pod is one line each, with what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.config.keys import Config
from pytest_wf.errors import OperationFailed
from pytest_wf.loopback import Behaviour, Fault
from pytest_wf.pods.lium.api import LiumAccount, import_sdk
from pytest_wf.pods.lium.provider import LiumProvider
from tests.support import ROOT

Renters = Callable[..., Any]


def line_of(error: pytest.ExceptionInfo[OperationFailed]) -> str:
    """The text that a user reads: one line."""
    told = str(error.value)
    assert "\n" not in told
    assert error.value.kind == "provider"
    assert error.value.remedy
    return told


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (Behaviour(balance_usd=0.1), "balance is too low: $0.5 are needed, $0.1 are there"),
        (Behaviour(scopes=frozenset({"read"})), "lacks the scope 'rent'"),
        (Behaviour(faults=[Fault("rent", "402")]), "the API key's budget is used up"),
        (Behaviour(faults=[Fault("rent", "403")]), "the account may not do this"),
        (Behaviour(faults=[Fault("rent", "401")]), "Lium does not know the API key"),
    ],
)
def test_a_refusal_of_the_account_stops_at_the_first_node(
    lium_renter: Renters, behaviour: Behaviour, told: str
) -> None:
    it = lium_renter(behaviour)
    with pytest.raises(OperationFailed) as error:
        it.rent()
    assert told in line_of(error)
    assert it.api.requests.count("rent") == 1
    assert it.api.account.pods == []
    assert it.api.api_key not in str(error.value)


def test_an_sdk_that_is_missing_is_told_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, make_config: Callable[..., Config], tmp_path: Path
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(OperationFailed) as error:
        LiumProvider().rent(make_config(), "f-x-abc123", print, str(tmp_path))
    assert "pip install 'pytest-wf[lium]'" in line_of(error)


@pytest.mark.parametrize("version", ["0.29.9", "0.40.0", "1.0"])
def test_an_sdk_of_another_age_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    with pytest.raises(OperationFailed) as error:
        import_sdk()
    assert f"lium.io {version} is installed" in line_of(error)


def test_an_account_without_a_key_or_without_a_key_pair_is_told_what_to_make(
    monkeypatch: pytest.MonkeyPatch, client_home: Path
) -> None:
    for name in ("LIUM_API_KEY", "LIUM_API_API_KEY", "LIUM_WORKSPACE", "LIUM_SSH_KEY_PATH"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OperationFailed) as error:
        LiumAccount.open("", "", ".")
    assert "Export LIUM_API_KEY" in line_of(error)
    monkeypatch.setenv("LIUM_API_KEY", "some-key-of-mine")
    with pytest.raises(OperationFailed) as error:
        LiumAccount.open("", "", ".").public_keys()
    assert "ssh-keygen -t ed25519" in line_of(error)


def test_importing_the_sdk_leaves_the_environment_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LIUM_API_KEY=of-the-env-file\nEVIL=1\n")
    program = (
        "import os; before = dict(os.environ)\n"
        "{load}\n"
        "print(sorted(set(os.environ) ^ set(before)))\n"
    )

    def left_by(load: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", program.format(load=load)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert left_by("import pytest_wf.pods.lium.api as a; a.import_sdk()") == "[]\n"
    assert "EVIL" in left_by("import lium")


def test_threads_that_open_accounts_at_one_time_leave_the_environment_alone() -> None:
    import_sdk()
    before = dict(os.environ)
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: import_sdk(), range(500)))
    finally:
        sys.setswitchinterval(usual_s)
    assert dict(os.environ) == before


def test_the_provider_is_there_without_the_sdk_being_imported() -> None:
    program = (
        "import sys; from pytest_wf.flow.extensions import BuiltinProviders\n"
        "assert [p.name for p in BuiltinProviders().pytest_wf_providers()][-1] == 'lium'\n"
        "assert not {'lium', 'requests', 'paramiko', 'dotenv'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
