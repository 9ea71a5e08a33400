"""The agent's command line: ``serve``, ``operation``, and the sweep's own words."""

import sys
from typing import List


def main(words: List[str]) -> int:
    """Do what `words` say; the exit status."""
    if words[:1] == ["serve"]:
        from pytest_wf.agent import serve

        serve.serve(words[1] if len(words) > 1 else "")
        return 0
    if words[:1] == ["operation"]:
        from pytest_wf.agent import detached

        detached.main()
        return 0
    from pytest_wf.agent import campaign

    return campaign.main(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
