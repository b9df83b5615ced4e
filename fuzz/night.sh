#!/bin/sh
# night.sh SECONDS [BUILD]: all targets of a build of preset fuzz in turn, one on each processor,
# SECONDS in all. What is of interest stays in BUILD/corpus for the next night, what is found in
# BUILD/found, and its list is printed, and what time the processors gave (own and the system's).
# What earlier nights found is put aside into BUILD/earlier.
set -eu
fuzz=$(cd "$(dirname "$0")" && pwd)
seconds=${1:?SECONDS}
cd "${2:-$fuzz/../build/fuzz}"
targets=$(cd bin && ls fuzz_*)
each=$((seconds * $(nproc) / $(echo "$targets" | wc -l) + 1))
mkdir -p found earlier
cp -R found/. earlier/
rm -rf found && mkdir found

# A target that ends with a finding begins again, until its time is over or it has found enough. One
# that ends before it has run a thousand inputs does not get past its seeds.
fuzz_one='
    name=${1#fuzz_} fuzz=$2 seconds=$3 runs=0 found=0
    set -- "corpus/$name" "fuzz/seeds/$name"
    [ ! -d "$fuzz/findings/$name" ] || set -- "$@" "$fuzz/findings/$name"
    [ ! -f "$fuzz/${name%%_*}.dict" ] || set -- "-dict=$fuzz/${name%%_*}.dict" "$@"
    mkdir -p "corpus/$name" "found/$name"
    begin=$(date +%s) now=$begin
    while [ $((now - begin)) -lt "$seconds" ] && [ "$found" -lt 20 ]; do
        "bin/fuzz_$name" -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
            -max_total_time=$((begin + seconds - now)) -artifact_prefix="found/$name/" "$@" \
            >"found/$name.log" 2>&1 || true
        now=$(date +%s)
        more=$(sed -n "s/^stat::number_of_executed_units: *//p" "found/$name.log")
        before=$found found=$(find "found/$name" -type f | wc -l)
        runs=$((runs + ${more:-0}))
        [ "${more:-0}" -ge 1000 ] && [ "$found" -gt "$before" ] || break
    done
    echo "$name: $runs runs in $((now - begin)) of $seconds s, $found findings"
    [ "$found" -gt 0 ] || [ $((now - begin)) -ge "$seconds" ] ||
        { tail -n 3 "found/$name.log" && exit 1; }'
failed=0
echo "$targets" | xargs -P "$(nproc)" -I '{}' sh -c "$fuzz_one" - '{}' "$fuzz" "$each" || failed=1
times >found/times
tail -n 1 found/times
found=$(find found -mindepth 2 -type f)
[ -z "$found" ] || { echo "found:" && echo "$found" && exit 1; }
[ $failed = 0 ] || { echo "not all targets ran" && exit 1; }
echo "nothing found"
