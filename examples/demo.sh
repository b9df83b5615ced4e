#!/bin/sh
# Builds the tool and shows it at work on a real disk. Installs what it needs; under two minutes.
#
#   sh examples/demo.sh [MiB]      size of the demonstration disk, default 384
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/sbin:/usr/sbin
size=${1:-384}
case $size in 0* | *[!0-9]* | ??????????*) size=0 ;; esac
if [ $# -gt 1 ] || [ "$size" -lt 64 ]; then
    echo "demo.sh: the size is a whole number of MiB, 64 or more" >&2
    echo "usage: sh examples/demo.sh [MiB]" >&2
    exit 2
fi

if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else bold='' dim='' plain=''; fi
title() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; }
run() { # shows a command, then runs it
    printf '%s$ %s%s\n' "$dim" "$*" "$plain"
    "$@"
}
now() { date +%s%N; }
spent() { # milliseconds since START
    end=$(now) && echo $(((end - $1) / 1000000))
}

stop() {
    trap '' INT TERM HUP
    # Before it is a group it is a process, and at first one that hears nothing.
    while kill -TERM "-$shown" 2>/dev/null || kill -TERM "$shown" 2>/dev/null; do sleep 0.1; done
}

# The demonstration proper, below, is a process group of its own, so that a signal ends all of it.
show() {
    ended=
    trap 'ended=130' INT
    trap 'ended=143' TERM HUP
    work=$(trap '' INT TERM HUP && mktemp -d)
    trap 'rm -rf "$work"' EXIT
    [ -z "$ended" ] || exit "$ended"
    VDISK_DEMO=$work setsid sh examples/demo.sh "$size" &
    shown=$!
    trap 'stop; exit 130' INT
    trap 'stop; exit 143' TERM HUP
    [ -z "$ended" ] || { stop && exit "$ended"; } # in between
    wait "$shown"
}

if [ -z "${VDISK_DEMO:-}" ]; then
    title "Packages and the release build"
    sh tests/packages.sh demo
    mkdir -p build
    if ! { cmake --preset release && cmake --build --preset release --target vdisk_tool; } \
        >build/demo.log 2>&1; then
        tail -n 30 build/demo.log
        echo "the build failed; its log is build/demo.log" >&2
        exit 1
    fi
    ls -lh build/release/bin/vdisk | awk '{ print $NF ": " $5 ", one static file" }'
    show
    exit
fi

tool=$PWD/build/release/bin/vdisk
cd "$VDISK_DEMO"
vdisk() { "$tool" "$@"; }

title "A real disk: ext4, filled from this machine"
mkdir files
# Enough of the machine's own files for half of the disk; one of them is checked at the end.
budget=$((size * 512))
for file in /usr/bin/* /usr/lib/*/*.so* /usr/share/doc/*/copyright; do
    [ -f "$file" ] && [ ! -L "$file" ] && [ -r "$file" ] || continue
    bytes=$(wc -c <"$file")
    cost=$((bytes / 1024 + 4))
    [ "$cost" -lt "$budget" ] || continue
    budget=$((budget - cost))
    cp "$file" "files/$(echo "$file" | tr / _)"
done
witness=$(ls -S files | head -n 1)
truncate -s "${size}M" disk.raw
mke2fs -q -t ext4 -d files disk.raw
echo "disk.raw: $size MiB, $(ls files | wc -l) files; the largest is $witness"

title "As qcow2, the way QEMU makes it"
qemu-img convert -f raw -O qcow2 disk.raw plain.qcow2
qemu-img convert -f raw -O qcow2 -c disk.raw zlib.qcow2
qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd disk.raw zstd.qcow2
qemu-img create -q -f qcow2 -b plain.qcow2 -F qcow2 overlay.qcow2
qemu-img snapshot -c before overlay.qcow2
qemu-io -f qcow2 -c "write -P 0xaa 1M 3M" -c "write -z 8M 24M" overlay.qcow2 >/dev/null
ls -sh ./*.qcow2

title "What is it?"
run vdisk info overlay.qcow2

title "Where are the bytes?"
run vdisk map --picture zlib.qcow2
run vdisk map --picture overlay.qcow2

title "To raw, and beside qemu-img"
printf '%-12s %10s %10s\n' image vdisk qemu-img
for image in plain zlib zstd; do
    best_ours=999999 best_theirs=999999
    for _ in 1 2 3; do
        start=$(now) && vdisk convert -O raw $image.qcow2 $image.raw
        took=$(spent "$start") && [ "$took" -ge $best_ours ] || best_ours=$took
        start=$(now) && qemu-img convert -O raw $image.qcow2 theirs.raw
        took=$(spent "$start") && [ "$took" -ge $best_theirs ] || best_theirs=$took
    done
    cmp $image.raw disk.raw
    cmp theirs.raw disk.raw
    printf '%-12s %7s ms %7s ms\n' $image $best_ours $best_theirs
done
echo "best of three, alternating; every result is byte for byte the disk we began with"

title "Is it the same disk?"
run vdisk compare zlib.qcow2 disk.raw
run vdisk compare plain.qcow2 overlay.qcow2 || true
run vdisk convert -O raw -l before overlay.qcow2 before.raw
run vdisk compare before.raw disk.raw

title "Packed, by vdisk and by qemu-img"
start=$(now) && vdisk convert -c -O qcow2 disk.raw packed.qcow2
ours=$(spent "$start")
start=$(now) && qemu-img convert -c -W -m 16 -O qcow2 disk.raw theirs.qcow2
theirs=$(spent "$start")
printf '%-12s %7s ms %7s KiB\n' vdisk "$ours" $(($(stat -c %s packed.qcow2) / 1024))
printf '%-12s %7s ms %7s KiB\n' qemu-img "$theirs" $(($(stat -c %s theirs.qcow2) / 1024))
run qemu-img compare packed.qcow2 disk.raw

title "Written, kept as a snapshot, damaged, mended"
run vdisk snapshot -c packed packed.qcow2
run vdisk io -c "write -P 0xaa 1M 3M" -c "discard 16M 8M" packed.qcow2
# The last refcount of the second cluster's block: a cluster that seems to be in use.
printf '\001' | dd of=packed.qcow2 bs=1 seek=131071 conv=notrunc status=none
vdisk check packed.qcow2 || true
run vdisk check -q -r all packed.qcow2 || true
run qemu-img check packed.qcow2
run vdisk snapshot -a packed packed.qcow2
run qemu-img compare packed.qcow2 disk.raw

title "As VHD: dynamic, and a differencing image on it"
run vdisk convert -O vpc -o force_size=on disk.raw disk.vhd
run qemu-img compare disk.vhd disk.raw
run vdisk create -f vpc -b disk.vhd -F vpc child.vhd
run vdisk io -c "write -P 0xaa 1M 3M" child.vhd
run vdisk compact child.vhd
run vdisk map --picture child.vhd
run vdisk convert -O vhdx child.vhd child.vhdx
run qemu-img info child.vhdx

title "And the files are still there"
run debugfs -R "dump $witness back" zstd.raw
cmp back "files/$witness"
echo "$witness: $(wc -c <back) bytes, read out of the converted disk, identical"
