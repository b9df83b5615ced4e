#!/bin/sh
# Differencing VHD and VHDX images and VHDX with 4 KiB sectors, which QEMU does not read, beside 7-Zip
# and libvhdi: both find the parent that TOOL wrote down, and 7-Zip reads the same disk.
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
    "$seven" x -t"${1##*.}" -so "$1" >theirs.raw 2>log || wrong "7-Zip: $1: $(tail -n 3 log)"
    vdisk convert -O raw "$1" ours.raw
    cmp -s ours.raw theirs.raw || wrong "7-Zip reads $1 otherwise"
}
# parent IMAGE ID NAME: so says libvhdi
parent() {
    vhdiinfo "$1" >info 2>&1 || wrong "vhdiinfo: $1: $(tail -n 3 info)"
    grep -qi "Parent identifier.*$2" info || wrong "libvhdi: the parent of $1: $(grep -i parent info)"
    grep -qi "Parent filename.*$3" info || wrong "libvhdi: the parent of $1: $(grep -i parent info)"
}
# chain FORMAT EXTENSION OPTIONS CHILD-OPTIONS ID-OPTION
chain() {
    format=$1 x=$2 options=$3 child=$4 uuid=$5
    vdisk create -f "$format" -o "$options" base.$x 8M
    vdisk io -c 'write -P 1 0 3M' -c 'write -P 2 5000k 700k' base.$x
    vdisk amend -o "$uuid=$id" base.$x # writing may have changed it
    alike base.$x
    vdisk create -f "$format" -o "$child" -b base.$x -F "$format" child.$x
    vdisk io -c 'write -P 3 1000 3000' -c 'write -z 2M 2M' -c 'write -P 4 7M 512' child.$x
    alike child.$x
    parent child.$x $id base.$x
    vdisk convert -O "$format" -o "$child" -B base.$x -F "$format" child.$x again.$x
    alike again.$x
    vdisk create -f "$format" -b child.$x -F "$format" top.$x
    vdisk io -c 'write -P 5 3M 100k' top.$x
    alike top.$x
    cp base.$x moved.$x
    vdisk rebase -u -b moved.$x -F "$format" child.$x
    parent child.$x $id moved.$x
    alike child.$x
    vdisk io -c 'write -P 1 2M 100k' child.$x
    vdisk compact child.$x
    alike child.$x
    rm ./*.$x
}

for block in 512k 2M; do
    chain vpc vhd force_size=on,block_size=$block block_size=$block uuid
done
chain vhdx vhdx block_size=1M block_size=2M data_uuid
chain vhdx vhdx logical_sector_size=4096 block_size=1M data_uuid

[ $failed = 0 ] && echo 'all is as it should be' && exit 0
echo "$failed failed"
exit 1
