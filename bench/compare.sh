#!/bin/sh
# compare.sh TOOL [ROUNDS [MiB [WORD]]]: what TOOL (vdisk) does beside qemu-img, and nbdcopy
# and 7-Zip where they do the same, on the same data, in ROUNDS rounds (default 3): each program has
# a turn of at least 0.1 s in each, after a run that is not timed; only cases whose name contains
# WORD. Prints a line per case and program: the least and the median time in ms, the peak memory in
# MiB (0 without GNU time), the MiB that a result takes. Writes results/compare.tsv, .md and .svg
# beside this file (into $RESULTS if that names a folder); $NOTE is told there besides date and
# machine. With WORD, $RESULTS has to be set.
#
# The data is an ext4 file system of MiB MiB (default 512, at least 64), made of this machine's own
# files, or the raw image in $DISK. Everything lies in memory, so that no drive is measured: it
# takes up to nine times the size of the disk in $TMPDIR (default /dev/shm).
# shellcheck disable=SC2086 # options are words
set -eu
PATH=$PATH:/sbin:/usr/sbin
[ $# -ge 1 ] || { echo "usage: compare.sh TOOL [ROUNDS [MiB [WORD]]]" >&2 && exit 2; }
here=$(dirname "$(realpath "$0")")
tool=$(realpath "$1") rounds=${2:-3} size=${3:-512} word=${4:-}
if [ -n "$word" ] && [ -z "${RESULTS:-}" ]; then
    echo "compare.sh: a part of the cases is not the result that is kept: set RESULTS" >&2 && exit 2
fi
results=$(realpath "${RESULTS:-$here/results}")
work=$(mktemp -d -p "${TMPDIR:-/dev/shm}" vdisk-compare.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
disk=${DISK:+$(realpath "$DISK")}
seven=$(command -v 7zz || command -v 7z) || seven=
cd "$work"

make_disk() { # three quarters full
    mkdir files
    budget=$((size * 768))
    for file in /usr/bin/* /usr/lib/*/*.so* /usr/lib/*/*/* /usr/share/doc/*/*; do
        [ "$budget" -gt 100 ] || break
        [ -f "$file" ] && [ ! -L "$file" ] && [ -r "$file" ] || continue
        cost=$(($(wc -c <"$file") / 1024 + 4))
        [ "$cost" -lt "$budget" ] || continue
        budget=$((budget - cost))
        cp "$file" "files/$(echo "$file" | tr / _)"
    done
    truncate -s "${size}M" disk.raw
    mke2fs -q -t ext4 -d files disk.raw
    rm -r files
    disk=$work/disk.raw
}

# --- one case ------------------------------------------------------------------------------------

# turns NAME FORMAT: runs what the input lists, a program and its command per line, in turns
turns() {
    case $1 in *"$word"*) ;; *) cat >/dev/null && return ;; esac
    python3 "$here/timed.py" "$1" "$2" "$rounds" >lines
    tee -a compare.tsv <lines
}

# from NAME FORMAT CASE [PEERS [OUR-FLAGS [QEMU'S [QEMU'S SOURCE]]]]: to raw, from what make_CASE
# makes as "image". PEERS: "nbdcopy", "7-Zip:TYPE".
from() {
    case $1 in *"$word"*) ;; *) return ;; esac
    make_"$3"
    {
        echo "vdisk $tool convert -f $2 -O raw ${5:-} image out"
        echo "qemu-img qemu-img convert -f $2 -O raw ${6:-} ${7:-image} out"
        for peer in ${4:-}; do
            case $peer in
            nbdcopy) echo "nbdcopy nbdcopy -- [ qemu-nbd -r -f $2 image ] out" ;;
            7-Zip:*) [ -z "$seven" ] || echo "7-Zip sh seven.sh ${peer#*:} image" ;;
            esac
        done
    } >commands
    command -v nbdcopy >/dev/null || sed -i /^nbdcopy/d commands
    turns "$1" raw <commands
    rm -f image same base level*
}

# to NAME FORMAT OPTIONS [OUR-FLAGS [QEMU'S]]: from the raw disk
to() {
    turns "$1" "$2" <<CASE
vdisk $tool convert -f raw -O $2 $3 ${4:-} $disk out
qemu-img qemu-img convert -f raw -O $2 $3 ${5:-} $disk out
CASE
}

# --- the images, each named "image" --------------------------------------------------------------

overwrite() { # IMAGE PATTERN: thirty pieces of 512 KiB here and there
    i=1
    while [ $i -le 30 ]; do
        echo "write -q -P $2 $((i * disk_mib * 1024 / 31 + $2 * 64))k 512k"
        i=$((i + 1))
    done | "$tool" io "$1" >/dev/null
}
make() { qemu-img convert -f raw -O "$@" "$disk" image; }
make_plain() { make qcow2; }
make_small() { make qcow2 -o cluster_size=4k; }
make_extended() { make qcow2 -o extended_l2=on; }
make_zlib() { make qcow2 -c -m 16 -W; }
make_zstd() { make qcow2 -c -m 16 -W -o compression_type=zstd; }
make_qcow() { make qcow; }
make_vhd() { make vpc -o force_size=on; }
make_fixed_vhd() { make vpc -o force_size=on,subformat=fixed; }
make_vhdx() { make vhdx; }
make_small_vhdx() { make vhdx -o block_size=1M; }
make_snapshot() {
    make qcow2
    qemu-img snapshot -c before image
    overwrite image 7
}
# A chain of five as "image", and the same disk in "same", which has no parent: QEMU does not read
# the children of VHD and VHDX.
make_children() { # FORMAT OPTIONS
    qemu-img convert -f raw -O "$1" $2 "$disk" level0
    for level in 1 2 3 4; do
        above=level$level
        [ $level -lt 4 ] || above=image
        "$tool" create -q -f "$1" -b level$((level - 1)) -F "$1" $above
        overwrite $above $level
    done
    "$tool" convert -O "$1" $2 image same
}
make_chain() { make_children qcow2 ''; }
make_vhd_chain() { make_children vpc '-o force_size=on'; }
make_vhdx_chain() { make_children vhdx ''; }
make_empty() { # FORMAT SIZE
    qemu-img create -q -f "$1" image "$2"
    qemu-io -f "$1" -c 'write -q -P 1 0 64k' -c 'write -q -P 2 63G 64k' image
}
make_empty_qcow2() { make_empty qcow2 64T; }
make_empty_vhdx() { make_empty vhdx 64G; }

# --- the cases -----------------------------------------------------------------------------------

[ -n "$disk" ] || make_disk
disk_mib=$(($(wc -c <"$disk") / 1048576))
cat "$disk" >/dev/null
echo "exec \"$seven\" e -so -bd \"-t\$1\" \"\$2\" >out 2>/dev/null" >seven.sh
printf '# %s\n' \
    "$(python3 "$here/timed.py" --machine); $(qemu-img --version | sed -n '1s/ (.*//p')" \
    "ext4 disk of $disk_mib MiB in memory, $rounds rounds in turns of at least 0.1 s; an empty \
program takes $(python3 "$here/timed.py" --floor) ms${NOTE:+; $NOTE}" \
    '[1] qemu-img reads no such chains: it converts the same disk in one file' >compare.tsv

from 'qcow2 to raw' qcow2 plain 'nbdcopy 7-Zip:qcow'
from 'qcow2, 4 KiB clusters, to raw' qcow2 small nbdcopy
from 'qcow2, extended L2, to raw' qcow2 extended nbdcopy
from 'qcow2, zlib, to raw' qcow2 zlib 'nbdcopy 7-Zip:qcow' '' '-m16 -W'
from 'qcow2, zstd, to raw' qcow2 zstd nbdcopy '' '-m16 -W'
from 'qcow2, chain of five, to raw' qcow2 chain nbdcopy
from 'qcow2, snapshot, to raw' qcow2 snapshot '' '-l before' '-l before'
from 'qcow2, 64 TiB, empty, to raw' qcow2 empty_qcow2
from 'qcow to raw' qcow qcow
from 'VHD to raw' vpc vhd 'nbdcopy 7-Zip:vhd'
from 'VHD, fixed, to raw' vpc fixed_vhd 'nbdcopy 7-Zip:vhd'
from 'VHD, chain of five [1], to raw' vpc vhd_chain '' '' '' same
from 'VHDX to raw' vhdx vhdx 'nbdcopy 7-Zip:vhdx'
from 'VHDX, 1 MiB blocks, to raw' vhdx small_vhdx nbdcopy
from 'VHDX, chain of five [1], to raw' vhdx vhdx_chain '' '' '' same
from 'VHDX, 64 GiB, empty, to raw' vhdx empty_vhdx

to 'raw to qcow2' qcow2 ''
to 'raw to qcow2, out of order' qcow2 '' '-W' '-W -m 16'
to 'raw to qcow2, 4 KiB clusters' qcow2 '-o cluster_size=4k'
to 'raw to qcow2, 2 MiB clusters' qcow2 '-o cluster_size=2M'
to 'raw to qcow2, extended L2' qcow2 '-o extended_l2=on'
to 'raw to qcow2, preallocated' qcow2 '-o preallocation=metadata'
to 'raw to qcow2, zlib' qcow2 '-c' '-W' '-W -m 16'
to 'raw to qcow2, zstd' qcow2 '-c -o compression_type=zstd' '-W' '-W -m 16'
to 'raw to VHD' vpc '-o force_size=on'
to 'raw to VHD, fixed' vpc '-o force_size=on,subformat=fixed'
to 'raw to VHDX' vhdx ''
to 'raw to VHDX, 1 MiB blocks' vhdx '-o block_size=1M'
to 'raw to VHDX, fixed' vhdx '-o subformat=fixed'

make_plain
for job in info check map 'compare -f raw -F qcow2'; do
    image=image
    case $job in compare*) image="$disk image" ;; esac
    turns "${job%% *}, qcow2" none <<CASE
vdisk $tool $job $image
qemu-img qemu-img $job $image
CASE
done

mkdir -p "$results"
cp compare.tsv "$results"
python3 "$here/compare.py" "$results/compare.tsv" "$results/compare.md" "$results/compare.svg"
