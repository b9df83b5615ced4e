#!/bin/sh
# Differencing VHD images, which QEMU does not read, beside 7-Zip and libvhdi: both find the parent
# that TOOL wrote down, and 7-Zip reads the same disk.
#
#   vhd_peers.sh TOOL    TOOL: the vdisk tool
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=need.sh
. "$here/need.sh"
seven=$(command -v 7zz || command -v 7z || echo 7zz)
need "$seven" vhdiinfo cmp
TOOL=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM
cd "$WORK" || exit 1
failed=0
id=01234567-89ab-4cde-8f01-23456789abcd

wrong() { echo "FAIL $*" && failed=$((failed + 1)); }
vdisk() { "$TOOL" "$@" >log 2>&1 || wrong "vdisk $*: $(tail -n 3 log)"; }
# alike IMAGE: 7-Zip reads it as we do
alike() {
    "$seven" x -tvhd -so "$1" >theirs.raw 2>log || wrong "7-Zip: $1: $(tail -n 3 log)"
    vdisk convert -O raw "$1" ours.raw
    cmp -s ours.raw theirs.raw || wrong "7-Zip reads $1 otherwise"
}
# parent IMAGE ID NAME: so says libvhdi
parent() {
    vhdiinfo "$1" >info 2>&1 || wrong "vhdiinfo: $1: $(tail -n 3 info)"
    grep -qi "Parent identifier.*$2" info || wrong "libvhdi: the parent of $1: $(grep -i parent info)"
    grep -qi "Parent filename.*$3" info || wrong "libvhdi: the parent of $1: $(grep -i parent info)"
}

for block in 512k 2M; do
    vdisk create -f vpc -o uuid=$id,force_size=on,block_size=$block base.vhd 8M
    vdisk io -c 'write -P 1 0 3M' -c 'write -P 2 5000k 700k' base.vhd
    alike base.vhd
    vdisk create -f vpc -o block_size=$block -b base.vhd -F vpc child.vhd
    vdisk io -c 'write -P 3 1000 3000' -c 'write -z 2M 2M' -c 'write -P 4 7M 512' child.vhd
    alike child.vhd
    parent child.vhd $id base.vhd
    vdisk convert -O vpc -o block_size=$block -B base.vhd -F vpc child.vhd again.vhd
    alike again.vhd
    vdisk create -f vpc -b child.vhd -F vpc top.vhd
    vdisk io -c 'write -P 5 3M 100k' top.vhd
    alike top.vhd
    cp base.vhd moved.vhd
    vdisk rebase -u -b moved.vhd -F vpc child.vhd
    parent child.vhd $id moved.vhd
    alike child.vhd
    vdisk io -c 'write -P 1 2M 100k' child.vhd
    vdisk compact child.vhd
    alike child.vhd
    rm ./*.vhd
done

[ $failed = 0 ] && echo 'all is as it should be' && exit 0
echo "$failed failed"
exit 1
