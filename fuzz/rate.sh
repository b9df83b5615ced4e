#!/bin/sh
# rate.sh SECONDS BUILD...: how many inputs a second each target takes, from its seeds on, in builds
# of preset fuzz (with and without sanitizers). One at a time, as a Markdown table.
set -eu
fuzz=$(cd "$(dirname "$0")" && pwd)
seconds=${1:?SECONDS} && shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rate() { # TARGET BUILD
    rm -rf "$work/corpus" && mkdir "$work/corpus"
    "$2/bin/fuzz_$1" -max_len=65536 -timeout=10 -max_total_time="$seconds" -print_final_stats=1 \
        -artifact_prefix="$work/" "$work/corpus" "$2/fuzz/seeds/$1" >"$work/log" 2>&1 ||
        printf ' failed'
    printf ' %s |' "$(sed -n 's/^stat::average_exec_per_sec: *//p' "$work/log")"
}

date -u '+%Y-%m-%d' && grep -m 1 'model name' /proc/cpuinfo
printf '| target |' && printf ' %s |' "$@" && echo
printf '|---|' && for build; do printf -- '---|'; done && echo
for source in "$fuzz"/*.cpp; do
    name=$(basename "$source" .cpp)
    [ "$name" != replay ] || continue
    # shellcheck disable=SC2016
    printf '| `%s` |' "$name"
    for build; do rate "$name" "$build"; done
    echo
done
