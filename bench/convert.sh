#!/bin/sh
# convert.sh TOOL [ROUNDS [MiB]]: from qcow and qcow2 to raw. See convert_common.sh.
here=$(dirname "$(realpath "$0")")
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

from 'qcow2' qcow2 plain
from 'qcow2, 4 KiB clusters' qcow2 small
from 'qcow2, extended L2' qcow2 extended
from 'qcow2, zlib' qcow2 zlib '' '' '-m16 -W'
from 'qcow2, zstd' qcow2 zstd '' '' '-m16 -W'
from 'qcow2, chain of five' qcow2 chain
from 'qcow2, snapshot' qcow2 snapshot '' '-l before' '-l before'
from 'qcow version 1' qcow qcow
from 'qcow2, 64 TiB, empty' qcow2 empty
