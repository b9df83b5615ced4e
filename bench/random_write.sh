#!/bin/sh
# random_write.sh [VDISK_BENCH]: writes all over one file, by vdisk on a PreadStorage and by
# qemu-img bench -w at depth 1, both through the page cache (-t writeback): over data that is there,
# into clusters that are not, and in order into an empty VHDX image. The time of vdisk ends after a
# flush, that of qemu-img before. Fails if vdisk does not write as many per second as it shall.
set -eu
bench=${1:-build/release/bin/vdisk_bench}
rounds=5

command -v qemu-img >/dev/null || { echo "random_write: qemu-img is missing" && exit 77; }
[ -d /dev/shm ] && folder=/dev/shm || folder=/tmp
work=$(mktemp -d "${TMPDIR:-$folder}/vdisk_random_write.XXXXXX")
trap 'rm -r "$work"' EXIT
file=$work/disk
format=qcow2
length=4096

theirs() { # ns per write
    qemu-img bench -w -t writeback -c $count -d 1 -s $length -S $step -f $format "$file" |
        awk -v n=$count '/^Run completed/ { print $4 / n * 1e9 }'
}
ours() {
    VDISK_BENCH_TARGET=$file VDISK_BENCH_COUNT=$count VDISK_BENCH_STEP=$step \
        VDISK_BENCH_FORMAT=$format VDISK_BENCH_LENGTH=$length "$bench" \
        --benchmark_filter='^write/any/file/' --benchmark_format=json 2>/dev/null |
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
            printf "%s: vdisk %.0f ns, qemu-img bench %.0f ns: x%.2f (at least %s)\n",
                name, ours, theirs, theirs / ours, least
            exit !(ours > 0 && theirs / ours >= least)
        }' || failed=1
    qemu-img check -q -f $format "$file" || failed=1
}

failed=0
head -c 268435456 /dev/urandom >"$work/disk.raw"
qemu-img convert -O qcow2 "$work/disk.raw" "$file"
rm "$work/disk.raw"
prepare() { :; }
step=105336832 # 25717 * 4096: an odd number of pages meets all of them
count=100000
compare '4 KiB random rewrites, qcow2' 3

prepare() { qemu-img create -q -f qcow2 "$file" 1G; }
step=105316352 # 1607 * 65536: an odd number of clusters meets all of them, once
count=16384
compare '4 KiB random allocating writes, qcow2' 1.5

format=vhdx
prepare() { qemu-img create -q -f vhdx -o block_size=1M "$file" 1G; }
step=65536
length=65536
compare '64 KiB allocating writes in order, vhdx' 1
prepare() { qemu-img create -q -f vhdx "$file" 1G; }
compare '64 KiB writes in order, vhdx with blocks of 8 MiB' 1
exit $failed
