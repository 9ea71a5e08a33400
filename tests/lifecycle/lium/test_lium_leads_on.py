"""Each halt over a rented pod: what the verdict names leads on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.hints import halt, refused

pytestmark = pytest.mark.long


@pytest.mark.failure("consent", "provider")
@pytest.mark.parametrize(
    ("kind", "wrong", "right"),
    [
        ("consent", {"LIUM_YES": "0"}, {"LIUM_YES": "1"}),
        ("provider", {"WF_MAX_USD_PER_HOUR": "0.5"}, {"WF_MAX_USD_PER_HOUR": "3"}),
    ],
)
def test_a_rent_that_is_corrected(
    lium_project: Callable[..., Any], kind: str, wrong: dict[str, str], right: dict[str, str]
) -> None:
    project = lium_project(**wrong)
    hint = halt(project, kind)
    project.configure(**right)
    hint.leads_on()


@pytest.mark.failure("no-target")
def test_a_pod_that_is_not_there(lium_project: Callable[..., Any]) -> None:
    refused(lium_project(), "no-target", "pod-delete", "none").leads_on()
