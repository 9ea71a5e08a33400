#!/bin/sh
# What the benchmarks compare with; the output of a benchmark names what could not be had.
# usage: bench-tools.sh PYTHON FOLDER (submitit goes to FOLDER, apart from what a flow imports)
set -eu

python=$1
folder=$2

command -v parallel >/dev/null 2>&1 || sh "$(dirname "$0")/apt.sh" parallel ||
    echo "GNU parallel could not be installed: it is not measured" >&2
[ -d "$folder/submitit" ] || "$python" -m pip install --quiet --target "$folder" 'submitit>=1.5' ||
    echo "submitit could not be installed: it is not measured" >&2
