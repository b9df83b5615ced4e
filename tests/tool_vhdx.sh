#!/bin/sh
# What the tool does with VHDX, beside QEMU where that can do it: not 4 KiB sectors, not differencing
# images.
#
#   tool_vhdx.sh TOOL    TOOL: the vdisk tool
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=need.sh
. "$here/need.sh"
need qemu-img qemu-io python3 cmp diff mkfifo stat truncate
TOOL=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
FORMAT=vhdx
# shellcheck source=tool_kinds.sh
. "$here/tool_kinds.sh"
id=01234567-89ab-4cde-8f01-23456789abcd
other=fedcba98-7654-4321-8fed-cba987654321

# --- create --------------------------------------------------------------------------------------
created() { # SIZE [OPTIONS]: says the same, and is the same disk
    options=${2:+-o $2}
    # shellcheck disable=SC2086 # options are words
    { "$TOOL" create -f vhdx $options x.vhdx "$1" >said &&
        qemu-img create -f vhdx $options y.vhdx "$1" >told; } || wrong "create $*: $(cat said)"
    sed -i s/y.vhdx/x.vhdx/ told
    cmp -s said told || wrong "create $* says: $(cat said)"
    is "$(fact virtual-size x.vhdx) $(fact cluster-size x.vhdx)" \
        "$(fact virtual-size y.vhdx) $(fact cluster-size y.vhdx)" "create $*"
    like_theirs info x.vhdx && like_theirs info y.vhdx
}
for size in 1000 1M 1G 1025M 101G 33T; do created $size; done
created 64T log_size=3000000,block_size=256M
created 10M log_size=1,block_size=1
created 10M subformat=dynamic,block_state_zero=off
created 10M subformat=fixed
rm x.vhdx
refuses nofile 'max of 64TB' create -f vhdx x.vhdx 65T
refuses nofile 'cannot be zero length' create -f vhdx x.vhdx 0
refuses nofile "does not accept value 'flat'" create -f vhdx -o subformat=flat x.vhdx 1M
refuses nofile 'power of two' create -f vhdx -o block_size=3M x.vhdx 1M
refuses nofile 'power of two' create -f vhdx -o block_size=512M x.vhdx 1M
refuses nofile 'log_size is 1G at most' create -f vhdx -o log_size=1025M x.vhdx 1M
refuses nofile '512 or 4096' create -f vhdx -o logical_sector_size=1024 x.vhdx 1M
refuses nofile 'needs a backing file' create -f vhdx -o subformat=differencing x.vhdx 1M
refuses nofile 'not a UUID' create -f vhdx -o data_uuid=1234 x.vhdx 1M
refuses nofile 'ASCII' create -f vhdx -o creator=ä x.vhdx 1M
refuses nofile "no option 'force_size'" create -f vhdx -o force_size=on x.vhdx 1M
refuses nofile 'needs subformat=fixed' create -f vhdx -o preallocation=full x.vhdx 1M
[ ! -e x.vhdx ] || wrong 'refused, but there'
run 0 'logical_sector_size' create -f vhdx -o help
ids=uuid=$id,data_uuid=$other
for name in a b; do
    ok create -f vhdx -o $ids,logical_sector_size=4096,physical_sector_size=512 $name.vhdx 5M
done
cmp -s a.vhdx b.vhdx || wrong 'two images of the same options differ'
is "$(fact disk-id a.vhdx) $(fact data-write-id a.vhdx)" "$id $other" ids
is "$(fact logical-sector-size a.vhdx) $(fact physical-sector-size a.vhdx)" '4096 512' sectors
ok create -f vhdx -o creator=me,log_size=3M a.vhdx 1M
is "$(fact log-size a.vhdx)" 3145728 log_size
ok dump a.vhdx
says 'creator: me'
ok create -f vhdx -o subformat=fixed,preallocation=full,block_size=1M full.vhdx 3M
[ $(($(stat -c %b full.vhdx) * 512)) -ge 3145728 ] || wrong 'preallocation=full has holes'

