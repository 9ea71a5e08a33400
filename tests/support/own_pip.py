"""Stands for a pip of the checkout's environment, where installing a real one takes seconds."""

from __future__ import annotations

from pathlib import Path

from pytest_wf.agent.control.settings import Settings


def put_pip(settings: Settings, python: str = "") -> None:
    """Give the environment a pip that `python` runs, by default the environment's own."""
    for name in ("pip", "pip3"):
        script = Path(settings.repo, ".venv", "bin", name)
        script.write_text(f"#!{python or settings.venv_python}\n")
        script.chmod(0o755)
