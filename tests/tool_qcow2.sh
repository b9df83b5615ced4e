#!/bin/sh
# check, snapshot, resize, amend, bitmap and convert of qcow2 by the tool, beside those of qemu-img.
#
#   tool_qcow2.sh TOOL    TOOL: the vdisk tool
#
# The folders ours/ and theirs/ begin with the same files. `both` runs a command line in either and
# compares exit codes, `same` what became of an image.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=need.sh
. "$here/need.sh"
need qemu-img qemu-io python3 cmp diff stat truncate
TOOL=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM
cd "$WORK" || exit 1
mkdir ours theirs
failed=0

wrong() { echo "FAIL $*" && failed=$((failed + 1)); }
# make COMMAND...: files that both start from
make() { (cd ours && "$@" >/dev/null) && cp -f --sparse=always ours/* theirs; }
# both ARGUMENT...: the same exit code; where it is not 0, nothing of ours has changed
both() {
    before=$(cat ours/* | cksum)
    last=$*
    (cd ours && "$TOOL" "$@") >said 2>&1 </dev/null
    got=$?
    (cd theirs && qemu-img "$@") >told 2>&1 </dev/null
    wanted=$?
    [ "$got" = "$wanted" ] || wrong "exit $got, not $wanted: $*: $(head -n 3 said told)"
    [ $got = 0 ] || [ "$(cat ours/* | cksum)" = "$before" ] || wrong "refused, but changed: $*"
}
# refuses TEXT ARGUMENT...: both refuse, and ours says TEXT in one line
refuses() {
    text=$1 && shift
    both "$@"
    [ $got = 1 ] || wrong "exit $got, not 1: $*"
    grep -qF -e "$text" said || wrong "'$text' is not said: $*: $(head -n 3 said)"
    [ "$(grep -vc "^Try 'vdisk" said)" = 1 ] || wrong "more than a line: $*"
}
# alone CODE TEXT ARGUMENT...: where qemu-img does otherwise
alone() {
    code=$1 text=$2 && shift 2
    (cd ours && "$TOOL" "$@") >said 2>&1 </dev/null
    got=$?
    [ $got = "$code" ] || wrong "exit $got, not $code: $*: $(head -n 3 said)"
    grep -qF -e "$text" said || wrong "'$text' is not said: $*: $(head -n 3 said)"
}
facts() { qemu-img info "$1" | grep -v '^disk size' | sed 's/ [0-9-]\{10\} [0-9:]\{8\}.*//; /^image:/d'; }
# same IMAGE: sound, and like theirs in what it is and what it holds
same() {
    (cd ours && qemu-img check -q "$1") || wrong "$1 is not sound after: $last"
    checked "$1"
    for side in ours theirs; do
        (cd $side && facts "$1" >../$side.facts && qemu-img convert -O raw "$1" ../$side.raw)
    done
    cmp -s ours.raw theirs.raw || wrong "the contents of $1 differ after: $last"
    cmp -s ours.facts theirs.facts ||
        wrong "$1 is described otherwise after: $last: $(diff ours.facts theirs.facts | head -n 4)"
}
# checked IMAGE [OPTION...]: both tools judge ours alike, in words and in JSON
checked() {
    file=$1 && shift
    for output in json human; do
        (cd ours && "$TOOL" check "$@" --output=$output "$file") >said 2>said.err
        got=$?
        (cd ours && qemu-img check "$@" --output=$output "$file") >told 2>told.err
        wanted=$?
        [ "$got" = "$wanted" ] || wrong "check $* of $file: exit $got, not $wanted: $(head -n 3 said.err)"
        if [ $output = human ]; then
            cmp -s said told || wrong "check $* of $file: $(diff said told | head -n 4)"
        else
            equal "check $* of $file"
        fi
    done
}
equal() {
    python3 "$here/json_equal.py" --both said told >differences || wrong "$1: $(cat differences)"
}
# repaired IMAGE HOW [rebuilt]: on copies, as a repair changes what is checked. Where refcounts are
# built anew nothing is answered with -r leaks, and qemu-img puts tables elsewhere.
repaired() {
    cp --sparse=always "ours/$1" "theirs/$1"
    (cd ours && "$TOOL" check -r "$2" --output=json "$1") >said 2>/dev/null
    got=$?
    (cd theirs && qemu-img check -r "$2" --output=json "$1") >told 2>/dev/null
    wanted=$?
    [ "$got" = "$wanted" ] || wrong "check -r $2 of $1: exit $got, not $wanted"
    if [ -z "${3:-}" ]; then
        equal "check -r $2 of $1"
    elif [ "$2" = all ]; then
        for side in said told; do grep -o '".*-fixed": [0-9]*' $side | sort >$side.fixed; done
        cmp -s said.fixed told.fixed || wrong "mended in $1: $(diff said.fixed told.fixed)"
    fi
    checked "$1"
    [ "$2" = leaks ] || qemu-img compare -q "ours/$1" "theirs/$1" || wrong "-r $2 of $1: contents"
}
poke() { # FILE OFFSET OCTAL
    # shellcheck disable=SC2059 # the bytes
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
expect() { "$@" >log 2>&1 || wrong "$*: $(head -n 3 log)"; }

make qemu-img create -q -f qcow2 a 8M
make qemu-img create -q -f qcow2 empty 8M
make qemu-img create -q -f raw r 1M
make qemu-img create -q -f qcow q 1M
make qemu-io -f qcow2 -c 'write -P 1 0 1M' -c 'write -P 2 3M 130k' -c 'write -z 5M 64k' a

# --- check ---------------------------------------------------------------------------------------
checked a
checked empty
both check r && [ $got = 63 ] || wrong "check of a raw image: $got"
both check q
both check -q a && [ ! -s said ] || wrong 'check -q speaks'
both check nofile
both check -r some a
both check --output=text a
both check
both check -f raw a
alone 0 'Usage: vdisk check' check --help
cp ours/a ours/leak && truncate -s 2M ours/leak && poke ours/leak $((0x20000 + 2 * 30)) '\000\001'
checked leak
expect grep -qF 'leak: refcount is too high (value 0x1, should be 0x0, at offset 0x1e0000)' said.err
cp ours/a ours/bad && poke ours/bad $((0x20000 + 2 * 6)) '\000\000'
checked bad
expect grep -q '^corruption: ' said.err
truncate -s 2M ours/bad && poke ours/bad $((0x20000 + 2 * 31)) '\000\001'
checked bad
(cd ours && qemu-img create -q -f qcow2 -o lazy_refcounts=on dirty 8M &&
    sh -c "qemu-io -f qcow2 -c 'write -P 3 0 300k' -c flush -c 'sigraise 9' dirty; :") >/dev/null 2>&1
checked dirty
for change in "snapshot -c s" "resize" "amend -o lazy_refcounts=off" "bitmap --add"; do
    cp ours/dirty ours/mended
    last="$change"
    case $change in resize) set -- mended 9M ;; bitmap*) set -- mended b ;; *) set -- mended ;; esac
    # shellcheck disable=SC2086
    (cd ours && "$TOOL" $change "$@" >/dev/null) || wrong "$change of a dirty image"
    (cd ours && qemu-img check -q mended) || wrong "a dirty image is not sound after $change"
