#!/bin/sh
# convert_vhdx.sh TOOL [ROUNDS [MiB]]: from and to VHDX. See convert_common.sh.
#
# QEMU does not read differencing images: there it reads the same disk from a dynamic one.
here=$(dirname "$(realpath "$0")")
# shellcheck source=convert_common.sh
. "$here/convert_common.sh"

make_dynamic() { qemu-img convert -f raw -O vhdx "$disk" image; }
make_small() { qemu-img convert -f raw -O vhdx -o block_size=1M "$disk" image; }
make_chain() { make_children vhdx ''; }
make_empty() {
    qemu-img create -q -f vhdx image 64G
    qemu-io -f vhdx -c 'write -q -P 1 0 64k' -c 'write -q -P 2 63G 64k' image
}

from 'dynamic to raw' vhdx dynamic
from 'blocks of 1 MiB to raw' vhdx small
from 'chain of five to raw' vhdx chain same
from '64 GiB, empty, to raw' vhdx empty
to 'raw to dynamic' vhdx ''
to 'raw to blocks of 1 MiB' vhdx '-o block_size=1M'
to 'raw to fixed' vhdx '-o subformat=fixed'
