#!/bin/sh
# Install with pip; where that fails, say what it needs: without a network, pip's own last line
# says that no such version exists.
# usage: pip.sh PYTHON ARGUMENT...
set -eu

python=$1
shift
"$python" -m pip install --quiet "$@" || {
    echo "pip could not install this: $*" >&2
    echo "Its errors are above. It needs the network, or an index or a folder of packages that" \
        "its settings name. Then run make again." >&2
    exit 1
}
