"""Imports what is not installed.

state: failed
class: import
exit: 1
"""

import not_installed_anywhere  # type: ignore[import-not-found]  # noqa: F401
