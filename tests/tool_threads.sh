#!/bin/sh
# Where the tool works in several threads: convert, compare, dd, chains. For preset tsan: a data race
# ends the tool with exit code 66. Elsewhere it checks that many threads give what one gives.
#
#   tool_threads.sh TOOL    TOOL: the vdisk tool
set -u
TOOL=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
FORMAT=none
# shellcheck source=tool_kinds.sh
. "$(cd "$(dirname "$0")" && pwd)/tool_kinds.sh"

# 24 MiB: stripes of text, of noise and of nothing, in turn
for i in 1 2 3 4; do
    yes "line of part $i" | head -c 2000000
    head -c 2291456 /dev/urandom
    head -c 2000000 /dev/zero
done >a.raw

for kind in qcow qcow2 vpc vhdx; do
    options=
    [ $kind != vpc ] || options='-o force_size=on'
    # shellcheck disable=SC2086 # options are words
    ok convert -m 8 -O $kind $options a.raw a.$kind
    run 0 'Images are identical.' compare -F raw a.$kind a.raw
    ok convert -m 8 -O raw a.$kind b.raw
    cmp a.raw b.raw || wrong "$kind gives other bytes"
done
for type in zlib zstd; do
    ok convert -m 8 -c -O qcow2 -o compression_type=$type a.raw packed.qcow2
    ok convert -m 8 -O vhdx packed.qcow2 b.vhdx
    run 0 'Images are identical.' compare packed.qcow2 b.vhdx
done

# a chain, read by all threads at once, and a comparison that ends early
ok create -f qcow2 -b packed.qcow2 -F qcow2 child.qcow2
ok io -c 'write -P 7 5M 3M' child.qcow2
ok convert -m 8 -O qcow2 child.qcow2 flat.qcow2
run 0 'Images are identical.' compare child.qcow2 flat.qcow2
run 1 'Content mismatch' compare child.qcow2 a.vhdx
ok convert -m 8 -O qcow2 -B packed.qcow2 -F qcow2 child.qcow2 thin.qcow2
ok dd -O qcow2 bs=1M if=a.vhdx of=d.qcow2
run 0 'Images are identical.' compare -F raw d.qcow2 a.raw
finish
