#!/bin/sh
# A Python that has torch, for the tests marked `torch`: made once, outside the checkout.
# Its path is written to OUTPUT. WF_TEST_TORCH_PYTHON, where set, is taken as it is.
# usage: torch-env.sh PYTHON OUTPUT
set -eu

version=2.13.0
python=$1
output=$2

if [ -n "${WF_TEST_TORCH_PYTHON:-}" ]; then
    echo "$WF_TEST_TORCH_PYTHON" >"$output"
    exit 0
fi
tag=$("$python" -c 'import sys; print("py%d%d" % sys.version_info[:2])')
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pytest-wf
venv=$cache/torch-$version-$tag
mkdir -p "$cache"
if [ ! -e "$venv/.complete" ]; then
    echo "Installing torch $version into $venv (once)"
    exec 9>"$venv.lock"
    ! command -v flock >/dev/null 2>&1 || flock 9
    if [ ! -e "$venv/.complete" ]; then
        sh "$(dirname "$0")/venv.sh" "$python" "$venv"
        sh "$(dirname "$0")/pip.sh" "$venv/bin/python" "torch==$version"
        touch "$venv/.complete"
    fi
fi
echo "$venv/bin/python" >"$output"
