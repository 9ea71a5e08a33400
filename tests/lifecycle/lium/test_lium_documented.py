"""The documented way to test against an account runs as it stands."""

from __future__ import annotations

import re

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.slow

DOCS = ROOT / "docs" / "extending" / "testing.md"


@pytest.mark.long
def test_the_example_of_the_docs_runs(pytester: pytest.Pytester) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    pytester.makepyfile(test_documented=code)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=200)
    result.assert_outcomes(passed=1)
