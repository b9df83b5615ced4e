#!/bin/sh
# convert_vhd.sh TOOL [ROUNDS [MiB]]: from and to VHD. See convert_common.sh.
#
# QEMU does not read differencing images: there it reads the same disk from a dynamic one.
here=$(dirname "$(realpath "$0")")
# shellcheck source=convert_common.sh
. "$here/convert_common.sh"

make_dynamic() { qemu-img convert -f raw -O vpc -o force_size=on "$disk" image; }
make_fixed() { qemu-img convert -f raw -O vpc -o force_size=on,subformat=fixed "$disk" image; }
make_chain() { make_children vpc '-o force_size=on'; }

from 'dynamic to raw' vpc dynamic
from 'fixed to raw' vpc fixed
from 'chain of five to raw' vpc chain same
to 'raw to dynamic' vpc ''
to 'raw to fixed' vpc '-o subformat=fixed'
