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
for kind in VMDK:vmdk VDI:vdi QED:qed Parallels:parallels; do
    file=x.${kind#*:}
    qemu-img create -q -f "${kind#*:}" "$file" 4M 2>/dev/null || continue # a qemu without it
    foreign "${kind%:*}" "$file"
done
printf 'LUKS\272\276%1048570s' '' >x.luks # QEMU's own takes its time
foreign LUKS x.luks
truncate -s 1048064 x.fixed && printf %-512s conectix >>x.fixed
fails 'x.fixed: looks like a VHD image, which has a wrong checksum' info x.fixed
fails 'x.fixed: looks like a VHD image' convert x.fixed o
says 0 'file format: raw' info -f raw x.fixed
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
fails "unknown command 'transmogrify'" transmogrify x
check grep -qxF "Try 'vdisk --help'" said
fails "unrecognized option '--foo'" convert --foo
check grep -qxF "Try 'vdisk convert --help'" said
fails "unexpected argument 'b'" info a b
fails "option '-f' requires an argument" info -f
fails "option '--backing-chain' takes no value" info --backing-chain=1 a.qcow2
fails '-m: Value 99 not in range 1 to 16' convert -m 99 a.qcow2 o
for option in '-r 5' -C --image-opts '--object x' --target-image-opts; do
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
for command in info create map convert compare dd measure io rebase commit dump; do
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

# --- io: writing ---------------------------------------------------------------------------------
sound() { # FILE [MODEL]: qemu-img finds nothing wrong, and the same bytes
    qemu-img check -q -f qcow2 "$1" >log 2>&1 || wrong "qemu-img check $1: $(head -n 2 log)"
    [ -z "${2:-}" ] || qemu-img compare -q -f qcow2 -F raw "$1" "$2" || wrong "$1 is not $2"
}
qemu-img create -q -f qcow2 w.qcow2 4M && truncate -s 4M w.raw
head -c 3000 /dev/urandom >pattern
for image in w.qcow2 w.raw; do
    says 0 'wrote 70000/70000 bytes at offset 1000' io -c 'write -P 5 1000 70000' $image
    says 0 '4 KiB, 1 ops; ' io -c 'write -s pattern 2M 4k' $image
    says 0 'wrote 8192/8192 bytes at offset 20000' io -c 'write -z 20000 8k' $image
    says 0 'wrote 3072/3072 bytes at offset 3145728' io -c 'writev -P 9 3M 1k 2k' $image
    says 0 'discard 65536/65536 bytes at offset 65536' io -c 'discard 64k 64k' -c flush $image
    says 0 '' io -c 'write -P 5 64k 5464' $image # what a discard leaves is open
    says 0 '' io -c 'write -z 71000 60072' $image
    says 0 'wrote 1048576/1048576' io -c 'write -q -P 7 1M 1M' -c 'write -zu 1M 1M' $image
done
sound w.qcow2 w.raw
says 0 '131072,1,0:00:00' io -c 'write -cC -P 3 2M 128k' w.qcow2
says 0 '' io -c 'write -P 3 2M 128k' w.raw
sound w.qcow2 w.raw
check grep -q compressed-clusters <<END
$(qemu-img check --output=json w.qcow2)
END
says 1 'write failed: Input/output error' io -c 'write 4M 1' w.qcow2
says 1 'discard failed: Input/output error' io -c 'discard 4M 1' w.qcow2
says 1 'write failed: Invalid argument' io -c 'write -c 512 64k' w.qcow2
says 1 "100 is not a sector-aligned value for 'offset'" io -c 'write -c 100 512' w.qcow2
says 1 '256 is not a valid pattern byte' io -c 'write -P 256 0 1' w.qcow2
says 1 '-u requires -z to be specified' io -c 'write -u 0 1' w.qcow2
says 1 'Only one of -z, -P, and -s can be specified at the same time' io -c 'write -z -P 1 0 1' w.qcow2
says 1 "vdisk: io: 'write': the image is open read-only" io -r -c 'write 0 1' w.qcow2
says 1 "vdisk: io: 'discard': the image is open read-only" io -U -c 'discard 0 1' w.qcow2
says 1 'bad argument count 1 to write, expected at least 2 arguments' io -c 'write 0' w.qcow2
says 0 '' io -c 'truncate 5M' w.raw
check test "$(stat -c %s w.raw)" = 5242880
says 0 '' io -c 'write -P 3 0 64k' -c 'truncate 6M' -c 'write -P 4 5M 64k' -c 'read -P 0 4M 1M' \
    -c 'truncate 64k' -c 'truncate 2M' -c 'read -P 0 64k 1984k' -c 'read -P 3 0 64k' w.qcow2
check test "$(qemu-img info --output=json w.qcow2 | grep virtual-size | tr -dc 0-9)" = 2097152
sound w.qcow2
says 1 'size is not a multiple of 512' io -c 'truncate 1000001' -c 'read -P 3 0 64k' w.qcow2
cp b.qcow2 top.qcow2 && cp a.qcow2 a.before
says 0 '' io -c 'write -P 9 1000 500' -c 'write -z 1M 10k' -c 'read -P 5 1058k 10k' top.qcow2
check cmp a.qcow2 a.before
sound top.qcow2
# An image that was not closed cleanly is repaired first, as QEMU does.
qemu-img create -q -f qcow2 -o lazy_refcounts=on lazy.qcow2 4M
qemu-io -c 'write -P 1 0 1M' -c abort lazy.qcow2 >/dev/null 2>&1
says 0 '' io -c 'write -P 2 1M 64k' -c 'read -P 1 0 1M' lazy.qcow2
sound lazy.qcow2
printf '\002' | dd of=lazy.qcow2 bs=1 seek=79 conv=notrunc 2>/dev/null # the corrupt mark
fails 'lazy.qcow2: qcow2: the image is marked corrupt' io -c 'write 0 1' lazy.qcow2

# --- create --------------------------------------------------------------------------------------
line() { # as qemu-img prints it, and the same image
    rm -f new new.data
    qemu-img create "$@" >theirs.line 2>&1 && qemu-img info --output=json new >theirs.info
    rm -f new new.data
    says 0 '' create "$@"
    check cmp said theirs.line
    case $* in *nothere*) return ;; esac
    case $* in '-f qcow2'*)
        sound new
        qemu-img info --output=json new | grep -v actual-size >ours.info
        grep -v actual-size theirs.info >theirs.json
        cmp ours.info theirs.json >log || wrong "$*: $(diff ours.info theirs.json | head -n 5)"
        ;;
    esac
}
line -f qcow2 new 10M
line -f qcow2 -b a.qcow2 -F qcow2 new
line -f qcow2 -b a.qcow2 -F qcow2 new 9M
line -f qcow2 -u -b nothere -F raw new 1M
line -f qcow2 -o backing_file=a.raw,backing_fmt=raw new
line -f qcow2 -o size=5M new
line -f qcow2 -o compat=0.10 new 1M
line -f qcow2 -o cluster_size=512,refcount_bits=1 new 20M
line -f qcow2 -o cluster_size=2M,extended_l2=on,compression_type=zstd new 1G
line -f qcow2 -o lazy_refcounts=on,preallocation=metadata new 100M
line -f qcow2 -o data_file=new.data new 10M
line -f qcow2 -o data_file=new.data,data_file_raw=on new 10M
line -f qcow2 -o preallocation=falloc new 1M
line -f qcow2 -o preallocation=full,cluster_size=4k new 1M
line -f qcow new 10M
line -f qcow -b a.qcow2 -F qcow2 new
line -f raw new 1000
line new 10M
says 0 'fmt=raw size=1048576 preallocation=falloc' create -o preallocation=falloc new 1M
[ "$(blocks_of new)" -ge 2048 ] || wrong 'falloc keeps no room'
says 0 'cluster_size=<size>' create -f qcow2 -o help
says 0 '' create -q -f qcow2 new 1M
check test ! -s said
fails 'new: Image creation needs a size parameter' create -f qcow2 new
fails 'new: The image size must be specified only once' create -f qcow2 -o size=1M new 1M
fails 'new: Backing file specified without backing format' create -f qcow2 -b a.qcow2 new
fails "new: backing file 'nothere': does not exist" create -f qcow2 -b nothere -F raw new
fails "new: Backing file not supported for file format 'raw'" create -b a.raw -F raw new 1M
fails "new: backing file '$WORK/../x': " create -f qcow2 -b "$WORK/../x" -F raw new 1M
fails 'a.qcow2: is the same file as the input' create -f qcow2 -b b.qcow2 -F qcow2 a.qcow2
fails "-o: there is no option 'foo' for this format" create -f qcow2 -o foo=1 new 1M
fails 'new: Cluster size must be a power of two between 512 and 2048k' create -f qcow2 \
    -o cluster_size=3k new 1M
