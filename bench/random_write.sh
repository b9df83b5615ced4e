#!/bin/sh
# random_write.sh [VDISK_BENCH]: 4 KiB writes all over one qcow2 file, by vdisk on a PreadStorage
# and by qemu-img bench -w at depth 1, both through the page cache (-t writeback): over data that
# is there, and each into a cluster that is not. The time of vdisk ends after a flush, that of
# qemu-img before. Fails if vdisk does not write three times as many, or one and a half times, per
# second.
set -eu
bench=${1:-build/release/bin/vdisk_bench}
rounds=5

command -v qemu-img >/dev/null || { echo "random_write: qemu-img is missing" && exit 77; }
[ -d /dev/shm ] && folder=/dev/shm || folder=/tmp
work=$(mktemp -d "${TMPDIR:-$folder}/vdisk_random_write.XXXXXX")
trap 'rm -r "$work"' EXIT
file=$work/disk.qcow2

theirs() { # ns per write
    qemu-img bench -w -t writeback -c $count -d 1 -s 4096 -S $step -f qcow2 "$file" |
        awk -v n=$count '/^Run completed/ { print $4 / n * 1e9 }'
}
ours() {
    VDISK_BENCH_TARGET=$file VDISK_BENCH_COUNT=$count VDISK_BENCH_STEP=$step "$bench" \
        --benchmark_filter='^write_4k_file' --benchmark_format=json 2>/dev/null |
        awk -F '[:,]' '/"ns":/ { print $2 + 0 }'
}
# compare NAME LEAST: in turns, so that noise hits both; the best of each counts
compare() {
    for _ in $(seq $rounds); do
        for side in ours theirs; do
            prepare
            $side
        done | paste -s -d ' '
    done | awk -v name="$1" -v least="$2" '
        NR == 1 || $1 < ours { ours = $1 }
        NR == 1 || $2 < theirs { theirs = $2 }
        END {
            printf "4 KiB random %s: vdisk %.0f ns, qemu-img bench %.0f ns: x%.2f (at least %s)\n",
                name, ours, theirs, theirs / ours, least
            exit !(ours > 0 && theirs / ours >= least)
        }' || failed=1
    qemu-img check -q -f qcow2 "$file" || failed=1
}

failed=0
head -c 268435456 /dev/urandom >"$work/disk.raw"
qemu-img convert -O qcow2 "$work/disk.raw" "$file"
rm "$work/disk.raw"
prepare() { :; }
step=105336832 # 25717 * 4096: an odd number of pages meets all of them
count=100000
compare rewrites 3

prepare() { qemu-img create -q -f qcow2 "$file" 1G; }
step=105316352 # 1607 * 65536: an odd number of clusters meets all of them, once
count=16384
compare 'allocating writes' 1.5
exit $failed
