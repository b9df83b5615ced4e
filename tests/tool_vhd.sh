#!/bin/sh
# What the tool does with VHD ("vpc"), beside QEMU where that can do it.
#
#   tool_vhd.sh TOOL    TOOL: the vdisk tool
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=need.sh
. "$here/need.sh"
need qemu-img qemu-io python3 cmp diff stat truncate
TOOL=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
FORMAT=vpc
# shellcheck source=tool_kinds.sh
. "$here/tool_kinds.sh"
id=01234567-89ab-4cde-8f01-23456789abcd
other=fedcba98-7654-4321-8fed-cba987654321

# --- create --------------------------------------------------------------------------------------
# As QEMU's, but for ids, times and creator.
cat >masked.py <<'END'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
for at in {0, len(data) - 512}:
    if data[at:at + 8] == b"conectix":
        for first, end in ((24, 40), (64, 84)):
            data[at + first:at + end] = bytes(end - first)
sys.stdout.buffer.write(data)
END
created() { # SIZE [OPTIONS]
    options=${2:+-o $2}
    # shellcheck disable=SC2086 # options are words
    { "$TOOL" create -f vpc $options x.vhd "$1" >said &&
        qemu-img create -f vpc $options y.vhd "$1" >told; } ||
        wrong "create $*: $(cat said)"
    sed -i s/y.vhd/x.vhd/ told
    cmp -s said told || wrong "create $* says: $(cat said)"
    python3 masked.py x.vhd >ours && python3 masked.py y.vhd >theirs
    cmp -s ours theirs || wrong "create $*: $(cmp ours theirs)"
    [ "$(qemu-img info --output=json -f vpc x.vhd | grep virtual)" = \
        "$(qemu-img info --output=json -f vpc y.vhd | grep virtual)" ] ||
        wrong "create $*: another size to QEMU"
}
for size in 1000 1M 10M 100M 504M 505M 1G 31G 127G 128G 2040G; do
    created $size
    created $size subformat=dynamic,force_size=on
done
for size in 1M 10M 100M; do
    created $size subformat=fixed
    created $size subformat=fixed,force_size=on
done
rm x.vhd
refuses nofile "too large for file format 'vpc'" create -f vpc x.vhd 2041G
refuses nofile "does not accept value 'flat'" create -f vpc -o subformat=flat x.vhd 1M
refuses nofile 'power of two' create -f vpc -o block_size=3M x.vhd 1M
refuses nofile 'needs a backing file' create -f vpc -o subformat=differencing x.vhd 1M
refuses nofile 'not a UUID' create -f vpc -o uuid=1234 x.vhd 1M
refuses nofile "no option 'cluster_size'" create -f vpc -o cluster_size=64k x.vhd 1M
refuses nofile 'needs subformat=fixed' create -f vpc -o preallocation=full x.vhd 1M
refuses nofile '32 bits only' create -f vpc -o time_stamp=4294967296 x.vhd 1M
[ ! -e x.vhd ] || wrong 'refused, but there'
run 0 'differencing' create -f vhd -o help
export SOURCE_DATE_EPOCH=1700000000
for name in a b; do ok create -f vhd -o uuid=$id,block_size=512k $name.vhd 5M; done
unset SOURCE_DATE_EPOCH
cmp -s a.vhd b.vhd || wrong 'two images of the same options differ'
is "$(fact unique-id a.vhd)" $id uuid
is "$(fact time-stamp a.vhd)" 753315200 SOURCE_DATE_EPOCH
is "$(fact cluster-size a.vhd)" 524288 block_size
ok create -f vpc -o creator=me,time_stamp=77 a.vhd 1M
is "$(fact creator a.vhd) $(fact time-stamp a.vhd)" 'me 77' 'creator and time'
ok create -f vpc -o subformat=fixed,preallocation=full,force_size=on full.vhd 3M
[ $(($(stat -c %b full.vhd) * 512)) -ge 3145728 ] || wrong 'preallocation=full has holes'

# --- io, in each kind of image -------------------------------------------------------------------
commands() {
    printf '%s\n' 'write -P 1 0 100k' 'write -P 2 2047k 3k' 'write -P 3 4097000 7' \
        'write -z 50k 20k' 'write -zu 2048k 1k' 'write -P 4 5M 512' 'write -z 3M 100k'
}
truncate -s 6M model.raw
commands | apply qemu-io -f raw model.raw
for options in subformat=dynamic subformat=fixed block_size=512 block_size=4k block_size=256M; do
    ok create -f vpc -o force_size=on,$options x.vhd 6M
    commands | apply "$TOOL" io x.vhd
    holds x.vhd model.raw
    # QEMU takes blocks of 2 MiB alone for granted where tables are small.
    case $options in *=512) ;; *) theirs x.vhd model.raw ;; esac