fails 'new: Refcount width must be a power of two' create -f qcow2 -o refcount_bits=3 new 1M
fails "new: Parameter 'preallocation' does not accept value 'x'" create -o preallocation=x new 1M
fails 'new: encryption is not supported' create -f qcow2 -o encryption=on new 1M
fails 'new: Image size is too small' create -f qcow new 0
fails "unknown format 'foo'" create -f foo new 1M
fails "nowhere/new: the folder 'nowhere' does not exist" create -f qcow2 nowhere/new 1M
sound new # none of the above has touched it

# --- convert to images ---------------------------------------------------------------------------
fails 'Compression not supported for this file format' convert -c a.qcow2 o
fails 'Compression not supported for this file format' convert -c -O qcow2 -o data_file=d a.qcow2 o
fails 'o: Backing file specified without backing format' convert -O qcow2 -B a.qcow2 a.raw o
fails 'a.qcow2: is the same file as the input' convert -O qcow2 b.qcow2 a.qcow2
fails 'a.qcow2: is the same file as the input' convert -n -O qcow2 b.qcow2 a.qcow2
fails '-n: OUT is there already' convert -n -O qcow2 -o compat=1.1 a.qcow2 o
fails '-o size: the size is that of the input' convert -O qcow2 -o size=1M a.qcow2 o
fails 'Must specify image file name' convert -O qcow2 a.qcow2
fails "-o: there is no option 'cluster_size' for this format" convert -o cluster_size=4k a.qcow2 o
qemu-img create -q -f qcow2 small 1M
fails 'output file is smaller than input file' convert -n -O qcow2 a.qcow2 small
head -c 1000448 a.raw >part1 && tail -c +1000449 a.raw >part2
for flags in '' -c; do
    # shellcheck disable=SC2086 # flags
    says 0 '' convert $flags -O qcow2 part1 part2 o
    sound o a.raw