done
rm ours/mended
(cd ours && cp a low && qemu-img snapshot -c s low && poke low $((0x20000 + 2 * 6)) '\000\001')
checked low
(cd ours && qemu-img convert -c -O qcow2 -o cluster_size=4k a packed)
checked packed
(cd ours && qemu-img create -q -f qcow2 -o extended_l2=on sub 8M &&
    qemu-io -f qcow2 -c 'write 3k 1k' -c 'write 1M 70k' sub >/dev/null)
checked sub
(cd ours && qemu-img create -q -f qcow2 -b sub -F qcow2 over)
checked over
(cd ours && qemu-img create -q -f qcow2 -o data_file=df outside 8M &&
    qemu-io -f qcow2 -c 'write 1M 70k' outside >/dev/null)
checked outside
for how in leaks all; do
    for image in leak low bad dirty; do
        cp ours/$image ours/$image.$how
        repaired $image.$how $how "$([ $image = leak ] || [ $image = low ] || echo rebuilt)"
    done
done
cp ours/bad ours/bad.said
(cd ours && "$TOOL" check -r all bad.said) >said 2>said.err
expect grep -qx 'Double checking the fixed image now...' said
expect grep -q '^corruption: ' said.err
rm -f ours/leak* ours/low* ours/bad* ours/dirty* ours/packed ours/sub ours/over ours/outside ours/df theirs/*
cp ours/* theirs

# --- snapshot ------------------------------------------------------------------------------------
both snapshot a
both snapshot r
both snapshot q
both snapshot -c one a
same a
make_both() { for side in ours theirs; do (cd $side && "$@" >/dev/null); done; }
make_both qemu-io -f qcow2 -c 'write -P 7 500k 1M' -c 'discard 3M 64k' a
both snapshot -c two a
both snapshot -c 1 a
make_both qemu-io -f qcow2 -c 'write -P 8 0 100k' a
same a
both snapshot -l a
# Ours knows that there is no instruction count; QEMU 7.2 stores 0.
clean() { sed 's/[0-9-]\{10\} [0-9:]\{8\}/DATE/; s/ *0*$//' "$1"; }
clean said >said.list && clean told >told.list
expect cmp said.list told.list
for name in one two; do
    for side in ours theirs; do
        qemu-img convert -q -l $name -O raw $side/a $side.raw
    done
    expect cmp ours.raw theirs.raw
done
rm -f ./*.raw
refuses "a: Could not delete snapshot '2': snapshot not found" snapshot -d 2 a
both snapshot -d 1 a # by name: the third, not the first
same a
both snapshot -a 1 a # by id: the first
same a
both snapshot -a two a
same a
both snapshot -d one a
same a
both snapshot -d two a
same a
refuses "Could not apply snapshot 'nope': snapshot not found" snapshot -a nope a
refuses "Could not delete snapshot 'nope': snapshot not found" snapshot -d nope a
refuses "r: Could not create snapshot 'x': raw images have no snapshots" snapshot -c x r
refuses "qcow images have no snapshots" snapshot -a x q
refuses 'qcow images have no snapshots' snapshot -d x q
refuses "Cannot mix '-l', '-a', '-c', '-d'" snapshot -l -c x a
refuses "Cannot mix '-l', '-a', '-c', '-d'" snapshot -c x -c y a
refuses '-U is for images that are only read' snapshot -U -c x a
both snapshot
both snapshot -c '' a
same a
both snapshot -d '' a
alone 0 'Usage: vdisk snapshot' snapshot --help

# --- resize --------------------------------------------------------------------------------------
for size in 16M +1M +512 20000k; do both resize a $size && same a; done
for size in -1M 3M 1536; do both resize --shrink a $size && same a; done
both resize a 8M
# Of what qemu-img cuts off, the rest of the cluster comes back.
(cd ours && qemu-img convert -O raw a ../ours.raw)
truncate -s 1536 ours.raw && truncate -s 8M ours.raw
expect qemu-img compare -f qcow2 -F raw ours/a ours.raw
checked a
cp ours/a theirs/a
both resize -q a 8M && [ ! -s said ] || wrong 'resize -q speaks'
# So is it where the cluster is compressed. The disk may end inside one, too.
make sh -c "yes | head -c 256k >plain && qemu-img convert -c -O qcow2 plain packed"
both resize --shrink packed 96k && same packed
alone 0 'Image resized.' resize packed 128k
(cd ours && qemu-img convert -O raw packed ../ours.raw) && dd if=ours/plain of=packed.raw bs=96k count=1 2>told
truncate -s 128k packed.raw
expect cmp ours.raw packed.raw
rm ours/p* theirs/p*
refuses 'Use the --shrink option' resize a -1M
refuses 'New image size must be positive' resize a 0
refuses 'New image size must be positive' resize --shrink a -8M
refuses 'New image size must be positive' resize --shrink a -80M
refuses 'size is not a multiple of 512' resize a 9000001
refuses "size: 'x' is not a size" resize a x
refuses "size: '' is not a size" resize a +
refuses 'Preallocation can only be used for growing images' resize --preallocation full a 8M
refuses "Invalid preallocation mode 'foo'" resize --preallocation foo a 9M
refuses 'does not support resize' resize q 2M
both resize a
both resize nofile 1M
both resize a 100000T
both resize a 100000000T
alone 0 'Usage: vdisk resize' resize --help
for mode in metadata falloc full; do
    both resize --preallocation $mode a +3M && same a
    [ $mode = metadata ] || [ "$(stat -c %b ours/a)" -ge 6144 ] || wrong "$mode keeps no room"
done
(cd ours && qemu-img convert -O raw a ../ours.raw) && truncate -s +100k ours.raw
both resize --preallocation=metadata a +100k # that of qemu-img shows what was cut off before
expect qemu-img compare -f qcow2 -F raw ours/a ours.raw
checked a
cp ours/a theirs/a
for words in '2M' '-f raw 2000000' '--preallocation=falloc +1M' '--preallocation=full +1M' \
    '--shrink -f raw 1000000' '-f raw +1k' '--preallocation=metadata 9M' '-1k'; do
    size=${words##* }
    # shellcheck disable=SC2086 # options
    both resize ${words% "$size"} r "$size" 2>/dev/null ||
        both resize r "$size"
    expect test "$(stat -c %s ours/r)" = "$(stat -c %s theirs/r)"
done
for compat in v2 v3; do
    make qemu-img create -q -f qcow2 -o compat=$compat,cluster_size=512 tiny 1M
    make qemu-io -f qcow2 -c 'write -P 9 0 1M' tiny
    both resize tiny 30M && same tiny
    make_both qemu-img snapshot -c s tiny
    both resize tiny 31M && same tiny
    both resize --shrink tiny 600k && same tiny
done
make qemu-img create -q -f raw base 8M
make qemu-io -f raw -c 'write -P 7 0 8M' base
for mode in off metadata full; do
    make qemu-img create -q -f qcow2 -b base -F raw over 1000k
    both resize --preallocation=$mode over 3M && same over
    both resize --preallocation=$mode over 12M && same over
done
make qemu-img create -q -f qcow2 -o compat=v2 -b base -F raw over 1M
both resize over 2M
mkdir -p elsewhere && mv ours/base elsewhere
alone 1 "backing file 'base': does not exist" resize over 9M
mv elsewhere/base ours
for raw in off on; do
    make qemu-img create -q -f qcow2 -o data_file=df,data_file_raw=$raw outside 4M
    make qemu-io -f qcow2 -c 'write -P 4 1M 1M' outside
    for words in '8M' '--shrink 2M' '--preallocation=metadata 3M' '--preallocation=full 4M'; do
        size=${words##* }
        option=${words% *}
        if [ "$option" = "$size" ]; then both resize outside "$size"; else both resize "$option" outside "$size"; fi
        same outside
        expect cmp ours/df theirs/df
    done
done
make qemu-img create -q -f qcow2 -o extended_l2=on sub 1M
both resize sub 3M && same sub
alone 0 'Image resized.' resize --preallocation=metadata sub 5M
expect qemu-img check -q ours/sub
rm -f ours/over ours/sub ours/tiny ours/outside ours/df theirs/*
cp ours/* theirs

# --- amend ---------------------------------------------------------------------------------------
refuses 'Must specify options (-o)' amend a
for list in compat=v2 compat=0.10 compat=v3 lazy_refcounts=on compat=v2 \
    compat=1.1,refcount_bits=8,lazy_refcounts=on compat=v2,refcount_bits=16 compat=v3 \
    refcount_bits=64 refcount_bits=2,lazy_refcounts=off size=9M size=1M refcount_bits=16; do
    both amend -o $list a && same a
done
both amend -p -o compat=v3 a
expect grep -q '100.00/100%' said
both amend --force -q -o compat=v3 a
both amend -o refcount_bits=8 a
refuses 'version 2 has refcounts of 16 bits' amend -o compat=v2 a
# qemu-img resizes it, and then fails.
alone 1 'version 2 has refcounts of 16 bits' amend -o compat=v2,size=20M a
both amend -o compat=v2,refcount_bits=16 a && same a
refuses 'Unknown compatibility level v4' amend -o compat=v4 a
refuses 'Lazy refcounts only supported' amend -o lazy_refcounts=on a
refuses 'Refcount widths other than 16 bits' amend -o refcount_bits=8 a
refuses 'Refcount width must be a power of two' amend -o refcount_bits=3 a
refuses 'Refcount width must be a power of two' amend -o refcount_bits=128 a
refuses 'is neither on nor off' amend -o lazy_refcounts=maybe a
refuses 'Cannot amend the backing file' amend -o backing_file=r,backing_fmt=raw a
refuses "there is no option 'foo'" amend -o foo=1 a
refuses 'for the creation of images only' amend -o cluster_size=65536 a
refuses 'data-file can only be set' amend -o data_file=x a
refuses 'data-file-raw cannot be set' amend -o data_file_raw=on a
refuses "Format driver 'qcow' does not support option amendment" amend -o size=2M q
refuses "Format driver 'raw' does not support option amendment" amend -f raw -o size=2M r
refuses 'Invalid option list' amend -o '' a
refuses 'Expecting one image file name' amend -o help
both amend -o help a
both amend -f qcow2 -o help
alone 0 'Usage: vdisk amend' amend --help
make qemu-img create -q -f qcow2 -o data_file=df,data_file_raw=on outside 1M
both amend -o data_file_raw=on outside
both amend -o data_file_raw=off outside && same outside
for side in ours theirs; do cp $side/df $side/dg; done
both amend -o data_file=dg outside && same outside
make qemu-img create -q -f qcow2 zeros 8M
make qemu-io -f qcow2 -c 'write -P 1 0 1M' -c 'write -z 0 200k' -c 'discard 500k 200k' zeros
both amend -o compat=v2 zeros && same zeros
rm -f ours/outside ours/d? ours/zeros theirs/*
cp ours/* theirs

# --- bitmap --------------------------------------------------------------------------------------
make qemu-img create -q -f qcow2 b 4M
make qemu-img create -q -f qcow2 -o cluster_size=512 c 4M
make qemu-img create -q -f qcow2 long 8M
make qemu-img bitmap --add long x
both bitmap --add b one && same b
both bitmap --add -g 512 c fine && same c
both bitmap --add -g 4k b fine && same b
make_both qemu-io -f qcow2 -c 'write 100k 70k' -c 'write 4000k 96k' b
make_both qemu-io -f qcow2 -c 'write 1M 1k' -c 'write 2000k 48k' c
both bitmap --add --disable -g 2M b coarse && same b
both bitmap --merge one --merge fine b coarse && same b
both bitmap --merge coarse b one && same b
both bitmap -b c -F qcow2 --merge fine b one && same b
both bitmap -b b --merge fine c fine && same c
both bitmap --disable b one && same b
both bitmap --enable b one && same b
both bitmap --add --clear --disable --merge fine --enable b mixed && same b
# What the bitmaps say: an export of them shows dirty parts as data.
bits() { # IMAGE BITMAP
    rm -f sock
    qemu-nbd -r -k "$PWD/sock" -f qcow2 -B "$2" "$1" >log 2>&1 &
    until [ -S sock ] || ! kill -0 $! 2>/dev/null; do sleep 0.05; done
    qemu-img map --output=json --image-opts \
        "driver=nbd,server.type=unix,server.path=$PWD/sock,x-dirty-bitmap=qemu:dirty-bitmap:$2"
    # It ends with its last client.
    kill $! 2>/dev/null
    wait $!
    true
}
if command -v qemu-nbd >/dev/null; then
    make_both qemu-img bitmap --disable b mixed
    make_both qemu-img bitmap --disable b one
    make_both qemu-img bitmap --disable b fine
    for name in one fine coarse mixed; do
        bits ours/b $name >our_bits && bits theirs/b $name >their_bits && [ -s our_bits ] ||
            wrong "the bits of $name are not exported: $(cat log)"
        expect cmp our_bits their_bits
    done
    grep -q '"data": false' our_bits || wrong 'no bit is set'
    both bitmap --clear b one
    bits ours/b one >our_bits
    grep -q '"data": false' our_bits && wrong 'a bit is set still'
    # Bitmaps of a disk that becomes larger and smaller, and copies of them.
    (cd ours && cp b c ../theirs)
    for image in b c; do
        for size in 5M +1000k 100M 300k +1M; do
            both resize --shrink $image $size && same $image
            for name in one fine coarse mixed; do
                [ $image = b ] || [ $name = fine ] || continue
                bits ours/$image $name >our_bits && bits theirs/$image $name >their_bits &&
                    cmp -s our_bits their_bits || wrong "$name of $image differs after: $last"
            done
        done
    done
    for options in '' '-c' '-o cluster_size=4k'; do
        # shellcheck disable=SC2086 # options are words
        both convert --bitmaps -O qcow2 $options b copy && same copy
        for name in one fine coarse mixed; do
            bits ours/copy $name >our_bits && bits theirs/copy $name >their_bits &&
                cmp -s our_bits their_bits || wrong "$name of the copy differs: $last"
        done
    done
    make qemu-img create -q -f qcow2 there "$(qemu-img info --output=json ours/b |
        sed -n 's/^ *"virtual-size": \([0-9]*\).*/\1/p' | head -n 1)"
    both convert -n --bitmaps -O qcow2 b there && same there
    both convert -n -O qcow2 b there && same there # they stay
    both bitmap --add b extra && both convert -n --bitmaps -O qcow2 b long # another size
    both bitmap --remove b extra