done
ok create -f vpc -o force_size=on x.vhd 6M
commands | apply "$TOOL" io x.vhd
ok io -c 'read -P 1 0 50k' -c 'read -P 0 50k 20k' -c 'alloc 0 64k' -c length -c map -r x.vhd
says '65536/65536 bytes allocated'
"$TOOL" io -c map x.vhd >ours && qemu-io -f vpc -c map x.vhd >theirs
cmp -s ours theirs || wrong "map of io: $(diff ours theirs)"
ok io -c 'discard 0 1M' -c 'write -P 5 0 1M' x.vhd
qemu-io -f raw -c 'write -P 5 0 1M' model.raw >log
holds x.vhd model.raw
ok io -c 'truncate 9M' -c 'write -P 6 8M 1k' -c 'truncate 6M' x.vhd
holds x.vhd model.raw
run 1 'holds no compressed blocks' io -c 'write -c 0 64k' x.vhd

# --- map, info, measure, dd, dump ----------------------------------------------------------------
ok convert -O vpc -o subformat=fixed,force_size=on model.raw fixed.vhd
for image in x.vhd fixed.vhd; do like_theirs map $image && like_theirs info $image; done
ok info x.vhd
says 'type: dynamic' && says 'footer: at the end' && says 'geometry: 65535/16/255'
for options in subformat=dynamic subformat=fixed block_size=512k,force_size=on; do
    ok measure -O vpc -o $options model.raw
    wanted=$(sed -n 's/^required size: //p' said)
    ok convert -O vpc -o $options model.raw y.vhd
    [ "$(bytes y.vhd)" -le "$wanted" ] || wrong "measure $options: $(bytes y.vhd), not $wanted"
    ok measure -O vpc -o $options --size 6M
done
ok convert -S 0 -O vpc -o block_size=512k,force_size=on model.raw y.vhd
is "$(bytes y.vhd)" "$("$TOOL" measure -O vpc -o block_size=512k,force_size=on --size 6M |
    sed -n 's/^fully allocated size: //p')" 'all of it'
ok dd -O vpc if=model.raw of=part.vhd bs=1000 skip=3 count=5000
dd if=model.raw of=part.raw bs=1000 skip=3 count=5000 2>log
run 0 'Images are identical.' compare -F raw part.vhd part.raw
ok dd -O qcow2 if=x.vhd of=part.qcow2 bs=1M skip=1
dd if=model.raw of=part.raw bs=1M skip=1 2>log
run 0 'Images are identical.' compare -F raw part.qcow2 part.raw
ok dump x.vhd
says 'footer-copy' && says 'max_table_entries' && says 'right'
ok dump --output=json x.vhd
python3 -c 'import json, sys; json.load(sys.stdin)' <said || wrong 'dump: no JSON'

# --- convert -------------------------------------------------------------------------------------
ok convert -O qcow2 model.raw m.qcow2
for options in subformat=dynamic subformat=fixed block_size=512k; do
    for source in model.raw m.qcow2 x.vhd; do
        ok convert -m 4 -O vhd -o force_size=on,$options $source y.vhd
        holds y.vhd model.raw
        theirs y.vhd model.raw
        ok convert -m 4 -f vpc -O raw y.vhd back.raw
        cmp -s back.raw model.raw || wrong "back from $options"
    done
done
truncate -s 1G empty.raw
ok convert -O vpc empty.raw y.vhd
[ "$(bytes y.vhd)" -lt 8192 ] || wrong 'zeros take room'
ok convert -n -O vpc model.raw y.vhd
qemu-img compare -q -f raw -F vpc model.raw y.vhd || wrong 'convert -n'
run 1 'smaller than input' convert -n -O vpc empty.raw x.vhd
run 1 'Compression not supported' convert -c -O vpc model.raw y.vhd

# --- differencing --------------------------------------------------------------------------------
mkdir sub
ok create -f vpc -o uuid=$id,force_size=on base.vhd 8M
commands | apply "$TOOL" io base.vhd
cp base.vhd base.before
ok convert -O raw base.vhd child.raw
ok create -f vpc -b base.vhd -F vpc child.vhd
ok create -f vhd -o subformat=differencing,backing_file=../base.vhd,backing_fmt=vhd --parents any \
    sub/child.vhd
