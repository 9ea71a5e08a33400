"""P50 checks out a commit that is sent as a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal
from tests.support.repository import Upstream, bundled, head_of

Act = Callable[..., dict[str, Any]]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Where a bundle may be."""
    return tmp_path / "repo.bundle"


@pytest.fixture
def unpack(checkout: Act) -> Act:
    """Checks out a bundle: ``unpack(bundle=…, expect_sha=…)``."""
    return lambda **args: checkout(args, REPO_URL=".")


def test_a_bundle_is_checked_out_without_any_remote(
    unpack: Act, upstream: Upstream, repo: Path, bundle: Path
) -> None:
    result = unpack(**bundled(upstream, bundle))

    assert result["git_sha"] == upstream.head == head_of(repo)
    assert result["remote"] == "bundle"
    assert bundle.exists()
    newer = upstream.commit("train.py", "print('newer')\n")
    assert unpack(**bundled(upstream, bundle))["git_sha"] == newer


def test_a_commit_that_is_here_needs_no_bundle(
    act: Act, unpack: Act, upstream: Upstream, settings: Settings, repo: Path, bundle: Path
) -> None:
    first = upstream.head
    assert not act("has-commit", sha=first)["has"]
    unpack(**bundled(upstream, bundle))
    upstream.commit("train.py", "print('newer')\n")
    unpack(**bundled(upstream, bundle))

    assert act("has-commit", sha=first)["has"]
    absent = f"{settings.control}/bundles/repo.bundle"
    assert unpack(bundle=absent, expect_sha=first)["git_sha"] == first == head_of(repo)
    assert not act("has-commit", sha="cd" * 20)["has"]
    assert not act("has-commit", sha="HEAD")["has"]
    with pytest.raises(Refusal, match="cannot be read"):
        unpack(bundle=absent, expect_sha="cd" * 20)


def test_a_bundle_that_was_uploaded_does_not_stay(
    unpack: Act, upstream: Upstream, settings: Settings
) -> None:
    uploaded = Path(settings.control, "bundles", "repo.bundle")
    uploaded.parent.mkdir(parents=True)

    unpack(**bundled(upstream, uploaded))

    assert not uploaded.exists()


def test_a_bundle_of_another_commit_is_the_wrong_one(
    unpack: Act, upstream: Upstream, bundle: Path
) -> None:
    with pytest.raises(Refusal) as refused:
        unpack(**dict(bundled(upstream, bundle), expect_sha="cd" * 20))

    assert refused.value.kind == "wrong-sha"


def test_a_damaged_bundle_is_told(unpack: Act, bundle: Path) -> None:
    bundle.write_text("no bundle")

    with pytest.raises(Refusal, match="cannot be read"):
        unpack(bundle=str(bundle), expect_sha="cd" * 20)
