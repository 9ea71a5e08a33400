"""Editable packages of a checkout, imported from the tree that a campaign runs."""

from __future__ import annotations

from pathlib import Path

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.editable import import_paths


def test_editable_packages_are_imported_from_the_tree(tmp_path: Path) -> None:
    repo, tree = tmp_path / "repo", tmp_path / "tree"
    site = repo / ".venv" / "lib" / "python3.11" / "site-packages"
    for folder in (site, repo / ".venv" / "bin", repo / "src", tree / "src", tree / "lib"):
        folder.mkdir(parents=True)
    (site / "mine.pth").write_text(f"{repo}/src\nimport os\n/elsewhere\n{repo}/gone\n")
    finder = f"MAPPING: dict[str, str] = {{'lib_a': '{repo}/lib/lib_a'}}\n"
    (site / "__editable___a_1_0_finder.py").write_text(finder)

    found = import_paths(Settings({"OPS_REMOTE_REPO": str(repo)}), str(tree))

    assert found == [f"{tree}/lib", f"{tree}/src"]