# --- io, in each kind of image -------------------------------------------------------------------
commands() {
    printf '%s\n' 'write -P 1 0 100k' 'write -P 2 2047k 3k' 'write -P 3 4097000 7' \
        'write -z 50k 20k' 'write -zu 2048k 1k' 'write -P 4 5M 512' 'write -z 3M 100k'
}
truncate -s 6M model.raw
commands | apply qemu-io -f raw model.raw
for options in block_size=1M subformat=fixed block_size=256M logical_sector_size=4096; do
    ok create -f vhdx -o $options x.vhdx 6M
    commands | apply "$TOOL" io x.vhdx
    holds x.vhdx model.raw
    case $options in logical*) ;; *) theirs x.vhdx model.raw ;; esac
done
ok create -f vhdx -o block_size=1M x.vhdx 6M
commands | apply "$TOOL" io x.vhdx
ok io -c 'read -P 1 0 50k' -c 'read -P 0 50k 20k' -c 'alloc 0 64k' -c length -c map -r x.vhdx
says '65536/65536 bytes allocated'
ok io -c 'discard 0 1M' -c 'write -P 5 0 1M' x.vhdx
qemu-io -f raw -c 'write -P 5 0 1M' model.raw >log
holds x.vhdx model.raw
ok io -c 'truncate 9M' -c 'write -P 6 8M 1k' -c 'truncate 6M' x.vhdx
holds x.vhdx model.raw
theirs x.vhdx model.raw
run 1 'holds no compressed blocks' io -c 'write -c 0 64k' x.vhdx
refuses x.vhdx 'snapshots' snapshot -c one x.vhdx
qemu-io -f vhdx -c 'write -P 7 1M 64k' x.vhdx >log && qemu-io -f raw -c 'write -P 7 1M 64k' model.raw >log
holds x.vhdx model.raw

# --- map, info, measure, dd, dump ----------------------------------------------------------------
ok map --output=json x.vhdx
python3 -c 'import json, sys
runs = json.load(sys.stdin)
assert sum(run["length"] for run in runs) == 6 << 20, runs
at = [run["offset"] for run in runs if run["data"]]
assert at and min(at) >= 4 << 20, runs' <said || wrong 'map'
ok info x.vhdx
says 'type: dynamic' && says 'block size: 1048576' && says 'log waits: false'
for options in subformat=dynamic subformat=fixed,block_size=2M block_size=1M,log_size=2M; do
    ok measure -O vhdx -o $options model.raw
    wanted=$(sed -n 's/^required size: //p' said)
    ok convert -O vhdx -o $options model.raw y.vhdx
    [ "$(bytes y.vhdx)" -le "$wanted" ] || wrong "measure $options: $(bytes y.vhdx), not $wanted"
    ok convert -S 0 -O vhdx -o $options model.raw y.vhdx
    is "$(bytes y.vhdx)" "$("$TOOL" measure -O vhdx -o $options --size 6M |
        sed -n 's/^fully allocated size: //p')" "all of it, $options"
done
ok dd -O vhdx if=model.raw of=part.vhdx bs=1000 skip=3 count=5000
dd if=model.raw of=part.raw bs=1000 skip=3 count=5000 2>log && truncate -s %512 part.raw
run 0 'Images are identical.' compare -F raw part.vhdx part.raw
ok dump x.vhdx
for word in 'this header counts' 'right' 'BAT' 'file parameters' 'present'; do says "$word"; done
ok dump --output=json x.vhdx
python3 -c 'import json, sys; json.load(sys.stdin)' <said || wrong 'dump: no JSON'
head -c 200k x.vhdx >cut.vhdx
run 1 'shorter than 1 MiB' dump cut.vhdx
says 'header-1'

# --- convert -------------------------------------------------------------------------------------
ok convert -O qcow2 model.raw m.qcow2
for options in block_size=1M subformat=fixed logical_sector_size=4096; do
    for source in model.raw m.qcow2 x.vhdx; do
        ok convert -m 4 -O vhdx -o $options $source y.vhdx
        holds y.vhdx model.raw
        case $options in logical*) ;; *) theirs y.vhdx model.raw ;; esac
        ok convert -m 4 -f vhdx -O raw y.vhdx back.raw
        cmp -s back.raw model.raw || wrong "back from $options"
    done
