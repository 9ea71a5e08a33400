#!/bin/sh
# Allure's report generator (npm), for the tests that open its report: installed once, outside
# the checkout. Prints the path of its command line, to be run by node (18 or later).
set -eu

version=3.18.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pytest-wf
folder=$cache/allure-$version
mkdir -p "$cache"
if [ ! -e "$folder/.complete" ]; then
    exec 9>"$folder.lock"
    ! command -v flock >/dev/null 2>&1 || flock 9
    if [ ! -e "$folder/.complete" ]; then
        echo "Installing allure $version into $folder (once)" >&2
        mkdir -p "$folder"
        npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "allure@$version" >&2
        touch "$folder/.complete"
    fi
fi
echo "$folder/node_modules/allure/cli.js"
