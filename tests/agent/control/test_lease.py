"""One controller at a time: leases by the pod's own clock, fenced by growing tokens."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent import process
from pytest_wf.agent.control import control_files, lease, locks
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal

ADA = {"host": "laptop", "user": "ada", "pid": 7, "project": "/p", "flow_id": "f-ada"}
ADA_AGAIN = {**ADA, "pid": 8, "flow_id": "f-ada-2"}
BOB = {"host": "desk", "user": "bob", "pid": 9, "project": "/p", "flow_id": "f-bob"}


def expire(settings: Settings) -> None:
    path = Path(settings.control) / "lease.json"
    held = control_files.read(str(path))
    assert held is not None
    expired = time.clock_gettime(time.CLOCK_BOOTTIME) - 1
    control_files.write(str(path), {**held, "expires_boot_s": expired})


def test_nobody_holds_a_fresh_pod_and_asking_writes_nothing(settings: Settings) -> None:
    assert lease.current(settings) is None
    assert not Path(settings.outputs).exists()


def test_the_second_controller_is_told_who_holds_the_pod_and_since_when(
    settings: Settings,
) -> None:
    lease.take(settings, ADA)

    with pytest.raises(Refusal) as refused:
        lease.take(settings, BOB)

    assert refused.value.kind == "lease-held"
    assert "ada@laptop (pid 7, flow f-ada) since 20" in refused.value.message
    assert refused.value.facts["owner"] == ADA
    assert refused.value.facts["token"] == 1
    assert 0 < refused.value.facts["expires_in_s"] <= lease.TTL_S


def test_the_holder_may_ask_twice(settings: Settings) -> None:
    first = lease.take(settings, ADA)

    assert lease.take(settings, ADA)["token"] == first["token"]


@pytest.mark.fault("C6", "C7")
def test_an_expired_lease_goes_to_whoever_asks_and_the_old_token_is_fenced(
    settings: Settings,
) -> None:
    old = lease.take(settings, ADA)["token"]
    expire(settings)

    taken = lease.take(settings, BOB)

    assert taken["token"] > old
    assert taken["taken_from"]["owner"] == ADA
    for use in (lease.check, lease.renew, lease.drop, lease.fence):
        with pytest.raises(Refusal) as refused:
            use(settings, old)
        assert refused.value.kind == "lease-lost"
    lease.check(settings, taken["token"])


def test_an_expired_lease_that_nobody_took_is_still_its_holders(settings: Settings) -> None:
    token = lease.take(settings, ADA)["token"]
    expire(settings)

    lease.check(settings, token)

    held = lease.current(settings)
    assert held is not None
    assert held["alive"]


@pytest.mark.fault("C7")
def test_a_controller_that_proved_the_holder_gone_takes_over_at_once(settings: Settings) -> None:
    held = lease.take(settings, ADA)["token"]

    taken = lease.take(settings, ADA_AGAIN, takeover_token=held)

    assert taken["token"] == held + 1
    assert taken["taken_from"]["owner"] == ADA


@pytest.mark.fault("C7")
@pytest.mark.parametrize(
    ("owner", "token"),
    [(ADA_AGAIN, None), (ADA_AGAIN, 0), (ADA_AGAIN, 2), (BOB, 1)],
    ids=["no token", "an older token", "a token yet to come", "another host"],
)
def test_nobody_else_takes_over_a_living_lease(
    settings: Settings, owner: dict[str, Any], token: int | None
) -> None:
    lease.take(settings, ADA)

    with pytest.raises(Refusal, match="held by"):
        lease.take(settings, owner, takeover_token=token)


def test_tokens_grow_over_drops(settings: Settings) -> None:
    tokens = []
    for _ in range(3):
        tokens.append(lease.take(settings, ADA)["token"])
        lease.drop(settings, tokens[-1])

    assert tokens == [1, 2, 3]
    with pytest.raises(Refusal, match="does not hold"):
        lease.check(settings, 3)
    lease.fence(settings, 3)


def test_renewing_starts_the_time_anew(settings: Settings) -> None:
    token = lease.take(settings, ADA, ttl_s=100)["token"]
    expire(settings)

    assert lease.renew(settings, token)["expires_in_s"] == 100


def test_a_lease_from_before_the_last_boot_is_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.take(settings, ADA, ttl_s=1000)
    monkeypatch.setattr(lease, "boot_id", lambda: "another boot")

    held = lease.current(settings)
    assert held is not None
    assert not held["alive"]
    assert lease.take(settings, BOB)["token"] == 2


@pytest.mark.fault("S4")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1}'])
def test_a_lease_that_cannot_be_read_is_taken_with_a_token_that_fences_its_holder(
    settings: Settings, content: str
) -> None:
    lost = lease.take(settings, ADA)["token"]
    path = Path(settings.control) / "lease.json"
    for damaged in (path, path.with_name("lease.json.copy")):
        damaged.write_text(content)

    assert lease.take(settings, BOB)["token"] > lost

    with pytest.raises(Refusal) as refused:
        lease.check(settings, lost)
    assert refused.value.kind == "lease-lost"
    aside = sorted(path.parent.glob("lease.json*.unreadable-*"))
    assert [damaged.read_text() for damaged in aside] == [content, content]


@pytest.mark.fault("S4")
def test_a_lease_that_cannot_be_read_is_noted_and_hides_no_state(settings: Settings) -> None:
    lease.take(settings, ADA)
    for path in Path(settings.control).glob("lease.json*"):
        path.write_text("{")

    assert lease.current(settings) is None
    assert any("lease.json on the pod cannot be read" in f for f in control_files.findings())


@pytest.mark.fault("S4")
def test_a_damaged_lease_is_read_from_its_copy(settings: Settings) -> None:
    token = lease.take(settings, ADA)["token"]
    Path(settings.control, "lease.json").write_text("{")

    with pytest.raises(Refusal, match="held by ada@laptop"):
        lease.take(settings, BOB)
    lease.check(settings, token)


@pytest.mark.fault("S5")
def test_a_lease_of_another_version_is_nobodys_to_take(settings: Settings) -> None:
    path = Path(settings.control) / "lease.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 2, "token": 1}')

    with pytest.raises(Refusal) as refused:
        lease.take(settings, ADA)

    assert refused.value.kind == "state-unreadable"
    assert path.read_text() == '{"schema": 2, "token": 1}'


@pytest.mark.fault("C5")
def test_of_many_that_ask_at_once_exactly_one_gets_it(settings: Settings) -> None:
    won: list[str] = []
    start = threading.Barrier(16)

    def ask(name: str) -> None:
        start.wait()
        try:
            lease.take(settings, {"host": name})
        except Refusal:
            return
        won.append(name)

    threads = [threading.Thread(target=ask, args=(str(n),)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    held = lease.current(settings)
    assert held is not None
    assert won == [held["owner"]["host"]]


@pytest.mark.fault("C7")
def test_a_lock_dies_with_its_holder_even_if_a_child_lives(tmp_path: Path) -> None:
    path = str(tmp_path / "a.lock")
    with locks.locked(path):
        child = process.spawn_session(["sleep", "60"], log_path=str(tmp_path / "log"))
        assert locks.try_lock(path) is None
    try:
        with locks.locked(path):
            pass
    finally:
        assert process.kill_tree("", child, grace_s=1) == []


@pytest.mark.fault("D4")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_with_the_way_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(fd: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)

    with pytest.raises(Refusal) as refused:
        lease.take(settings, ADA)
    assert refused.value.kind == "volume"
    assert f"{settings.control}/lease.lock on the pod has no file locks" in refused.value.message
    assert "OPS_REMOTE_OUTPUTS_DIR" in refused.value.remedy
    with pytest.raises(Refusal, match="no file locks"):
        locks.try_lock(str(Path(settings.control, "x.lock")))
    assert locks.why_none(settings.control) == os.strerror(code)
    monkeypatch.undo()
    assert locks.why_none(settings.control) == ""


@pytest.mark.parametrize("key", ["host", "project", "folder"])
def test_a_lease_is_taken_over_within_one_folder_of_one_project_alone(
    settings: Settings, key: str
) -> None:
    held = lease.take(settings, {**ADA, "folder": "/home/ada/p"})
    again = {**ADA_AGAIN, "folder": "/home/ada/p"}
    with pytest.raises(Refusal, match="the pod is held by"):
        lease.take(settings, {**again, key: "other"}, takeover_token=held["token"])
    assert lease.take(settings, again, takeover_token=held["token"])["token"] > held["token"]
