#!/bin/sh
# all.sh [FOLDER]: measures all that results/ tells (or writes it into $RESULTS), with the vdisk and
# the vdisk_bench in FOLDER (default build/release/bin). For a machine that does nothing else.
set -eu
here=$(dirname "$(realpath "$0")")
bin=$(realpath "${1:-$here/../build/release/bin}")
results=${RESULTS:-$here/results}

sh "$here/compare.sh" "$bin/vdisk"
python3 "$here/ratios.py" "$bin/vdisk_bench"
{
    echo '```'
    sh "$here/startup.sh" "$bin/vdisk" # begins with date and machine
    sh "$here/random_read.sh" "$bin/vdisk_bench" || true # a target that is missed is told there
    sh "$here/random_write.sh" "$bin/vdisk_bench" || true
    echo '```'
} >"$results/calls.md"
cat "$results/calls.md"