fi
refuses "Format driver 'raw' does not support bitmaps" convert --bitmaps -O raw b copy.raw
refuses "'qcow2' does not support bitmaps" convert --bitmaps -O qcow2 -o compat=0.10 b copy.old
refuses 'Source lacks bitmap support' convert --bitmaps -O qcow2 r copy.r
refuses 'only possible with single source' convert --bitmaps -O qcow2 b b copy.two
refuses 'requires --bitmaps' convert --skip-broken-bitmaps -O qcow2 b copy.skip
cp ours/b ours/broken
python3 - ours/broken <<'END'
import sys
with open(sys.argv[1], 'r+b') as f:
    head = f.read(4096)
    at = head.index(bytes.fromhex('23852875')) + 24
    f.seek(int.from_bytes(head[at:at + 8], 'big') + 15)
    f.write(b'\3')
END
cp ours/broken theirs
refuses 'Cannot copy inconsistent bitmap' convert --bitmaps -O qcow2 broken copy.broken
refuses 'not saved cleanly' resize broken 200M
both convert --bitmaps --skip-broken-bitmaps -O qcow2 broken copy.sound
expect grep -q 'warning: Skipping inconsistent bitmap' said
same copy.sound
rm -f ours/broken theirs/broken ours/there theirs/there ours/copy* theirs/copy*

