# What tool_vhd.sh and tool_vhdx.sh have in common; they set TOOL, FORMAT (as QEMU calls it), `here`.
# shellcheck shell=sh
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM
cd "$WORK" || exit 1
failed=0

wrong() { echo "FAIL $*" && failed=$((failed + 1)); }
# ok ARGUMENT...: the tool succeeds, silently on standard error
ok() {
    "$TOOL" "$@" >said 2>told </dev/null || wrong "exit $?: $*: $(head -n 3 told)"
    [ ! -s told ] || wrong "complains: $*: $(head -n 3 told)"
}
# run CODE TEXT ARGUMENT...: that exit code, and TEXT is said
run() {
    code=$1 text=$2 && shift 2
    "$TOOL" "$@" >said 2>told </dev/null
    got=$?
    cat told >>said
    [ $got = "$code" ] || wrong "exit $got, not $code: $*: $(head -n 3 said)"
    grep -qF -e "$text" said || wrong "'$text' is not said: $*: $(head -n 3 said)"
}
# refuses FILE TEXT ARGUMENT...: in one line, and FILE stays as it is
refuses() {
    file=$1 text=$2 && shift 2
    before=$(cat "$file" 2>&1 | cksum)
    run 1 "$text" "$@"
    [ "$(grep -vc "^Try 'vdisk" told)" = 1 ] || wrong "more than a line: $*"
    [ "$(cat "$file" 2>&1 | cksum)" = "$before" ] || wrong "refused, but changed: $*"
}
says() { grep -qF -e "$1" said || wrong "'$1' is not said: $(head -n 5 said)"; }
bytes() { stat -c %s "$1"; }
poke() { # FILE OFFSET OCTAL; an offset below 0 counts from the end
    at=$2
    [ "$at" -ge 0 ] || at=$(($(bytes "$1") + at))
    # shellcheck disable=SC2059 # the bytes
    printf "$3" | dd of="$1" bs=1 seek="$at" conv=notrunc 2>/dev/null
}
# holds IMAGE RAW: the bytes of RAW, and sound
holds() {
    run 0 'No errors were found' check "$1"
    run 0 'Images are identical.' compare -F raw "$1" "$2"
}
# theirs IMAGE RAW: so says QEMU, too
theirs() { qemu-img compare -q -f "$FORMAT" -F raw "$1" "$2" || wrong "QEMU reads $1 otherwise"; }
like_theirs() { # COMMAND IMAGE
    "$TOOL" "$1" --output=json "$2" >ours.json &&
        qemu-img "$1" -f "$FORMAT" --output=json "$2" >theirs.json
    python3 "$here/json_equal.py" ours.json theirs.json >log || wrong "$1 of $2: $(head -n 3 log)"
}
fact() { # NAME IMAGE
    "$TOOL" info --output=json "$2" | sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p"
}
is() { [ "$1" = "$2" ] || wrong "$3: '$1', not '$2'"; }
apply() { # COMMAND... FILE, which reads -c arguments
    while IFS= read -r line; do set -- "$@" -c "$line"; done
    "$@" >log || wrong "$*: $(head -n 3 log)"
}
finish() {
    [ $failed = 0 ] && echo 'all is as it should be' && exit 0
    echo "$failed failed"
    exit 1
}
