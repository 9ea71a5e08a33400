#!/bin/sh
# Make a virtual environment, unless a whole one is there.
# usage: venv.sh PYTHON DIRECTORY
set -eu

python=$1
venv=$2

if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi
if ! command -v "$python" >/dev/null 2>&1; then
    echo "There is no $python here. Install Python 3.10 or later, or name one: make PYTHON=..." >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "$("$python" --version) is too old: 3.10 or later is needed. Name one: make PYTHON=..." >&2
    exit 1
fi
# Debian ships venv without what it needs, in a package of its own
if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    sh "$(dirname "$0")/apt.sh" python3-venv
fi
rm -rf "$venv"
"$python" -m venv "$venv"