done
says 0 '' convert part1 part2 o
check cmp o a.raw
qemu-img create -q -f qcow2 full.qcow2 4M && qemu-io -c 'write -P 9 0 4M' full.qcow2 >/dev/null
says 0 '' convert -n -O qcow2 a.qcow2 full.qcow2
sound full.qcow2 a.raw
# What is as the backing file shows it is not written.
says 0 '' convert -O qcow2 -B a.qcow2 -F qcow2 a.raw o
sound o a.raw
check test "$(qemu-img map --output=json o | grep -c '"depth": 0')" = 0
[ -z "$(ls -A | grep '^\.o\.')" ] || wrong 'a temporary file is left'

# --- files that a new image must not take --------------------------------------------------------
says 0 '' create -q -f qcow2 -o data_file=in.data in.qcow2 4M
says 0 '' io -c 'write -P 7 0 1M' in.qcow2
ln -sf in.data link.data && ln -sf a.qcow2 link.qcow2
cp in.data in.before && cp a.qcow2 a.before && rm -f own
for name in own ./own "$WORK/own"; do
    fails 'own: cannot be its own data file' create -f qcow2 -o "data_file=$name" own 1M
    fails 'own: cannot be its own data file' convert -O qcow2 -o "data_file=$name" a.raw own
    fails 'own: cannot be its own backing file' create -u -f qcow2 -b "$name" -F qcow2 own 1M
    check test ! -e own
