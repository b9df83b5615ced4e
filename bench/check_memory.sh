#!/bin/sh
# check_memory.sh TOOL [GIB]: memory and time of `TOOL check` and `qemu-img check` for a disk of
# 1 TiB with GIB GiB (default 100) of clusters in use, on a sparse file. Fails above 64 MiB.
set -eu
[ $# -ge 1 ] || { echo "usage: check_memory.sh TOOL [GIB]" >&2 && exit 2; }
tool=$(realpath "$1")
size=${2:-100}
limit=64
[ -x /usr/bin/time ] || { echo "check_memory.sh: GNU time is not installed" >&2 && exit 2; }
work=$(mktemp -d -p "${TMPDIR:-/tmp}" vdisk-check.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work"
qemu-img create -q -f qcow2 -o preallocation=metadata image "${size}G"
qemu-img resize -q image 1T

measure() { # COMMAND...: "MiB seconds", with GNU time
    /usr/bin/time -f '%M %e' -o figures "$@" >/dev/null
    awk '{ printf "%.1f %.2f\n", $1 / 1024, $2 }' figures
}
least() { # COMMAND...: of three rounds, the time of the fastest; the first one warms the cache
    measure "$@" >/dev/null
    for _ in 1 2 3; do measure "$@"; done | sort -k 2 -n | head -n 1
}
ours=$(least "$tool" check image)
theirs=$(least qemu-img check image)
printf '%-10s %10s %10s\n' "check" 'peak MiB' seconds
# shellcheck disable=SC2086 # two numbers each
printf '%-10s %10s %10s\n' vdisk $ours qemu-img $theirs
awk -v used="${ours% *}" -v limit=$limit 'BEGIN { exit !(used < limit) }' || {
    echo "failed: more than $limit MiB" >&2
    exit 1
}
