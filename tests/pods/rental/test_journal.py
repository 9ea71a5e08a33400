"""The journal of rentals survives damage to any one of its files, and names what it cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rental.journal import Journal, Rental, now
from tests.support import damage

NAME = "pytest-wf-abc123"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, "lium")


@pytest.fixture
def rental(journal: Journal) -> Rental:
    asked = Rental(NAME, "f-1", "key", "n-1", "node", 1, 2.0, now(), known=("other",))
    return journal.update(journal.write(asked), state="rented", pod_id="p-1")


def files(journal: Journal) -> list[Path]:
    return [journal.folder / f"{NAME}.json", journal.folder / f"{NAME}.json.copy"]


@pytest.mark.fault("S4")
@pytest.mark.parametrize("kind", damage.KINDS)
@pytest.mark.parametrize("which", [0, 1])
def test_a_rental_is_known_whatever_single_file_is_damaged(
    journal: Journal, rental: Rental, which: int, kind: str
) -> None:
    damage.KINDS[kind](files(journal)[which])
    assert journal.of_pod("p-1") == rental
    assert [str(files(journal)[0]) in told for told in journal.findings] == [True] * (not which)
    deleted = journal.update(rental, state="deleted")
    for one in files(journal):
        assert Journal(journal.folder.parents[2], "lium").rentals() == [deleted]
        one.unlink()


@pytest.mark.parametrize("kind", [kind for kind in damage.KINDS if kind != "missing"])
def test_a_rental_whose_file_and_copy_are_damaged_is_named_with_the_ways_on(
    journal: Journal, rental: Rental, kind: str
) -> None:
    for one in files(journal):
        damage.KINDS[kind](one)
    with pytest.raises(OperationFailed) as refused:
        journal.rentals()
    assert f"{files(journal)[0]} cannot be read" in str(refused.value)
    assert f"If it has a pod {rental.name}, end it there, or set LIUM_TARGET" in str(refused.value)
