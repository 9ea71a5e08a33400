#!/bin/sh
# Install Debian packages as root or with passwordless sudo; otherwise say how, and stop.
# usage: apt.sh PACKAGE...
set -eu

install="apt-get install -y --no-install-recommends $*"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "These are missing, and this machine has no apt-get to install them with: $*" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n env"
else
    printf 'These packages are missing: %s\nInstall them, then run make again:\n\n' "$*" >&2
    printf '    sudo apt-get update && sudo %s\n\n' "$install" >&2
    exit 1
fi
echo "Installing: $*"
# an update that fails in part may still have found what is needed
$as_root DEBIAN_FRONTEND=noninteractive apt-get -qq update || true
$as_root DEBIAN_FRONTEND=noninteractive $install