done
for name in a b; do ok convert -m 1 -O vhdx -o $ids model.raw $name.vhdx; done
cmp -s a.vhdx b.vhdx || wrong 'convert: two images of the same options differ'
is "$(fact data-write-id a.vhdx)" $other 'convert: data_uuid'
ok convert -O vpc -o force_size=on x.vhdx x.vhd
ok convert -O vhdx x.vhd y.vhdx
holds y.vhdx model.raw
truncate -s 1G empty.raw
ok convert -O vhdx empty.raw y.vhdx
[ $(($(stat -c %b y.vhdx) * 512)) -lt 200000 ] || wrong 'zeros take room'
ok convert -n -O vhdx model.raw y.vhdx
qemu-img compare -q -f raw -F vhdx model.raw y.vhdx || wrong 'convert -n'
run 1 'smaller than input' convert -n -O vhdx empty.raw x.vhdx
run 1 'Compression not supported' convert -c -O vhdx model.raw y.vhdx

# --- a log that waits ----------------------------------------------------------------------------
# Killed after a flush: all is in the file, and the log is not emptied. Then only the log has the
# BAT.
ok create -f vhdx -o block_size=1M dirty.vhdx 9M && mkfifo commands
commands | apply "$TOOL" io dirty.vhdx
"$TOOL" io dirty.vhdx <commands >answers 2>&1 &
pid=$!
exec 7>commands
printf '%s\n' 'write -P 8 7M 1M' 'write -P 9 6M 4k' flush 'read 0 512' >&7
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    grep -q 'read 512' answers && break
    sleep 0.2
done
kill -9 $pid
exec 7>&-
wait $pid 2>log
truncate -s 9M dirty.raw
commands | apply qemu-io -f raw dirty.raw
qemu-io -f raw -c 'write -P 8 7M 1M' -c 'write -P 9 6M 4k' dirty.raw >log
dd if=/dev/zero of=dirty.vhdx bs=4096 seek=768 count=1 conv=notrunc 2>log
before=$(cksum <dirty.vhdx)
ok info dirty.vhdx
says 'log waits: true' && says 'log updates: '
run 0 'Images are identical.' compare -F raw dirty.vhdx dirty.raw
ok dump dirty.vhdx
says 'log-updates' && says 'sequence_number'
run 2 '1 errors were found' check dirty.vhdx
is "$(cksum <dirty.vhdx)" "$before" 'only read, but changed'
cp dirty.vhdx ours.vhdx && cp dirty.vhdx theirs.vhdx
run 0 '1 corruptions' check -r all ours.vhdx
qemu-img check -r all -f vhdx theirs.vhdx >log 2>&1 || wrong "QEMU does not replay: $(tail -n 3 log)"
for image in ours.vhdx theirs.vhdx; do holds $image dirty.raw && theirs $image dirty.raw; done
is "$(fact log-waits ours.vhdx)" false 'replayed'
ok io -c 'write -P 10 0 512' dirty.vhdx
qemu-io -f raw -c 'write -P 10 0 512' dirty.raw >log
holds dirty.vhdx dirty.raw
theirs dirty.vhdx dirty.raw

# --- differencing --------------------------------------------------------------------------------
mkdir sub
ok create -f vhdx -o data_uuid=$id,block_size=1M base.vhdx 8M
commands | apply "$TOOL" io base.vhdx
ok amend -o data_uuid=$id base.vhdx
cp base.vhdx base.before
ok convert -O raw base.vhdx child.raw
ok create -f vhdx -b base.vhdx -F vhdx child.vhdx
ok create -f vhdx -o subformat=differencing,backing_file=../base.vhdx,backing_fmt=vhdx \
    --parents any sub/child.vhdx
is "$(fact parent-id child.vhdx)" $id 'parent id'
is "$(fact backing-filename child.vhdx)" base.vhdx 'parent name'
is "$(fact backing-filename sub/child.vhdx)" ../base.vhdx 'parent name from a folder'
is "$(fact virtual-size child.vhdx) $(fact block-size child.vhdx)" '8388608 2097152' 'sizes'
is "$(fact disk-id child.vhdx)" "$(fact disk-id base.vhdx)" 'id of the disk'
refuses nofile 'not smaller than its parent' create -f vhdx -b base.vhdx -F vhdx small.vhdx 4M
refuses nofile 'nothing but VHDX' create -f vhdx -b m.qcow2 -F qcow2 small.vhdx
refuses nofile 'that of the parent, 512' create -f vhdx -b base.vhdx -F vhdx \
    -o logical_sector_size=4096 small.vhdx
