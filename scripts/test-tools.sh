#!/bin/sh
# The programs that the tests use for real: install the packages of those that are not here.
set -eu

PATH=$PATH:/usr/sbin:/sbin
missing=""
while read -r program package; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $package"
done <<LIST
git git
sshd openssh-server
ssh openssh-client
tmux tmux
sbatch slurm-wlm
rsync rsync
ps procps
ip iproute2
nft nftables
strace strace
cc gcc libc6-dev
mkfs.ext4 e2fsprogs
chromium chromium
s3fs s3fs
node nodejs
npm npm
zsh zsh
fish fish
tcsh tcsh
busybox busybox
LIST
# the driver of the browser tests is a program that needs this library
ldconfig -p | grep -q 'libatomic\.so\.1' || missing="$missing libatomic1"
# shellcheck disable=SC2086
[ -z "$missing" ] || sh "$(dirname "$0")/apt.sh" $missing
