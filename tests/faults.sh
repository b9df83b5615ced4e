#!/bin/sh
# faults.sh PROGRAM: the tests of faults and of hostile images, and what they counted: a line for
# each suite. Fails with less than 20,000 faults of either kind, or 40 hostile images of a format.
set -eu
program=$1
out=$(mktemp)
trap 'rm -f "$out"' EXIT

"$program" '[fault],[hostile]' > "$out" || { cat "$out"; exit 1; }
grep '^hostile ' "$out"
awk '$1 == "faults" { n = $NF; sub(/: [0-9]+$/, ""); sum[$0] += n }
     END { for (suite in sum) print suite ": " sum[suite] }' "$out" | sort
for kind in memory I/O; do
    sum=$(awk -v kind="$kind," '$1 == "faults" && $2 == kind { n += $NF } END { print n + 0 }' "$out")
    echo "faults $kind, all: $sum"
    [ "$sum" -ge 20000 ] || { echo "fewer than 20000"; exit 1; }
done
for format in qcow qcow2 vhd vhdx; do
    refused=$(awk -v f="$format:" '$1 == "hostile" && $2 == f { print $5 }' "$out")
    [ "${refused:-0}" -ge 40 ] || { echo "$format: only ${refused:-0} images are refused"; exit 1; }
done
