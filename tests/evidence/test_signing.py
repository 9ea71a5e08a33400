"""Signing keys are made once, read with suspicion, and never half used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pytest_wf.errors import InputError
from pytest_wf.evidence import dsse
from pytest_wf.evidence.signing import default_place, make_key, read_public_key, read_signing_key


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "key.pem"
    make_key(path)
    return path


def test_a_new_key_is_for_its_owner_alone_and_its_public_half_for_all(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "key.pem"
    key, public_path, text = make_key(path)
    modes = [p.stat().st_mode & 0o777 for p in (path.parent, path, public_path)]
    assert modes == [0o700, 0o600, 0o644]
    assert public_path.read_text() == text
    assert dsse.key_id_of(read_public_key(public_path)) == key.signer.key_id
    assert read_signing_key(path).signer == key.signer
    assert "PRIVATE" not in text
    assert "PRIVATE" not in repr(key)


@pytest.mark.parametrize(
    ("base", "place"), [("/x", "/x/pytest-wf"), ("x", "/home/ada/.config/pytest-wf")]
)
def test_a_key_is_kept_with_the_user_s_other_settings(
    monkeypatch: pytest.MonkeyPatch, base: str, place: str
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CONFIG_HOME", base)
    assert default_place() == Path(place, "signing-key.pem")


@pytest.mark.parametrize("name", ["key.pem", "key.pem.pub"])
def test_no_key_is_ever_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: already exists; nothing was written"):
        make_key(tmp_path / "key.pem")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "mine")]


def _ec(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _locked(path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    lock = BestAvailableEncryption(b"x")
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: p.chmod(0o640), r"others may read it \(mode 640\)\. Run `chmod 600"),
        (lambda p: p.chmod(0o604), r"others may read it \(mode 604\)"),
        (lambda p: p.unlink(), "cannot be read: No such file or directory"),
        (lambda p: p.write_bytes(b""), "not a private key in PEM"),
        (lambda p: p.write_bytes(p.with_name("key.pem.pub").read_bytes()), "not a private key"),
        (_ec, "a key of another kind; evidence is signed with Ed25519"),
        (_locked, "not a private key in PEM without a password"),
        (_folder, "not a regular file"),
        (_fifo, "not a regular file"),
    ],
)
def test_a_key_that_cannot_be_used_is_named_with_its_reason(
    key_file: Path, spoil: Callable[[Path], Any], reason: str
) -> None:
    spoil(key_file)
    with pytest.raises(InputError, match=reason) as error:
        read_signing_key(key_file, "flows/workflow.env", 7)
    assert str(error.value).startswith("flows/workflow.env:7: WF_SIGNING_KEY_FILE=")


def test_a_file_that_is_no_public_key_is_refused(key_file: Path) -> None:
    for wrong in (key_file, key_file.parent / "absent", key_file.parent):
        with pytest.raises(InputError, match=r"Name the \.pub file"):
            read_public_key(wrong)
