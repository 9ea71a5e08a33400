"""Whether pytest was started by somebody at a terminal."""

from __future__ import annotations

import os

__all__ = ["STARTED_ON_A_TERMINAL"]

#: Asked when the plugin is loaded: later pytest's capture puts /dev/null in stdin's place.
STARTED_ON_A_TERMINAL = os.isatty(0)
