#!/bin/sh
# convert_write.sh TOOL [ROUNDS [MiB]]: `TOOL convert -O qcow2` beside `qemu-img convert -O qcow2`,
# on the same data and in the same run, one after the other, ROUNDS times (default 5). Prints the
# time (minimum and median, milliseconds), the ratio of the minima, how much larger our file is than
# theirs (per cent), and the peak memory of both.
#
# The data is an ext4 file system of MiB MiB (default 1024) made of this machine's own files, or
# the raw image in $DISK. Everything lies in memory, so that no drive is measured: it takes about
# five times the size of the disk in $TMPDIR (default /dev/shm).
set -eu
PATH=$PATH:/sbin:/usr/sbin
[ $# -ge 1 ] || { echo "usage: convert_write.sh TOOL [ROUNDS [MiB]]" >&2 && exit 2; }
here=$(dirname "$(realpath "$0")")
tool=$(realpath "$1")
rounds=${2:-5}
export size="${3:-1024}"
work=$(mktemp -d -p "${TMPDIR:-/dev/shm}" vdisk-write.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
disk=${DISK:+$(realpath "$DISK")}
cd "$work"
# shellcheck source=convert_common.sh
. "$here/convert_common.sh"

# compare NAME FLAGS QEMU-FLAGS [SOURCE [FORMAT]]
compare() {
    : >ours
    : >theirs
    round=0
    while [ $round -lt "$rounds" ]; do
        rm -f ours.out theirs.out
        # shellcheck disable=SC2086 # flags are words
        run ours "$tool" convert -f "${5:-raw}" -O qcow2 $2 "${4:-$disk}" ours.out
        # shellcheck disable=SC2086
        run theirs qemu-img convert -f "${5:-raw}" -O qcow2 $2 $3 "${4:-$disk}" theirs.out
        [ $round -gt 0 ] || qemu-img compare -q -f qcow2 -F qcow2 ours.out theirs.out ||
            { echo "$1: the results differ" >&2 && exit 1; }
        round=$((round + 1))
    done
    qemu-img check -q -f qcow2 ours.out || { echo "$1: not sound" >&2 && exit 1; }
    row "$1"
    rm -f ours.out theirs.out
}

row() {
    awk -v name="$1" -v a="$(minimum ours)" -v b="$(median ours)" -v c="$(minimum theirs)" \
        -v d="$(median theirs)" -v m="$(memory ours)" -v n="$(memory theirs)" \
        -v s="$(stored ours.out)" -v t="$(stored theirs.out)" 'BEGIN {
        printf "%-26s %8.1f %8.1f %10.1f %8.1f %7.2f %+7.1f %7.1f %9.1f\n",
            name, a / 100, b / 100, c / 100, d / 100, a / (c + 0.01), (s / t - 1) * 100,
            m / 1024, n / 1024 }'
}

[ -n "$disk" ] || make_disk
disk_mib=$(($(wc -c <"$disk") / 1048576))
cat "$disk" >/dev/null
echo "$disk_mib MiB, $(nproc) processors, $rounds rounds; ms: minimum and median; MiB: peak memory"
printf '%-26s %8s %8s %10s %8s %7s %7s %7s %9s\n' \
    'raw to' vdisk median qemu-img median ratio size% MiB 'qemu MiB'
compare 'qcow2' '' ''
compare 'qcow2, -W' '-W' '-m 16'
compare 'qcow2, 4 KiB clusters' '-o cluster_size=4k' ''
compare 'qcow2, 2 MiB clusters' '-o cluster_size=2M' ''
compare 'qcow2, extended L2' '-o extended_l2=on' ''
compare 'qcow2, preallocated' '-o preallocation=metadata' ''
compare 'qcow2, zlib' '-c -W' '-m 16'
compare 'qcow2, zlib, in order' '-c' ''
compare 'qcow2, zlib, 4 KiB' '-c -W -o cluster_size=4k' '-m 16'
compare 'qcow2, zstd' '-c -W -o compression_type=zstd' '-m 16'
