#!/bin/sh
# startup.sh TOOL [CALLS]: how long `TOOL info` and `qemu-img info` take for a small qcow2 image,
# CALLS times each (default 200) in alternating batches: this is process start, nothing else.
set -eu
[ $# -ge 1 ] || { echo "usage: startup.sh TOOL [CALLS]" >&2 && exit 2; }
tool=$(realpath "$1")
calls=${2:-200}
batches=5
work=$(mktemp -d -p "${TMPDIR:-/dev/shm}" vdisk-startup.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work"
qemu-img create -q -f qcow2 image 1G

batch() { # COMMAND...: microseconds per call
    start=$(date +%s%N)
    i=0
    while [ $i -lt $((calls / batches)) ]; do
        "$@" >/dev/null
        i=$((i + 1))
    done
    end=$(date +%s%N)
    echo $(((end - start) / 1000 / (calls / batches)))
}
least() { sort -n "$1" | head -n 1; }

: >ours
: >theirs
round=0
while [ $round -lt $batches ]; do
    batch "$tool" info image >>ours
    batch qemu-img info image >>theirs
    round=$((round + 1))
done
peak() { # COMMAND...: KiB, with GNU time
    echo 0 >memory
    if [ -x /usr/bin/time ]; then /usr/bin/time -f %M -o memory "$@" >/dev/null; fi
    tail -n 1 memory
}
ours=$(peak "$tool" info image)
theirs=$(peak qemu-img info image)
size() { wc -c <"$(command -v "$1")"; } # of the program alone, without libraries
printf '%-10s %10s %10s %10s\n' 'info' 'ms a call' 'peak MiB' 'size MB'
awk -v a="$(least ours)" -v m="$ours" -v s="$(size "$tool")" \
    -v b="$(least theirs)" -v n="$theirs" -v t="$(size qemu-img)" 'BEGIN {
    printf "%-10s %10.2f %10.1f %10.1f\n", "vdisk", a / 1000, m / 1024, s / 1e6
    printf "%-10s %10.2f %10.1f %10.1f\n", "qemu-img", b / 1000, n / 1024, t / 1e6 }'