is "$(fact parent-unique-id child.vhd)" $id 'parent id'
is "$(fact backing-filename child.vhd)" base.vhd 'parent name'
is "$(fact backing-filename sub/child.vhd)" ../base.vhd 'parent name from a folder'
is "$(fact virtual-size child.vhd)" 8388608 'size of the parent'
refuses nofile 'not smaller than its parent' create -f vpc -b base.vhd -F vpc small.vhd 4M
refuses nofile 'nothing but VHD' create -f vpc -b m.qcow2 -F qcow2 small.vhd
refuses nofile 'the id of its parent' create -u -f vpc -b base.vhd -F vpc small.vhd 8M
edits() { printf '%s\n' 'write -P 7 1000 3000' 'write -z 2M 1M' 'write -P 8 7M 5k' 'write -P 9 4M 1'; }
edits | apply "$TOOL" io child.vhd
edits | apply qemu-io -f raw child.raw
holds child.vhd child.raw
cmp -s base.vhd base.before || wrong 'the parent changed'
ok info --backing-chain child.vhd
says 'backing file: base.vhd' && says 'type: differencing' && says 'type: dynamic'
ok dump child.vhd
says 'W2ku' && says 'base.vhd'
ok convert -O vpc -B base.vhd -F vpc child.raw again.vhd
holds again.vhd child.raw
[ "$(bytes again.vhd)" -le "$(bytes child.vhd)" ] || wrong 'convert -B writes too much'
ok map --output=json child.vhd
says '"depth": 1'
ok create -f vpc -b child.vhd -F vpc -o uuid=$other top.vhd 10M
ok io -c 'write -P 10 9M 1k' -c 'write -P 11 0 512' top.vhd
cp child.raw top.raw && truncate -s 10M top.raw
printf '%s\n' 'write -P 10 9M 1k' 'write -P 11 0 512' | apply qemu-io -f raw top.raw
holds top.vhd top.raw
cp base.vhd stranger.vhd && ok amend -o uuid=$other stranger.vhd
mv base.vhd away.vhd && cp stranger.vhd base.vhd
refuses child.vhd 'its id differs' convert -O raw child.vhd back.raw
mv away.vhd base.vhd

# --- check ---------------------------------------------------------------------------------------
run 0 'blocks' check child.vhd
cp x.vhd y.vhd && truncate -s -512 y.vhd
run 2 'footer at the end is lost' check y.vhd
run 0 '1 corruptions' check -r all y.vhd
holds y.vhd model.raw
cp x.vhd y.vhd && poke y.vhd 1536 '\377\377\377\377'
run 3 'leaked blocks' check y.vhd
run 3 '"leaks": 1' check --output=json y.vhd
run 0 '1 leaked blocks' check -r leaks y.vhd
run 0 'No errors' check y.vhd
[ "$(bytes y.vhd)" -lt "$(bytes x.vhd)" ] || wrong 'leaks keep their room'
run 63 'does not support checks' check -f raw y.vhd

# --- checksums and sizes -------------------------------------------------------------------------
cp x.vhd y.vhd && poke y.vhd -440 '\1' && poke y.vhd 72 '\1'
refuses y.vhd 'ignoring checksums' info y.vhd
ok info --ignore-checksums y.vhd
says 'checksums right: false'
ok compare --ignore-checksums -F raw y.vhd model.raw
ok io -r --ignore-checksums -c 'read -P 5 0 1k' y.vhd
refuses y.vhd 'only read' io --ignore-checksums -c 'write 0 1k' y.vhd
run 2 'checksum' check y.vhd
run 0 'No errors' check -r all y.vhd
holds y.vhd model.raw
cp fixed.vhd y.vhd && poke y.vhd -400 '\1'
refuses y.vhd 'looks like a VHD image' info y.vhd
ok info -f vpc --ignore-checksums y.vhd
says 'type: fixed'
refuses base.vhd 'only read' resize --size-rule geometry base.vhd 9M
ok create -f vpc -o force_size=on y.vhd 10M
ok amend -o geometry=100/4/17 y.vhd
is "$("$TOOL" info --size-rule geometry y.vhd | grep -c '3481600 bytes')" 1 '--size-rule geometry'
is "$(fact virtual-size y.vhd)" 10485760 'size in bytes'

