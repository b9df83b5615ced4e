#!/bin/sh
# Builds vdisk-info and vdisk-cat with musl, compares what they say with qemu-img, and prints their
# figures. Fails if one of them has more than 100 KB, or needs more than 1 MiB.
#
#   run.sh [FOLDER]   leaves the programs in FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
. "$root/tests/need.sh"
. "$root/tests/bare_metal.sh"
need gcc musl-gcc arm-none-eabi-g++ qemu-img python3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
bare_metal_includes "$work/inc"
cd "$work"
# zlib's decoder calls nothing that musl does not have.
ln -s /usr/include/zlib.h /usr/include/zconf.h inc
library=$(gcc -print-file-name=libz.a)
for tool in info cat; do
    compile_for musl -DZ_SOLO -x c++ "$here/vdisk_$tool.cpp" -x none "$library" -o "vdisk-$tool"
done
[ $# = 0 ] || cp vdisk-info vdisk-cat "$1"

python3 - <<'PY'
import random
random.seed(6)
disk = bytearray(3 << 20)
disk[0:65536] = random.randbytes(65536)
disk[1 << 20 : (1 << 20) + 300000] = bytes(i * i >> 7 & 0xFF for i in range(300000))
open("raw.image", "wb").write(disk)
PY
make() { qemu-img convert -f raw raw.image "$@"; }
make -O vpc -o subformat=dynamic,force_size=on vpc.image
make -O vpc -o subformat=fixed,force_size=on fixed.image
make -O vhdx -o block_size=1M,log_size=1M vhdx.image
make -O qcow2 qcow2.image
make -O qcow2 -o cluster_size=2M,extended_l2=on large.image
make -O qcow2 -c packed.image
make -O qcow qcow.image
for image in *.image; do
    ./vdisk-cat "$image" | cmp - raw.image || { echo "failed: vdisk-cat $image" && exit 1; }
    ./vdisk-info "$image" | grep -q '^virtual size: 3145728$' ||
        { echo "failed: vdisk-info $image" && exit 1; }
done
qemu-img create -q -f qcow2 -b qcow2.image -F qcow2 child.image
! ./vdisk-cat child.image 2>error && grep -q 'the image has a parent' error

calls=200
for tool in info cat; do
    bytes=$(wc -c <"vdisk-$tool")
    start=$(date +%s%N)
    i=0
    while [ $i -lt $calls ]; do
        "./vdisk-$tool" qcow2.image >/dev/null
        i=$((i + 1))
    done
    end=$(date +%s%N)
    peak=0
    if [ -x /usr/bin/time ]; then
        /usr/bin/time -f %M -o peak "./vdisk-$tool" packed.image >/dev/null
        peak=$(cat peak)
    fi
    echo "vdisk-$tool: $bytes bytes, $(((end - start) / 1000 / calls)) us a call, $peak KiB in use"
    [ "$bytes" -le 102400 ] || { echo "failed: vdisk-$tool has more than 100 KiB" && exit 1; }
    [ "$peak" -le 1024 ] || { echo "failed: vdisk-$tool needs more than 1 MiB" && exit 1; }
done