refuses nofile 'subformat=fixed has no backing file' create -f vhdx -b base.vhdx -F vhdx \
    -o subformat=fixed small.vhdx
refuses nofile 'the id of its parent' create -u -f vhdx -b base.vhdx -F vhdx small.vhdx 8M
edits() { printf '%s\n' 'write -P 7 1000 3000' 'write -z 2M 1M' 'write -P 8 7M 5k' 'write -P 9 4M 1'; }
edits | apply "$TOOL" io child.vhdx
edits | apply qemu-io -f raw child.raw
holds child.vhdx child.raw
cmp -s base.vhdx base.before || wrong 'the parent changed'
ok info --backing-chain child.vhdx
says 'backing file: base.vhdx' && says 'type: differencing' && says 'type: dynamic'
ok dump child.vhdx
says 'parent_linkage' && says 'relative_path' && says 'partially present'
ok convert -O vhdx -B base.vhdx -F vhdx child.raw again.vhdx
holds again.vhdx child.raw
[ "$(bytes again.vhdx)" -le "$(bytes child.vhdx)" ] || wrong 'convert -B writes too much'
ok map --output=json child.vhdx
says '"depth": 1'
ok create -f vhdx -b child.vhdx -F vhdx top.vhdx 10M
ok io -c 'write -P 10 9M 1k' -c 'write -P 11 0 512' top.vhdx
cp child.raw top.raw && truncate -s 10M top.raw
printf '%s\n' 'write -P 10 9M 1k' 'write -P 11 0 512' | apply qemu-io -f raw top.raw
holds top.vhdx top.raw
cp base.vhdx stranger.vhdx && ok amend -o data_uuid=$other stranger.vhdx
mv base.vhdx away.vhdx && cp stranger.vhdx base.vhdx
refuses child.vhdx 'its id differs' convert -O raw child.vhdx back.raw
mv away.vhdx base.vhdx

# --- check ---------------------------------------------------------------------------------------
run 0 'blocks' check child.vhdx
# The second entry of the BAT becomes the first: two blocks in one place.
cp x.vhdx y.vhdx && dd if=x.vhdx of=y.vhdx bs=8 skip=393216 seek=393217 count=1 conv=notrunc 2>log
run 2 'corruption: ' check y.vhdx
run 2 '"corruptions": 1' check --output=json y.vhdx
run 0 '1 corruptions' check -r all y.vhdx
run 0 'No errors' check y.vhdx
cp x.vhdx y.vhdx && poke y.vhdx 65600 '\1'
run 2 'corruption: ' check y.vhdx
run 0 'No errors' check -r all y.vhdx
holds y.vhdx model.raw

# --- resize --------------------------------------------------------------------------------------
for options in block_size=1M subformat=fixed logical_sector_size=4096; do
    ok convert -O vhdx -o $options model.raw y.vhdx
    cp model.raw big.raw
    refuses y.vhdx '--shrink' resize y.vhdx 1M
    for size in 7M 100M 5000k 6M; do
        ok resize --shrink y.vhdx $size
        truncate -s $size big.raw
        holds y.vhdx big.raw
    done
    case $options in logical*) ;; *) theirs y.vhdx big.raw ;; esac
done
qemu-img create -q -f vhdx y.vhdx 10M
ok resize y.vhdx 20M
is "$(qemu-img info -f vhdx y.vhdx | grep -c 20971520)" 1 'size of what QEMU made, to QEMU'
refuses y.vhdx 'preallocation' resize --preallocation=full y.vhdx 30M
refuses y.vhdx 'too large' resize y.vhdx 65T
ok resize --preallocation=full full.vhdx 5M
[ $(($(stat -c %b full.vhdx) * 512)) -ge 5242880 ] || wrong 'resize: preallocation=full has holes'
ok create -f vhdx -b base.vhdx -F vhdx short.vhdx && ok resize --shrink short.vhdx 3M
ok resize short.vhdx 9M
ok convert -O raw base.vhdx short.raw && truncate -s 3M short.raw && truncate -s 9M short.raw
holds short.vhdx short.raw

