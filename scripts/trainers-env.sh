#!/bin/sh
# A Python that has torch and the libraries of scripts/trainers.txt, for the tests marked
# `trainers`: made once, outside the checkout. torch is that of TORCH_PYTHON.
# Its path is written to OUTPUT. WF_TEST_TRAINERS_PYTHON, where set, is taken as it is.
# usage: trainers-env.sh PYTHON TORCH_PYTHON OUTPUT
set -eu

python=$1
torch_python=$2
output=$3
here=$(dirname "$0")
requirements=$here/trainers.txt

if [ -n "${WF_TEST_TRAINERS_PYTHON:-}" ]; then
    echo "$WF_TEST_TRAINERS_PYTHON" >"$output"
    exit 0
fi
tag=$("$python" -c 'import sys; print("py%d%d" % sys.version_info[:2])')
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pytest-wf
venv=$cache/trainers-$(cksum <"$requirements" | cut -d' ' -f1)-$tag
mkdir -p "$cache"
if [ ! -e "$venv/.complete" ]; then
    echo "Installing the trainers' libraries into $venv (once)"
    exec 9>"$venv.lock"
    ! command -v flock >/dev/null 2>&1 || flock 9
    if [ ! -e "$venv/.complete" ]; then
        sh "$here/venv.sh" "$python" "$venv"
        site='import sysconfig; print(sysconfig.get_path("purelib"))'
        "$torch_python" -c "$site" >"$("$venv/bin/python" -c "$site")/torch.pth"
        sh "$here/pip.sh" "$venv/bin/python" --requirement "$requirements"
        touch "$venv/.complete"
    fi
fi
echo "$venv/bin/python" >"$output"