done
ln -sf folder/../own link.own
fails 'own: cannot be its own data file' create -f qcow2 -o data_file=link.own own 1M
says 0 '' create -q -f qcow2 own 1M
fails 'own: cannot be its own backing file' create -f qcow2 -b own -F qcow2 own
fails 'own: cannot be its own backing file' create -f qcow2 -b link.own own
for name in a.qcow2 ./a.qcow2 "$WORK/a.qcow2" link.qcow2; do
    for words in 'convert -O qcow2 b.qcow2' 'convert -O qcow2 -B a.qcow2 -F qcow2 a.raw' \
        'create -f qcow2 -b b.qcow2 -F qcow2' 'create -u -f qcow2 -b a.qcow2 -F qcow2 -o size=1M'; do
        # shellcheck disable=SC2086 # a command line
        says 1 'vdisk: ' $words -o "data_file=$name" new.o
        check test ! -e new.o
    done
done
check cmp a.qcow2 a.before
fails 'link.data: is the same file as the input in.qcow2' convert -O qcow2 -o data_file=link.data \
    in.qcow2 new.o
fails 'in.data: is the same file as the input' convert -n -O qcow2 -f raw in.data in.qcow2
check cmp in.data in.before
check test ! -e new.o
# The data file appears together with its image, or not at all.
echo keep >df && echo keep >kept
fails 'Compression not supported for this file format with an external' convert -c -O qcow2 \
    -o data_file=df a.qcow2 o
qemu-img create -q -f qcow2 bad.qcow2 4M && qemu-io -c 'write 0 1M' bad.qcow2 >/dev/null
printf '\200\000\377\377\377\000\000\000' | dd of=bad.qcow2 bs=1 seek=262200 conv=notrunc 2>/dev/null
says 1 '' convert -O qcow2 -o data_file=df bad.qcow2 kept
check grep -qx keep df
check grep -qx keep kept
says 0 '' convert -O qcow2 -o data_file=df,data_file_raw=on a.qcow2 kept
sound kept a.raw
check cmp df a.raw
says 0 'cluster_size=<size>' convert -O qcow2 -o help
says 0 'preallocation=<str>' convert -o help
# What is left after a signal: nothing.
ended() { # CODE SIGNAL PATTERN ARGUMENT...: ended by SIGNAL once a file PATTERN has some room
    code=$1 signal=$2 pattern=$3 && shift 3
    "$TOOL" "$@" >said 2>&1 </dev/null &
    tool=$!
    for _ in $(seq 500); do
        # shellcheck disable=SC2086,SC2012 # a pattern
        [ "$(ls -s $pattern 2>/dev/null | awk '{ n += $1 } END { print n + 0 }')" -lt 9000 ] || break
        sleep 0.01
    done
    kill "-$signal" $tool 2>/dev/null
    wait $tool
    got=$?
    [ $got = "$code" ] || wrong "exit $got, not $code after SIG$signal: vdisk $*: $(cat said)"
    [ -z "$(ls -A | grep '^\.big')" ] || wrong "a temporary file is left: vdisk $*"
    rm -f .big*
}
set +m
ended 143 TERM '.big*' create -q -o preallocation=full big 64G
ended 143 TERM '.big*' create -q -f qcow2 -o preallocation=full big 64G
ended 143 TERM '.big*' create -q -f qcow2 -o preallocation=full,data_file=big.data big 64G
ended 143 TERM '.big*' create -q -f qcow2 -o preallocation=metadata,cluster_size=512 big 64G
check test ! -e big
check test ! -e big.data
truncate -s 1M grown && says 0 '' create -q -f qcow2 grown.q 1M && says 0 '' io -c 'write -P 3 0 1M' grown.q
ended 143 TERM grown resize -f raw --preallocation=full grown 64G
check test "$(stat -c %s grown)" = 1048576
ended 143 TERM grown.q resize --preallocation=full grown.q 64G
says 0 'virtual size: 1 MiB' info grown.q
says 0 'read 1048576' io -c 'read -P 3 0 1M' grown.q
sound grown.q
[ "$(blocks_of grown.q)" -lt 8192 ] || wrong 'a resize that was ended keeps its room'
# Room that is not needed any longer is given back.
says 0 '' create -q -f qcow2 room.q 64M
says 0 '' io -c 'write -P 1 0 64M' room.q
says 0 '' resize -q --shrink room.q 4M
sound room.q
says 0 'read 4194304' io -c 'read -P 1 0 4M' room.q
fallocate -p -l 4096 full 2>/dev/null && {
    [ "$(blocks_of room.q)" -lt 12288 ] || wrong "a smaller image takes $(blocks_of room.q) blocks"
    says 0 '' resize -q room.q 32M && says 0 '' io -c 'write -P 2 0 32M' room.q
    says 0 '' amend -o size=4M room.q
    [ "$(blocks_of room.q)" -lt 12288 ] || wrong "amend leaves $(blocks_of room.q) blocks"
    says 0 '' snapshot -c s room.q && says 0 '' io -c 'write -P 3 0 4M' room.q
    says 0 '' snapshot -d s room.q
    sound room.q
    says 0 'read 4194304' io -c 'read -P 3 0 4M' room.q
    [ "$(blocks_of room.q)" -lt 12288 ] || wrong "snapshot -d leaves $(blocks_of room.q) blocks"
}
# What the user wrote is what is told.
fails "size: '8E' is too large" create new 8E
fails "size: '99999999999999999999' is too large" create new 99999999999999999999
fails "size: '8X' is not a size" create new 8X
fails '-o cluster_size: the value is missing' create -f qcow2 -o cluster_size= new 1M
fails '-o cluster_size: the value is missing' create -f qcow2 -o cluster_size new 1M
fails 'new: Cluster size must be a power of two between 512 and 2048k, not 3072' create -f qcow2 \
    -o cluster_size=3k new 1M
