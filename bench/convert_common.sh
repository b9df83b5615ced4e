# shellcheck shell=sh
# Read by the benches of convert, which have set `size`: MiB of the disk they make.
# shellcheck disable=SC2154

make_disk() { # three quarters full
    mkdir files
    budget=$((size * 768))
    for file in /usr/bin/* /usr/lib/*/*.so* /usr/lib/*/*/* /usr/share/doc/*/*; do
        [ -f "$file" ] && [ ! -L "$file" ] && [ -r "$file" ] || continue
        cost=$(($(wc -c <"$file") / 1024 + 4))
        [ "$cost" -lt "$budget" ] || continue
        budget=$((budget - cost))
        cp "$file" "files/$(echo "$file" | tr / _)"
    done
    truncate -s "${size}M" disk.raw
    mke2fs -q -t ext4 -d files disk.raw
    rm -r files
    disk=disk.raw
}

# run FILE COMMAND...: appends "time in 10 us, KiB" to FILE; memory is 0 without GNU time.
run() {
    log=$1
    shift
    echo 0 >memory
    start=$(date +%s%N)
    if [ -x /usr/bin/time ]; then /usr/bin/time -f %M -o memory "$@"; else "$@"; fi
    end=$(date +%s%N)
    echo "$(((end - start) / 10000)) $(tail -n 1 memory)" >>"$log"
}

minimum() { sort -n "$1" | awk 'NR == 1 { print $1 }'; }
median() { sort -n "$1" | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'; }
memory() { awk '$2 > m { m = $2 } END { print m }' "$1"; }
stored() { echo $(($(stat -c %b "$1") * 512)); }