# --- resize --------------------------------------------------------------------------------------
for options in subformat=dynamic subformat=fixed block_size=64k; do
    ok convert -O vpc -o force_size=on,$options model.raw y.vhd
    cp model.raw big.raw
    refuses y.vhd '--shrink' resize y.vhd 1M
    for size in 7M 100M 5000k 6M; do
        ok resize --shrink y.vhd $size
        truncate -s $size big.raw
        holds y.vhd big.raw
    done
    theirs y.vhd big.raw
done
qemu-img create -q -f vpc y.vhd 10M
ok resize y.vhd 20M
is "$(qemu-img info -f vpc y.vhd | grep -c 20971520)" 1 'size of what QEMU made, to QEMU'
refuses y.vhd 'preallocation' resize --preallocation=full y.vhd 30M
refuses y.vhd 'too large' resize y.vhd 2041G
ok create -f vpc -b base.vhd -F vpc short.vhd && ok resize --shrink short.vhd 3M
ok resize short.vhd 9M
ok convert -O raw base.vhd short.raw && truncate -s 3M short.raw && truncate -s 9M short.raw
holds short.vhd short.raw

# --- compact -------------------------------------------------------------------------------------
ok convert -S 0 -O vpc -o block_size=512k,force_size=on model.raw y.vhd
before=$(bytes y.vhd)
run 0 'blocks given up' compact -p y.vhd
holds y.vhd model.raw
[ "$(bytes y.vhd)" -lt "$before" ] || wrong 'compact: no smaller'
cp child.vhd y.vhd
ok io -c 'write -P 0 6M 100k' y.vhd
ok compact -q y.vhd
holds y.vhd child.raw
[ "$(bytes y.vhd)" -le "$(bytes child.vhd)" ] || wrong 'compact: what the parent has takes room'
refuses m.qcow2 'not compacted in place' compact m.qcow2
refuses fixed.vhd 'fixed' compact fixed.vhd

# --- rebase --------------------------------------------------------------------------------------
cp base.vhd moved.vhd
ok rebase -u -b moved.vhd -F vpc child.vhd
is "$(fact backing-filename child.vhd)" moved.vhd 'rebase -u'
holds child.vhd child.raw
ok create -f vpc -o force_size=on else.vhd 8M && ok io -c 'write -P 99 0 8M' else.vhd
ok rebase -b else.vhd -F vhd child.vhd
holds child.vhd child.raw
ok compact -q child.vhd
holds child.vhd child.raw
refuses child.vhd 'cannot stand alone' rebase -b '' child.vhd
refuses child.vhd 'nothing but VHD' rebase -b m.qcow2 -F qcow2 child.vhd
refuses x.vhd 'has no parent' rebase -b base.vhd -F vpc x.vhd
refuses child.vhd 'own backing file' rebase -u -b child.vhd -F vpc child.vhd
ok rebase -b base.vhd -F vpc child.vhd

# --- commit --------------------------------------------------------------------------------------
ok rebase -u -b child.vhd -F vpc top.vhd
holds top.vhd top.raw
ok commit -q top.vhd
holds top.vhd top.raw
holds child.vhd top.raw
[ "$(bytes top.vhd)" -lt 32768 ] || wrong 'commit: the image is not emptied'
ok commit -d child.vhd
holds base.vhd top.raw
ok create -f qcow2 -b base.vhd -F vpc over.qcow2
ok io -c 'write -P 12 1M 64k' over.qcow2
ok commit over.qcow2
qemu-io -f raw -c 'write -P 12 1M 64k' top.raw >log
holds base.vhd top.raw

# --- amend ---------------------------------------------------------------------------------------
ok amend -f vhd -o uuid=$other,geometry=1003/12/17 x.vhd
is "$(fact unique-id x.vhd) $(fact geometry x.vhd)" "$other 1003/12/17" amend
ok amend -o parent_uuid=$other child.vhd
is "$(fact parent-unique-id child.vhd)" $other 'parent_uuid'
refuses x.vhd 'has no parent' amend -o uuid=$id,parent_uuid=$id x.vhd
refuses x.vhd 'CYLINDERS/HEADS/SECTORS' amend -o uuid=$id,geometry=1/2/300 x.vhd
refuses x.vhd "no option 'compat'" amend -o compat=1.1 x.vhd
run 0 'geometry' amend -f vpc -o help

finish
