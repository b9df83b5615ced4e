# shellcheck shell=sh
# Read by the benches of convert, whose arguments are TOOL [ROUNDS [MiB]]: `TOOL convert` beside
# `qemu-img convert`, on the same data and in the same run, one after the other, ROUNDS times
# (default 5). They print the time (minimum and median, milliseconds), the ratio of the minima, how
# much more room our file takes than theirs (per cent), and the peak memory of both.
#
# The data is an ext4 file system of MiB MiB (default 1024) made of this machine's own files, or
# the raw image in $DISK. Everything lies in memory, so that no drive is measured: it takes up to
# seven times the size of the disk in $TMPDIR (default /dev/shm).
set -eu
PATH=$PATH:/sbin:/usr/sbin
[ $# -ge 1 ] || { echo "usage: $0 TOOL [ROUNDS [MiB]]" >&2 && exit 2; }
tool=$(realpath "$1")
rounds=${2:-5}
size=${3:-1024}
work=$(mktemp -d -p "${TMPDIR:-/dev/shm}" vdisk-convert.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
disk=${DISK:+$(realpath "$DISK")}
cd "$work"

make_disk() { # three quarters full
    mkdir files
    budget=$((size * 768))
    for file in /usr/bin/* /usr/lib/*/*.so* /usr/lib/*/*/* /usr/share/doc/*/*; do
        [ -f "$file" ] && [ ! -L "$file" ] && [ -r "$file" ] || continue
        cost=$(($(wc -c <"$file") / 1024 + 4))
        [ "$cost" -lt "$budget" ] || continue
        budget=$((budget - cost))
        cp "$file" "files/$(echo "$file" | tr / _)"
    done
    truncate -s "${size}M" disk.raw
    mke2fs -q -t ext4 -d files disk.raw
    rm -r files
    disk=disk.raw
}

# run FILE COMMAND...: appends "time in 10 us, KiB" to FILE; memory is 0 without GNU time.
run() {
    log=$1
    shift
    echo 0 >memory
    start=$(date +%s%N)
    if [ -x /usr/bin/time ]; then /usr/bin/time -f %M -o memory "$@"; else "$@"; fi
    end=$(date +%s%N)
    echo "$(((end - start) / 10000)) $(tail -n 1 memory)" >>"$log"
}

minimum() { sort -n "$1" | awk 'NR == 1 { print $1 }'; }
median() { sort -n "$1" | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'; }
memory() { awk '$2 > m { m = $2 } END { print m }' "$1"; }
stored() { echo $(($(stat -c %b "$1") * 512)); }

# turns NAME FORMAT OURS THEIRS: two commands that want the name of an image to be made, of FORMAT
turns() {
    : >ours
    : >theirs
    round=0
    while [ $round -lt "$rounds" ]; do
        rm -f ours.out theirs.out
        # shellcheck disable=SC2086 # commands are words
        run ours $3 ours.out
        # shellcheck disable=SC2086
        run theirs $4 theirs.out
        [ $round -gt 0 ] || "$tool" compare -q -f "$2" -F "$2" ours.out theirs.out ||
            { echo "$1: the results differ" >&2 && exit 1; }
        round=$((round + 1))
    done
    awk -v name="$1" -v a="$(minimum ours)" -v b="$(median ours)" -v c="$(minimum theirs)" \
        -v d="$(median theirs)" -v m="$(memory ours)" -v n="$(memory theirs)" \
        -v s="$(stored ours.out)" -v t="$(stored theirs.out)" 'BEGIN {
        printf "%-26s %8.1f %8.1f %10.1f %8.1f %7.2f %+7.1f %7.1f %9.1f\n",
            name, a / 100, b / 100, c / 100, d / 100, a / (c + 0.01), (s / (t + 1) - 1) * 100,
            m / 1024, n / 1024 }'
}

# to NAME FORMAT OPTIONS [OUR-FLAGS [THEIR-FLAGS]]: from the raw disk
to() {
    turns "$1" "$2" "$tool convert -f raw -O $2 $3 ${4:-} $disk" \
        "qemu-img convert -f raw -O $2 $3 ${5:-} $disk"
    case $2 in qcow2 | vhdx) qemu-img check -q -f "$2" ours.out ;; esac ||
        { echo "$1: not sound" >&2 && exit 1; }
    rm -f ours.out theirs.out
}

# from NAME FORMAT CASE [THEIR-SOURCE [OUR-FLAGS [THEIR-FLAGS]]]: to raw, from what make_CASE makes
# as "image", and, where they cannot read that, in another file
from() {
    make_"$3"
    turns "$1" raw "$tool convert -f $2 -O raw ${5:-} image" \
        "qemu-img convert -f $2 -O raw ${6:-} ${4:-image}"
    rm -f ours.out theirs.out image same base level*
}

# A chain of five of FORMAT as "image", and the same disk in "same", which has no parent: thirty
# pieces of 512 KiB here and there in each child.
make_children() { # FORMAT OPTIONS
    # shellcheck disable=SC2086 # options are words
    qemu-img convert -f raw -O "$1" $2 "$disk" level0
    for level in 1 2 3 4; do
        above=level$level
        [ $level -lt 4 ] || above=image
        "$tool" create -q -f "$1" -b level$((level - 1)) -F "$1" $above
        i=1
        while [ $i -le 30 ]; do
            echo "write -q -P $level $((i * disk_mib * 1024 / 31 + level * 64))k 512k"
            i=$((i + 1))
        done | "$tool" io $above >log
    done
    # shellcheck disable=SC2086
    "$tool" convert -O "$1" $2 image same
}

[ -n "$disk" ] || make_disk
disk_mib=$(($(wc -c <"$disk") / 1048576))
cat "$disk" >/dev/null
echo "$disk_mib MiB, $(nproc) processors, $rounds rounds; ms: minimum and median; MiB: peak memory"
printf '%-26s %8s %8s %10s %8s %7s %7s %7s %9s\n' \
    "${0##*/}" vdisk median qemu-img median ratio size% MiB 'qemu MiB'
