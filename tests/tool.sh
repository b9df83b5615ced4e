#!/bin/sh
# What the tool says and does where it is used wrongly, or on files it cannot read.
#
#   tool.sh TOOL    TOOL: the vdisk tool
#
# Every check is a line; `says` and `fails` run the tool, the rest is sh.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=need.sh
. "$here/need.sh"
need qemu-img qemu-io python3 cmp truncate stat
TOOL=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM
cd "$WORK" || exit 1
failed=0

wrong() { echo "FAIL $*" && failed=$((failed + 1)); }
# says CODE TEXT ARGUMENT...: the exit code, and TEXT somewhere in what is printed
says() {
    code=$1 text=$2 && shift 2
    "$TOOL" "$@" >said 2>&1 </dev/null
    got=$?
    [ $got = "$code" ] || wrong "exit $got, not $code: vdisk $*: $(head -n 3 said)"
    [ -z "$text" ] || grep -qF -e "$text" said || wrong "'$text' is not said: vdisk $*: $(head -n 3 said)"
}
# fails TEXT ARGUMENT...: exit code 1 and the one line "vdisk: TEXT"
fails() {
    text=$1 && shift
    says 1 "vdisk: $text" "$@"
    [ "$(grep -vc "^Try 'vdisk" said)" = 1 ] || wrong "more than a line: vdisk $*"
}
check() { "$@" >log 2>&1 || wrong "$*: $(head -n 3 log)"; }
blocks_of() { stat -c %b "$1"; }

qemu-img create -q -f qcow2 a.qcow2 4M
qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2
qemu-img create -q -f qcow2 -b b.qcow2 -F qcow2 c.qcow2
qemu-io -f qcow2 -c 'write -P 5 1M 64k' a.qcow2 >/dev/null
qemu-img convert -O raw a.qcow2 a.raw

# --- files that are not raw, though no format claims them ----------------------------------------
foreign() { # NAME FILE
    fails "$2: looks like a $1 image, which is not supported (-f raw reads it as it is)" info "$2"
    fails "$2: looks like a $1 image" convert "$2" o
    says 2 "vdisk: $2: looks like a $1 image" compare "$2" a.raw
    says 0 'file format: raw' info -f raw "$2"
}
for kind in VMDK:vmdk VDI:vdi VHDX:vhdx VHD:vpc QED:qed Parallels:parallels; do
    file=x.${kind#*:}
    qemu-img create -q -f "${kind#*:}" "$file" 4M 2>/dev/null || continue # a qemu without it
    foreign "${kind%:*}" "$file"
done
printf 'LUKS\272\276%1048570s' '' >x.luks # QEMU's own takes its time
foreign LUKS x.luks
truncate -s 1048064 x.fixed && printf %-512s conectix >>x.fixed
foreign VHD x.fixed
for length in 4 40 71; do
    head -c $length a.qcow2 >begun
    fails 'begun: looks like a qcow2 image, which is cut short' info begun
    fails 'begun: looks like a qcow2 image, which is cut short' convert begun o
done
# A backing file of which nothing is said: the extension that says it becomes the end of the list.
qemu-img create -q -u -f qcow2 -b x.fixed -F raw guess.qcow2 1M
printf '\000\000\000\000' | dd of=guess.qcow2 bs=1 seek=112 conv=notrunc 2>/dev/null
fails "guess.qcow2: backing file 'x.fixed': looks like a VHD image" convert guess.qcow2 o
says 0 '' convert --backing-format raw guess.qcow2 o

# --- the command line ----------------------------------------------------------------------------
fails "unknown format ''" convert -f '' a.qcow2 o
fails "unknown format ''" convert -O '' a.qcow2 o
fails "unknown format ''" map --backing-format '' a.qcow2
fails "unknown format 'foo'" info -f foo a.qcow2
fails "unknown format 'foo'" convert -O foo a.qcow2 o
says 2 "unknown format 'foo'" compare -F foo a.qcow2 a.raw
fails "can't find snapshot ''" convert -l '' a.qcow2 o
fails "can't find snapshot ''" measure -l '' a.qcow2
fails "sparse size: '' is not a size" convert -S '' a.qcow2 o
fails "max length: '' is not a size" map -l '' a.qcow2
fails "'': the name of a file is missing" convert a.qcow2 ''
fails "'': the name of a file is missing" info ''
fails "unknown command 'create'" create x
check grep -qxF "Try 'vdisk --help'" said
fails "unrecognized option '--foo'" convert --foo
check grep -qxF "Try 'vdisk convert --help'" said
fails "unexpected argument 'b'" info a b
fails "option '-f' requires an argument" info -f
fails "option '--backing-chain' takes no value" info --backing-chain=1 a.qcow2
fails '-m: Value 99 not in range 1 to 16' convert -m 99 a.qcow2 o
for option in '-r 5' -C --salvage --image-opts '-o size=5' '-B x' --bitmaps '--object x' \
    --target-image-opts; do
    # shellcheck disable=SC2086 # an option and its value
    fails "${option%% *} is not supported: " convert $option a.qcow2 o
done
says 0 'file format: qcow2' info -f raw -f qcow2 a.qcow2
says 0 '' convert -S 4k -S 0 a.qcow2 o
[ "$(blocks_of o)" -ge 8192 ] || wrong 'the last -S does not count'
says 0 '' dd 'of=[o,p]' if=a.qcow2
check cmp '[o,p]' a.raw
fails "unrecognized operand '[if=a.qcow2,of=o]'" dd '[if=a.qcow2,of=o]'
cp a.qcow2 map
says 0 'file format: qcow2' info map
for command in info map convert compare dd measure io dump; do
    for help in -h --help; do says 0 "Usage: vdisk $command" $command $help; done
done
if [ -w /dev/full ]; then
    for words in 'info a.qcow2' 'map a.qcow2' 'map --output=json a.qcow2' 'measure a.qcow2' \
        'dump a.qcow2' --help; do
        # shellcheck disable=SC2086 # a command line
        "$TOOL" $words >/dev/full 2>said && wrong "success on a full device: vdisk $words"
    done
fi

# --- names ---------------------------------------------------------------------------------------
fails 'nbd://x: protocols are not supported' info nbd://x
fails 'json:{}: protocols are not supported' info 'json:{}'
fails 'nbd://x: protocols are not supported' convert a.qcow2 nbd://x
says 0 'image: a.qcow2' info file:a.qcow2
says 0 '' convert file:a.qcow2 file:o
check cmp o a.raw
mkdir folder
fails 'folder: is a directory' info folder
check test "$(cat said)" = 'vdisk: folder: is a directory'
mv a.qcow2 away
fails "b.qcow2: backing file 'a.qcow2': does not exist" convert b.qcow2 o
fails "b.qcow2: backing file 'a.qcow2': does not exist" info --backing-chain c.qcow2
mv away a.qcow2
qemu-img create -q -u -f qcow2 -b nbd://x -F raw n.qcow2 1M
fails "n.qcow2: backing file 'nbd://x': protocols are not supported" map n.qcow2

# --- what is written -----------------------------------------------------------------------------
head -c 4M /dev/urandom >full && fallocate -p -l 4096 full 2>/dev/null && {
    says 0 '' convert -n a.qcow2 full
    check cmp full a.raw
    [ "$(blocks_of full)" -lt 1024 ] || wrong '-n fills the target'
}
truncate -s 4M long && printf tail >>long
says 0 '' convert -n a.qcow2 long
check cmp -n 4194304 long a.raw
check test "$(tail -c 4 long)" = tail
ln -s folder/new dangling
says 0 '' convert a.qcow2 dangling
check cmp folder/new a.raw
check test -L dangling
fails "nowhere/o: the folder 'nowhere' does not exist" convert a.qcow2 nowhere/o
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    touch owned && chown 1234:4321 owned && chmod 2750 owned
    says 0 '' convert a.qcow2 owned
    check test "$(stat -c %u:%g:%a owned)" = 1234:4321:2750
    touch folder/theirs && chmod 666 folder/theirs && chmod 755 . folder && cp "$TOOL" vdisk
    setpriv --reuid 65534 --clear-groups ./vdisk convert a.qcow2 folder/theirs 2>said &&
        wrong 'a file is made in a folder that is not writable'
    check grep -qF "the folder 'folder' must be writable" said
fi

# --- images in use -------------------------------------------------------------------------------
mkfifo commands
qemu-io -f qcow2 b.qcow2 <commands >/dev/null 2>&1 &
exec 3>commands
for _ in 1 2 3 4 5 6 7 8 9; do
    qemu-img info b.qcow2 >/dev/null 2>&1 || break # it sees the lock
    sleep 0.2
done
if ! qemu-img info b.qcow2 >/dev/null 2>&1; then
    fails 'b.qcow2: Failed to get shared "write" lock' info b.qcow2
    fails "c.qcow2: backing file 'b.qcow2': Failed to get shared \"write\" lock" convert c.qcow2 o
    fails 'b.qcow2: Failed to get "write" lock' convert a.qcow2 b.qcow2
    says 0 'file format: qcow2' info -U b.qcow2
    says 0 '' convert -U c.qcow2 o
    says 0 '' map a.qcow2
fi
exec 3>&-
wait
says 0 '' map b.qcow2

# --- json_equal.py takes what a newer qemu-img adds ----------------------------------------------
echo '[{"start": 0, "length": 8, "depth": 0, "data": true}]' >ours
echo '[{"start": 0, "length": 4, "depth": 0, "data": true, "compressed": true, "new": 1},
       {"start": 4, "length": 4, "depth": 0, "data": true, "compressed": false, "new": 1}]' >theirs
check python3 "$here/json_equal.py" ours theirs
echo '[{"start": 0, "length": 8, "depth": 0, "zero": false, "data": true}]' >theirs
check test "$(python3 "$here/json_equal.py" ours theirs)" = '[0].zero is missing'

# --- the demonstration, with a build that is there already ---------------------------------------
if command -v setsid mke2fs >/dev/null || [ -x /sbin/mke2fs ]; then
    mkdir -p root/examples root/tests root/build/release/bin root/bin tmp
    cp "$here/../examples/demo.sh" root/examples
    cp "$TOOL" root/build/release/bin/vdisk
    echo 'exit 0' >root/tests/packages.sh
    printf '#!/bin/sh\n' >root/bin/cmake && chmod +x root/bin/cmake
    for size in 63 0 0100 x -1 1.5 99999999999; do
        sh root/examples/demo.sh $size >said 2>&1
        check grep -qF 'usage: sh examples/demo.sh [MiB]' said
    done
    for pause in 0 0.3; do
        PATH=$PWD/root/bin:$PATH TMPDIR=$PWD/tmp sh root/examples/demo.sh 64 >demo.log 2>&1 &
        demo=$!
        until [ "$(ls tmp)" ] || ! kill -0 $demo 2>/dev/null; do :; done
        sleep $pause
        kill -TERM $demo
        wait $demo
        check test $? = 143
        check test -z "$(ls tmp)"
        ! grep -q arithmetic demo.log || wrong "the demonstration: $(grep arithmetic demo.log)"
    done
fi

[ $failed = 0 ] || { echo "$failed failed" && exit 1; }