fails 'new: refcount_bits=8: compat=0.10 has refcounts of 16 bits only' create -f qcow2 \
    -o compat=0.10,refcount_bits=8 new 1M
fails 'new: cluster_size=4096: extended_l2 needs clusters of at least 16384' create -f qcow2 \
    -o cluster_size=4k,extended_l2=on new 1M
fails "new: Backing file not supported for file format 'raw'" create -f raw -b a.raw new

# --- rebase and commit ---------------------------------------------------------------------------
chain() { # [OPTIONS]: base.q <- mid.q <- top.q, and the bytes of the last
    qemu-img create -q -f qcow2 base.q 3M && qemu-io -c 'write -P 1 0 3M' base.q >/dev/null
    qemu-img create -q -f qcow2 -b base.q -F qcow2 mid.q 4M
    qemu-io -c 'write -P 2 0 1M' -c 'write -z 2M 64k' -c 'write -P 3 3500k 70k' mid.q >/dev/null
    qemu-img create -q -f qcow2 ${1:+-o $1} -b mid.q -F qcow2 top.q
    qemu-io -c 'write -P 4 1M 100k' -c 'write -P 5 100k 10' -c 'write -z 300k 200k' top.q >/dev/null
    qemu-img convert -O raw top.q top.raw
}
for flags in '' extended_l2=on cluster_size=512 compat=0.10; do
    for new in base.q mid.q a.qcow2 ''; do
        chain "$flags"
        says 0 '' rebase -b "$new" ${new:+-F qcow2} top.q
        sound top.q top.raw
        check test "$(qemu-img info top.q | sed -n 's/^backing file: //p')" = "$new"
    done
    for words in '' -d '-b base.q' '-b mid.q'; do
        chain "$flags"
        mkdir -p qemu && cp base.q mid.q top.q qemu
        # shellcheck disable=SC2086
        says 0 'Image committed.' commit $words top.q
        # shellcheck disable=SC2086
        (cd qemu && qemu-img commit -q $words top.q)
        for file in base.q mid.q top.q; do
            sound $file
            check qemu-img compare -q $file qemu/$file
        done
        [ "$words" ] || check test "$(qemu-img map --output=json top.q | grep -c '"depth": 0')" = 0
    done
done
# An image that stands alone shows zeros where its new backing file has something.
for flags in '' extended_l2=on compat=0.10; do
    qemu-img create -q -f qcow2 ${flags:+-o $flags} alone.q 4M
    qemu-io -c 'write -P 7 100k 10' -c 'write -P 8 3M 100k' alone.q >/dev/null
    qemu-img convert -O raw alone.q alone.raw
    says 0 '' rebase -b base.q -F qcow2 alone.q
    sound alone.q alone.raw
