#!/bin/sh
# startup.sh TOOL [TURNS]: how long `TOOL info` and `qemu-img info` take for a small qcow2 image, in
# TURNS turns each (default 10) of at least 0.1 s: this is process start, nothing else.
set -eu
[ $# -ge 1 ] || { echo "usage: startup.sh TOOL [TURNS]" >&2 && exit 2; }
here=$(dirname "$(realpath "$0")")
tool=$(realpath "$1")
turns=${2:-10}
work=$(mktemp -d -p "${TMPDIR:-/dev/shm}" vdisk-startup.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work"
qemu-img create -q -f qcow2 image 1G
printf '%s\n' "vdisk $tool info image" "qemu-img qemu-img info image" |
    python3 "$here/timed.py" info none "$turns" >figures

echo "$(python3 "$here/timed.py" --machine); $(qemu-img --version | sed -n "1s/ (.*//p")"
size() { wc -c <"$(command -v "$1")"; } # of the program alone, without libraries
printf '%-10s %10s %10s %10s %10s\n' info 'least ms' 'median ms' 'peak MiB' 'size MB'
awk -F '\t' -v vdisk="$(size "$tool")" -v qemu="$(size qemu-img)" '{
    printf "%-10s %10.2f %10.2f %10.1f %10.1f\n", $2, $3, $4, $5,
        ($2 == "vdisk" ? vdisk : qemu) / 1e6 }' figures