# --- compact -------------------------------------------------------------------------------------
ok convert -S 0 -O vhdx -o block_size=1M model.raw y.vhdx
before=$(bytes y.vhdx)
ok io -c 'write -P 0 2M 2M' y.vhdx
cp model.raw small.raw && qemu-io -f raw -c 'write -P 0 2M 2M' small.raw >log
run 0 'blocks given up' compact -p y.vhdx
holds y.vhdx small.raw
theirs y.vhdx small.raw
[ "$(bytes y.vhdx)" -lt "$before" ] || wrong 'compact: no smaller'
cp child.vhdx y.vhdx
ok io -c 'write -P 0 6M 100k' y.vhdx
ok compact -q y.vhdx
holds y.vhdx child.raw
[ "$(bytes y.vhdx)" -le "$(bytes child.vhdx)" ] || wrong 'compact: what the parent has takes room'
refuses full.vhdx 'fixed' compact full.vhdx

# --- rebase --------------------------------------------------------------------------------------
cp base.vhdx moved.vhdx
ok rebase -u -b moved.vhdx -F vhdx child.vhdx
is "$(fact backing-filename child.vhdx)" moved.vhdx 'rebase -u'
holds child.vhdx child.raw
ok create -f vhdx else.vhdx 8M && ok io -c 'write -P 99 0 8M' else.vhdx
ok rebase -b else.vhdx -F vhdx child.vhdx
holds child.vhdx child.raw
ok compact -q child.vhdx
holds child.vhdx child.raw
refuses child.vhdx 'cannot stand alone' rebase -b '' child.vhdx
refuses child.vhdx 'nothing but VHDX' rebase -b m.qcow2 -F qcow2 child.vhdx
refuses x.vhdx 'has no parent' rebase -b base.vhdx -F vhdx x.vhdx
refuses child.vhdx 'own backing file' rebase -u -b child.vhdx -F vhdx child.vhdx
ok rebase -b base.vhdx -F vhdx child.vhdx

# --- commit: the ids of what changes change, and the chain stays whole ---------------------------
ok rebase -u -b child.vhdx -F vhdx top.vhdx
holds top.vhdx top.raw
child_id=$(fact data-write-id child.vhdx) top_id=$(fact data-write-id top.vhdx)
ok commit -q top.vhdx
[ "$(fact data-write-id child.vhdx)" != "$child_id" ] || wrong 'commit: the id stays'
is "$(fact data-write-id top.vhdx)" "$top_id" 'commit: the id of what shows the same'
is "$(fact parent-id top.vhdx)" "$(fact data-write-id child.vhdx)" 'commit: the link'
holds top.vhdx top.raw
holds child.vhdx top.raw
[ "$(bytes top.vhdx)" -lt 5000000 ] || wrong 'commit: the image is not emptied'
ok io -c 'write -P 12 1M 3k' top.vhdx
qemu-io -f raw -c 'write -P 12 1M 3k' top.raw >log
ok commit -b base.vhdx top.vhdx
holds base.vhdx top.raw
holds top.vhdx top.raw
ok create -f qcow2 -b base.vhdx -F vhdx over.qcow2
ok io -c 'write -P 12 1M 64k' over.qcow2
ok commit over.qcow2
qemu-io -f raw -c 'write -P 12 1M 64k' top.raw >log
holds base.vhdx top.raw

# --- amend ---------------------------------------------------------------------------------------
ok amend -o uuid=$other,data_uuid=$id,size=7M x.vhdx
is "$(fact disk-id x.vhdx) $(fact data-write-id x.vhdx)" "$other $id" amend
is "$(fact virtual-size x.vhdx)" 7340032 'amend: size'
ok amend -o parent_uuid=$other child.vhdx
is "$(fact parent-id child.vhdx)" $other 'parent_uuid'
refuses x.vhdx 'has no parent' amend -o uuid=$id,parent_uuid=$id x.vhdx
refuses x.vhdx "no option 'compat'" amend -o compat=1.1 x.vhdx
run 0 'data_uuid' amend -f vhdx -o help

finish
