#!/bin/sh
# night.sh SECONDS [BUILD]: all targets of a build of preset fuzz in turn, one on each processor,
# SECONDS in all. What is of interest stays in BUILD/corpus for the next night, what is found in
# BUILD/found, and its list is printed, and what time the processors gave (own and the system's).
set -eu
fuzz=$(cd "$(dirname "$0")" && pwd)
seconds=${1:?SECONDS}
cd "${2:-$fuzz/../build/fuzz}"
targets=$(cd bin && ls fuzz_*)
each=$((seconds * $(nproc) / $(echo "$targets" | wc -l) + 1))

fuzz_one='
    name=${1#fuzz_} dict=$2/${1#fuzz_}
    dict=${dict%%_*}.dict
    [ -f "$dict" ] && dict=-dict=$dict || dict=
    mkdir -p "corpus/$name" "found/$name"
    "bin/$1" $dict -max_len=65536 -timeout=10 -rss_limit_mb=1024 -max_total_time="$3" \
        -print_final_stats=1 -artifact_prefix="found/$name/" "corpus/$name" "fuzz/seeds/$name" \
        >"found/$name.log" 2>&1 || true
    runs=$(sed -n "s/^stat::number_of_executed_units: *//p" "found/$name.log")
    echo "$name: ${runs:-no} runs"
    [ -n "$runs" ] || ls "found/$name" | grep -q . || { tail -n 3 "found/$name.log" && exit 1; }'
failed=0
echo "$targets" | xargs -P "$(nproc)" -I '{}' sh -c "$fuzz_one" - '{}' "$fuzz" "$each" || failed=1
times >found/times
tail -n 1 found/times
found=$(find found -mindepth 2 -type f)
[ -z "$found" ] || { echo "found:" && echo "$found" && exit 1; }
[ $failed = 0 ] || { echo "not all targets ran" && exit 1; }
echo "nothing found"
