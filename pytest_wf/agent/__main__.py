"""The agent's command line."""

import sys
from typing import List

from pytest_wf.agent import forks, process, process_title, programs


def main(words: List[str]) -> int:
    """Run the program that `words` name; its exit status."""
    forks.allow()
    process_title.show(process.agent_argv(*words))
    return programs.run(words, sys.stdin.buffer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