# --- convert --salvage -----------------------------------------------------------------------------
make qemu-img create -q -f qcow2 hurt 4M
make_both qemu-io -f qcow2 -c 'write -P 1 0 2M' hurt
make qemu-img convert -c -O qcow2 hurt packed
poke ours/hurt $((0x40000 + 8 * 3)) '\200\0\0\0\0\022\064\0' # an L2 entry: unaligned
python3 - ours/packed <<'END'
import sys
with open(sys.argv[1], 'r+b') as f:
    f.seek(40)
    f.seek(int.from_bytes(f.read(8), 'big'))
    f.seek((int.from_bytes(f.read(8), 'big') & 0xfffffffffffe00) + 8 * 5)
    f.seek(int.from_bytes(f.read(8), 'big') & (1 << 54) - 1)
    f.write(b'\xff' * 64)
END
cp ours/hurt ours/packed theirs
for image in hurt packed; do
    both convert -O raw $image saved
    [ $got = 1 ] || wrong "$image is converted without --salvage"
    for target in '-O raw' '-S 0 -O raw' '-O qcow2' '-c -O qcow2'; do
        # shellcheck disable=SC2086 # options are words
        both convert --salvage $target $image saved
        [ "$(grep -c '^vdisk: warning: error while reading offset ' said)" = 1 ] ||
            wrong "$image: one warning: $(cat said)"
        qemu-img compare -q ours/saved theirs/saved || wrong "$image: $last: contents"
        both convert -q --salvage $target $image saved
        [ ! -s said ] || wrong "-q --salvage speaks: $(cat said)"
    done
