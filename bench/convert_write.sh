#!/bin/sh
# convert_write.sh TOOL [ROUNDS [MiB]]: to qcow2. See convert_common.sh.
here=$(dirname "$(realpath "$0")")
# shellcheck source=convert_common.sh
. "$here/convert_common.sh"

to 'qcow2' qcow2 ''
to 'qcow2, -W' qcow2 '' '-W' '-W -m 16'
to 'qcow2, 4 KiB clusters' qcow2 '-o cluster_size=4k'
to 'qcow2, 2 MiB clusters' qcow2 '-o cluster_size=2M'
to 'qcow2, extended L2' qcow2 '-o extended_l2=on'
to 'qcow2, preallocated' qcow2 '-o preallocation=metadata'
to 'qcow2, zlib' qcow2 '-c' '-W' '-W -m 16'
to 'qcow2, zlib, in order' qcow2 '-c'
to 'qcow2, zlib, 4 KiB' qcow2 '-c -o cluster_size=4k' '-W' '-W -m 16'
to 'qcow2, zstd' qcow2 '-c -o compression_type=zstd' '-W' '-W -m 16'
