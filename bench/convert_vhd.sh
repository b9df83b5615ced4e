#!/bin/sh
# convert_vhd.sh TOOL [ROUNDS [MiB]]: `TOOL convert` from and to VHD beside `qemu-img convert`, on
# the same data and in the same run, one after the other, ROUNDS times (default 5). Prints the time
# (minimum and median, milliseconds), the ratio of the minima, how much more room our file takes
# than theirs (per cent), and the peak memory of both.
#
# The data is an ext4 file system of MiB MiB (default 1024) made of this machine's own files, or
# the raw image in $DISK. Everything lies in memory, so that no drive is measured: it takes about
# five times the size of the disk in $TMPDIR (default /dev/shm).
#
# QEMU does not read differencing images: there it reads the same disk from a dynamic one.
set -eu
PATH=$PATH:/sbin:/usr/sbin
[ $# -ge 1 ] || { echo "usage: convert_vhd.sh TOOL [ROUNDS [MiB]]" >&2 && exit 2; }
here=$(dirname "$(realpath "$0")")
tool=$(realpath "$1")
rounds=${2:-5}
export size="${3:-1024}"
work=$(mktemp -d -p "${TMPDIR:-/dev/shm}" vdisk-vhd.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
disk=${DISK:+$(realpath "$DISK")}
cd "$work"
# shellcheck source=convert_common.sh
. "$here/convert_common.sh"

make_dynamic() { qemu-img convert -f raw -O vpc -o force_size=on "$disk" image; }
make_fixed() { qemu-img convert -f raw -O vpc -o force_size=on,subformat=fixed "$disk" image; }
make_chain() { # thirty pieces of 512 KiB here and there, in each of four children
    qemu-img convert -f raw -O vpc -o force_size=on "$disk" level0
    for level in 1 2 3 4; do
        above=level$level
        [ $level -lt 4 ] || above=image
        "$tool" create -q -f vpc -b level$((level - 1)) -F vpc $above
        i=1
        while [ $i -le 30 ]; do
            echo "write -q -P $level $((i * disk_mib * 1024 / 31 + level * 64))k 512k"
            i=$((i + 1))
        done | "$tool" io $above >log
    done
    "$tool" convert -O vpc -o force_size=on image same
}

# compare NAME FORMAT OPTIONS OUR-SOURCE THEIR-SOURCE SOURCE-FORMAT
compare() {
    : >ours
    : >theirs
    round=0
    while [ $round -lt "$rounds" ]; do
        rm -f ours.out theirs.out
        # shellcheck disable=SC2086 # options are words
        run ours "$tool" convert -f "$6" -O "$2" $3 "$4" ours.out
        # shellcheck disable=SC2086
        run theirs qemu-img convert -f "$6" -O "$2" $3 "$5" theirs.out
        [ $round -gt 0 ] || "$tool" compare -q -f "$2" -F "$2" ours.out theirs.out ||
            { echo "$1: the results differ" >&2 && exit 1; }
        round=$((round + 1))
    done
    awk -v name="$1" -v a="$(minimum ours)" -v b="$(median ours)" -v c="$(minimum theirs)" \
        -v d="$(median theirs)" -v m="$(memory ours)" -v n="$(memory theirs)" \
        -v s="$(stored ours.out)" -v t="$(stored theirs.out)" 'BEGIN {
        printf "%-26s %8.1f %8.1f %10.1f %8.1f %7.2f %+7.1f %7.1f %9.1f\n",
            name, a / 100, b / 100, c / 100, d / 100, a / (c + 0.01), (s / t - 1) * 100,
            m / 1024, n / 1024 }'
    rm -f ours.out theirs.out
}
from() { # NAME CASE [THEIR-SOURCE]
    make_"$2"
    compare "$1" raw '' image "${3:-image}" vpc
    rm -f image same level*
}
to() { compare "$1" vpc "$2" "$disk" "$disk" raw; }

[ -n "$disk" ] || make_disk
disk_mib=$(($(wc -c <"$disk") / 1048576))
cat "$disk" >/dev/null
echo "$disk_mib MiB, $(nproc) processors, $rounds rounds; ms: minimum and median; MiB: peak memory"
printf '%-26s %8s %8s %10s %8s %7s %7s %7s %9s\n' \
    'VHD' vdisk median qemu-img median ratio size% MiB 'qemu MiB'
from 'dynamic to raw' dynamic
from 'fixed to raw' fixed
from 'chain of five to raw' chain same
to 'raw to dynamic' ''
to 'raw to fixed' '-o subformat=fixed'