done
rm -f ours/saved theirs/saved
refuses 'failed: Bitmap already exists: one' bitmap --add b one
refuses "Dirty bitmap 'no' not found" bitmap --remove b no
refuses "Dirty bitmap 'no' not found" bitmap --clear b no
refuses "Dirty bitmap 'no' not found" bitmap --merge no b one
refuses "Dirty bitmap 'no' not found" bitmap --merge one b no
refuses "Dirty bitmap 'x' not found" bitmap -b c --merge x b one
refuses 'the disks have different sizes' bitmap -b long --merge x b one
refuses 'Granularity must be power of 2' bitmap --add -g 1000 b two
refuses 'Granularity must be power of 2' bitmap --add -g 256 b two
refuses 'Granularity must be power of 2' bitmap --add -g 4G b two
refuses "granularity: 'foo' is not a size" bitmap --add -g foo b two
refuses 'bitmap name is empty' bitmap --add b ''
refuses 'longer than 1023 bytes' bitmap --add b "$(printf %01024d 0)"
refuses 'granularity only supported with --add' bitmap --clear -g 64k b one
refuses '-F only supported with -b' bitmap -F qcow2 --merge one b fine
refuses 'only supported with --merge' bitmap -b c --add b two
refuses 'Need at least one of' bitmap b one
refuses 'raw images have no bitmaps' bitmap --add -f raw r x
refuses 'qcow images have no bitmaps' bitmap --add q x
refuses 'version 2 has no bitmaps' bitmap --add a x
both bitmap --add b
# qemu-img does the first of these, and then fails.
copy=$(cksum <ours/b)
alone 1 "Dirty bitmap 'one' not found" bitmap --remove --clear b one
expect test "$(cksum <ours/b)" = "$copy"
for name in one fine coarse mixed; do both bitmap --remove b $name && same b; done
both bitmap --add -g 0 b "$(printf %01023d 0)" && same b
alone 0 'Usage: vdisk bitmap' bitmap --help

# --- images in use -------------------------------------------------------------------------------
mkfifo commands
qemu-io -f qcow2 ours/b <commands >/dev/null 2>&1 &
exec 3>commands
for _ in 1 2 3 4 5 6 7 8 9; do
    qemu-img info ours/b >/dev/null 2>&1 || break # it sees the lock
    sleep 0.2
done
if ! qemu-img info ours/b >/dev/null 2>&1; then
    for words in 'check b' 'snapshot -l b'; do
        # shellcheck disable=SC2086 # a command line
        alone 1 'Failed to get shared "write" lock' $words
        # shellcheck disable=SC2086 # a command line
        (cd ours && "$TOOL" ${words%% *} -U b) >said 2>&1 || wrong "-U does not help: $words"
    done
    for words in 'check -r all b' 'snapshot -c x b' 'resize b 9M' 'amend -o compat=v2 b' \
        'bitmap --add b x'; do
        # shellcheck disable=SC2086 # a command line
        alone 1 'Failed to get "write" lock' $words
    done
fi
exec 3>&-
wait

[ $failed = 0 ] || { echo "$failed failed" && exit 1; }