done
# The base gets another L1 table, and places that were free are read by nobody any more.
qemu-img create -q -f qcow2 -o cluster_size=4k full.q 1G && qemu-io -c 'write -P 1 512M 64k' full.q >/dev/null
qemu-img create -q -f qcow2 -b full.q -F qcow2 longer.q 2G
qemu-io -c 'write -P 170 0 64k' -c 'write -P 3 1500M 70k' longer.q >/dev/null
mkdir -p qemu && cp --sparse=always full.q longer.q qemu
says 0 'Image committed.' commit longer.q
(cd qemu && qemu-img commit -q longer.q)
sound full.q && check qemu-img compare -q full.q qemu/full.q
chain
says 0 '' rebase -u -b gone -F raw top.q
check test "$(qemu-img info top.q | sed -n 's/^backing file: //p')" = gone
fails "top.q: backing file 'gone': does not exist" rebase -b base.q -F qcow2 top.q
fails 'Must specify backing file (-b) or use unsafe mode (-u)' rebase top.q
fails "Could not change the backing file to 'base.q': backing format must be specified" rebase \
    -b base.q top.q
fails "a.raw: Could not change the backing file to 'base.q': Operation not supported" rebase -f raw \
    -b base.q -F qcow2 a.raw
fails 'base.q: cannot be its own backing file' rebase -b base.q -F qcow2 base.q
fails 'Image does not have a backing file' commit base.q
chain
fails "Did not find 'foo' in the backing chain of 'top.q'" commit -b foo top.q
truncate -s 1M short.raw && qemu-img create -q -f qcow2 -b short.raw -F raw over.q 3M
qemu-io -c 'write -P 1 1000k 2M' over.q >/dev/null && qemu-img convert -O raw over.q over.raw
says 0 'Image committed.' commit over.q
check cmp short.raw over.raw
qemu-img create -q -f qcow2 v1base 2M && qemu-img create -q -f qcow -b v1base -F qcow2 v1
qemu-io -f qcow -c 'write -P 1 1M 100k' v1 >/dev/null
says 0 'Image committed.' commit --backing-format qcow2 v1
check qemu-io -c 'read -P 1 1M 100k' v1base
says 0 'read 102400' io -r --backing-format qcow2 -c 'read -P 1 1M 100k' v1

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
    fails 'b.qcow2: Failed to get "write" lock' io -c 'write 0 1' b.qcow2
    fails 'b.qcow2: Failed to get "write" lock' rebase -u -b x -F raw b.qcow2
    fails 'b.qcow2: Failed to get shared "write" lock' commit b.qcow2
    fails 'b.qcow2: Failed to get "write" lock' create -f qcow2 b.qcow2 1M
    says 0 'file format: qcow2' info -U b.qcow2
    says 0 '' convert -U c.qcow2 o
    says 0 '' map a.qcow2
fi
exec 3>&-
wait
says 0 '' map b.qcow2
"$TOOL" io b.qcow2 <commands >/dev/null 2>&1 & # the other way round
exec 3>commands
for _ in $(seq 50); do
    qemu-img info b.qcow2 >/dev/null 2>&1 || break
    sleep 0.2
done
if ! qemu-img info b.qcow2 >seen 2>&1; then
    check grep -q 'Failed to get shared "write" lock' seen
    qemu-io -f qcow2 -c 'write 0 1' b.qcow2 >seen 2>&1 && wrong 'QEMU writes while vdisk does'
    check grep -q 'Failed to get "write" lock' seen
    fails 'b.qcow2: Failed to get "write" lock' io -c 'write 0 1' b.qcow2
    fails 'b.qcow2: Failed to get shared "write" lock' map b.qcow2
    says 0 '' map -U b.qcow2
else
    wrong 'io locks nothing'
fi
exec 3>&-
wait
says 0 '' map b.qcow2
qemu-io -r -f qcow2 b.qcow2 <commands >prompt 2>&1 & # one who only reads
exec 3>commands
for _ in 1 2 3 4 5 6 7 8 9; do
    [ ! -s prompt ] || break # it has opened the image
    sleep 0.2
done
fails 'b.qcow2: Failed to get "write" lock' io -c 'write 0 1' b.qcow2
says 0 '' io -c 'read 0 1' b.qcow2
exec 3>&-
wait

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
