#!/bin/sh
# convert.sh TOOL [ROUNDS [MiB]]: `TOOL convert` beside `qemu-img convert`, on the same data and in
# the same run, one after the other, ROUNDS times (default 5). Prints the time (minimum and median,
# milliseconds), the ratio of the minima and the peak memory of both.
#
# The data is an ext4 file system of MiB MiB (default 1024) made of this machine's own files, or
# the raw image in $DISK. Everything lies in memory, so that no drive is measured: it takes about
# seven times the size of the disk in $TMPDIR (default /dev/shm).
set -eu
PATH=$PATH:/sbin:/usr/sbin
[ $# -ge 1 ] || { echo "usage: convert.sh TOOL [ROUNDS [MiB]]" >&2 && exit 2; }
here=$(dirname "$(realpath "$0")")
tool=$(realpath "$1")
rounds=${2:-5}
export size="${3:-1024}"
work=$(mktemp -d -p "${TMPDIR:-/dev/shm}" vdisk-convert.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
disk=${DISK:+$(realpath "$DISK")}
cd "$work"
# shellcheck source=convert_common.sh
. "$here/convert_common.sh"

overwrite() { # IMAGE PATTERN: thirty pieces of 512 KiB here and there
    step=$((disk_mib * 1024 / 31))
    i=1
    while [ $i -le 30 ]; do
        echo "write -P $2 $((i * step + $2 * 64))k 512k"
        i=$((i + 1))
    done | qemu-io -f qcow2 "$1" >/dev/null
}

# Each case makes its own image, named "image", and removes it: so memory lasts.
make_plain() { qemu-img convert -f raw -O qcow2 "$disk" image; }
make_small() { qemu-img convert -f raw -O qcow2 -o cluster_size=4k "$disk" image; }
make_extended() { qemu-img convert -f raw -O qcow2 -o extended_l2=on "$disk" image; }
make_zlib() { qemu-img convert -f raw -O qcow2 -c -m 16 -W "$disk" image; }
make_zstd() {
    qemu-img convert -f raw -O qcow2 -c -m 16 -W -o compression_type=zstd "$disk" image
}
make_chain() {
    qemu-img convert -f raw -O qcow2 "$disk" base
    below=base
    for level in 1 2 3 4; do
        above=level$level
        [ $level -lt 4 ] || above=image
        qemu-img create -q -f qcow2 -b $below -F qcow2 $above
        overwrite $above $level
        below=$above
    done
}
make_snapshot() {
    make_plain
    qemu-img snapshot -c before image
    overwrite image 7
}
make_qcow() { qemu-img convert -f raw -O qcow "$disk" image; }
make_empty() { qemu-img create -q -f qcow2 image 64T && qemu-io -f qcow2 \
    -c 'write -q -P 1 0 64k' -c 'write -q -P 2 63T 64k' image; }

# compare NAME CASE QEMU-FLAGS TOOL-FLAGS
compare() {
    make_"$2"
    : >ours
    : >theirs
    round=0
    while [ $round -lt "$rounds" ]; do
        # shellcheck disable=SC2086 # flags are words
        run ours "$tool" convert -O raw $4 image ours.raw
        # shellcheck disable=SC2086
        run theirs qemu-img convert -O raw $3 image theirs.raw
        [ $round -gt 0 ] || "$tool" compare -q -f raw -F raw ours.raw theirs.raw ||
            { echo "$1: the results differ" >&2 && exit 1; }
        rm ours.raw theirs.raw
        round=$((round + 1))
    done
    row "$1"
    rm -f image base level*
}

row() {
    awk -v name="$1" -v a="$(minimum ours)" -v b="$(median ours)" -v c="$(minimum theirs)" \
        -v d="$(median theirs)" -v m="$(memory ours)" -v n="$(memory theirs)" 'BEGIN {
        printf "%-26s %8.1f %8.1f %10.1f %8.1f %7.2f %7.1f %9.1f\n",
            name, a / 100, b / 100, c / 100, d / 100, a / (c + 0.01), m / 1024, n / 1024 }'
}

[ -n "$disk" ] || make_disk
disk_mib=$(($(wc -c <"$disk") / 1048576))
cat "$disk" >/dev/null
echo "$disk_mib MiB, $(nproc) processors, $rounds rounds; ms: minimum and median; MiB: peak memory"
printf '%-26s %8s %8s %10s %8s %7s %7s %9s\n' \
    'to raw from' vdisk median qemu-img median ratio MiB 'qemu MiB'
compare 'qcow2' plain '' ''
compare 'qcow2, 4 KiB clusters' small '' ''
compare 'qcow2, extended L2' extended '' ''
compare 'qcow2, zlib' zlib '-m16 -W' ''
compare 'qcow2, zstd' zstd '-m16 -W' ''
compare 'qcow2, chain of five' chain '' ''
compare 'qcow2, snapshot' snapshot '-l before' '-l before'
compare 'qcow version 1' qcow '' ''
compare 'qcow2, 64 TiB, empty' empty '' ''
