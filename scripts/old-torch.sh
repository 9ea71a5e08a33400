#!/bin/sh
# A torch that is too old, for a test marked `torch`: the distribution's own, with what it needs
# and this machine lacks, unpacked into a cache and not installed. Some 150 MB come, 500 MB stay.
# OUTPUT gets its folder; it stays empty where the distribution has no torch older than 2.3.
# WF_TEST_OLD_TORCH, where set, is taken as it is.
# usage: old-torch.sh OUTPUT
set -eu

output=$1
: >"$output"
if [ -n "${WF_TEST_OLD_TORCH:-}" ]; then
    echo "$WF_TEST_OLD_TORCH" >"$output"
    exit 0
fi
candidate() {
    apt-cache policy python3-torch 2>/dev/null | sed -n 's/^  Candidate: *\([0-9].*\)$/\1/p'
}
command -v apt-get >/dev/null 2>&1 || exit 0
version=$(candidate)
if [ -z "$version" ]; then
    # no lists of packages yet
    if [ "$(id -u)" = 0 ]; then apt-get -qq update; else sudo -n apt-get -qq update; fi || true
    version=$(candidate)
fi
if [ -z "$version" ] || ! dpkg --compare-versions "$version" lt 2.3; then
    exit 0
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pytest-wf
folder=$cache/old-torch-$(echo "$version" | tr -c '[:alnum:]\n' -)
mkdir -p "$cache"
exec 9>"$folder.lock"
! command -v flock >/dev/null 2>&1 || flock 9
if [ ! -e "$folder/.complete" ]; then
    echo "Unpacking torch $version of this distribution into $folder (once)"
    rm -rf "$folder"
    mkdir -p "$folder/packages" "$folder/root"
    names=$(apt-get -qq -s --no-install-recommends install python3-torch | awk '/^Inst/ {print $2}')
    # shellcheck disable=SC2086
    (cd "$folder/packages" && apt-get -qq -o APT::Sandbox::User=root download $names)
    for package in "$folder"/packages/*.deb; do
        dpkg -x "$package" "$folder/root"
    done
    rm -rf "$folder/packages" "$folder/root/usr/share" "$folder/root/usr/include"
    # where the loader finds the libraries: blas and lapack have folders of their own
    find "$folder/root" -name 'lib*.so*' -printf '%h\n' | sort -u |
        grep -E '/lib(/[^/]*-linux-gnu(/blas|/lapack)?)?$' | paste -s -d : >"$folder/libraries"
    LD_LIBRARY_PATH=$(cat "$folder/libraries") \
        PYTHONPATH=$folder/root/usr/lib/python3/dist-packages \
        /usr/bin/python3 -c 'import torch'
    touch "$folder/.complete"
fi
echo "$folder" >"$output"
