"""The commit record of a fetched run."""

from __future__ import annotations

#: Written last into a fetched run directory; a file of the pod may not have its name.
COMMIT_RECORD = "FETCHED.json"
