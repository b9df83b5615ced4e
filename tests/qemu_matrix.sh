#!/bin/sh
# Every kind of image qemu-img can make, read by TOOL (the vdisk tool) and by qemu-img: the same
# bytes, `compare` finds no difference, `map` and `info` agree in every field they share. TOOL goes
# on writing each, and makes its own: qemu-img finds nothing wrong, and the bytes of a raw model.
#
#   qemu_matrix.sh TOOL [PATTERN]   PATTERN: only the cases whose name it matches (grep)
#
# A case is a line "NAME RECIPE ARGUMENTS"; recipes are the functions make_* below. Each runs in a
# folder of its own; the lists at the end say which there are.
set -u
here=$(cd "$(dirname "$0")" && pwd)
size=5242880

# --- building blocks ---------------------------------------------------------------------------
qcreate() { qemu-img create -q "$@"; }
qwrite() { # FORMAT FILE COMMAND...: qemu-io, quietly
    format=$1 file=$2 && shift 2
    for command in "$@"; do set -- "$@" -c "$command" && shift; done
    qemu-io -f "$format" "$@" "$file" >io.log 2>&1 || { cat io.log && return 1; }
}
# Out of order, with partial clusters, overwrites, zeros and discards.
scribble() {
    qwrite "$1" "$2" 'write -P 1 4M 70k' 'write -P 2 0 100k' 'write -P 3 2049k 65k' \
        'write -P 4 70000 512' 'write -P 5 1M 3k' 'write -P 6 3000k 1'
}
scribble_zeros() {
    qwrite qcow2 "$1" 'write -z 64k 64k' 'write -z 2100k 512' 'write -z 4M 20k' 'write -z 1500k 1M' \
        'discard 2049k 64k' 'discard 0 12k' 'write -P 7 2000k 5k' 'write -zu 4200k 256k'
}

# check FILE FORMAT [QEMU-SNAPSHOT-OPTION TOOL-OPTION...]: the comparison itself
check() {
    file=$1 format=$2 snapshot=${3:-} && shift 2
    [ $# -eq 0 ] || shift
    qemu-img convert -f "$format" -O raw ${snapshot:+-l "$snapshot"} "$file" theirs.raw || return 1
    "$TOOL" convert -f "$format" -O raw ${snapshot:+-l "$snapshot"} "$@" "$file" ours.raw || return 1
    cmp ours.raw theirs.raw || return 1
    rm -f ours.raw
    [ -z "$snapshot" ] || return 0
    said=$("$TOOL" compare -f "$format" -F raw "$@" "$file" theirs.raw) || return 1
    [ "$said" = 'Images are identical.' ] || { echo "compare: $said" && return 1; }
    for command in map info; do
        qemu-img $command -f "$format" --output=json "$file" >theirs.$command || return 1
        "$TOOL" $command -f "$format" --output=json "$@" "$file" >ours.$command || return 1
    done
    [ "$format" != vhdx ] || cp ours.map theirs.map # of those QEMU takes all for data
    python3 "$here/json_equal.py" ours.map theirs.map ours.info theirs.info
}

# check_applied FILE SNAPSHOT: `qemu-img convert -l` cuts or fills a snapshot to the current size of
# the disk; ours has the size it had.
check_applied() {
    cp "$1" applied && qemu-img snapshot -a "$2" applied &&
        qemu-img convert -f qcow2 -O raw applied theirs.raw &&
        "$TOOL" convert -f qcow2 -O raw -l "$2" "$1" ours.raw && cmp ours.raw theirs.raw
}

# --- recipes -----------------------------------------------------------------------------------
make_plain() { # OPTIONS: scribbled on
    qcreate -f qcow2 -o "$1" x $size && scribble qcow2 x && check x qcow2
}
make_zeros() {
    qcreate -f qcow2 -o "$1" x $size && scribble qcow2 x && scribble_zeros x && check x qcow2
}
make_fresh() { # OPTIONS SIZE: nothing written
    qcreate -f qcow2 -o "$1" x "$2" && check x qcow2
}
make_packed() { # OPTIONS: all compressed, then some of it overwritten
    qemu-img convert -c -f raw -O qcow2 -o "$1" "$WORK/text.raw" x && check x qcow2 &&
        scribble qcow2 x && check x qcow2
}
make_data_file() {
    qcreate -f qcow2 -o "data_file=x.data,$1" x $size && scribble qcow2 x && check x qcow2 &&
        qwrite qcow2 x 'write -z 2M 128k' 'discard 4M 64k' && check x qcow2
}
make_snapshots() { # OPTIONS: the name of the first is the id of the second
    qcreate -f qcow2 -o "$1" x $size && qwrite qcow2 x 'write -P 1 1M 300k' 'write -P 2 0 5k' &&
        qemu-img snapshot -c 2 x && scribble qcow2 x && qemu-img snapshot -c 'the second' x &&
        qwrite qcow2 x 'write -P 9 1M 100k' && qemu-img snapshot -c third x &&
        qwrite qcow2 x 'write -P 8 4M 1M' && check x qcow2 || return 1
    for wanted in 1 2 3 'the second' third; do check x qcow2 "$wanted" || return 1; done
}
make_resized_snapshots() {
    qcreate -f qcow2 -o "$1" x 3M && qwrite qcow2 x 'write -P 1 1M 300k' &&
        qemu-img snapshot -c small x && qemu-img resize -q x $size && scribble qcow2 x &&
        qemu-img snapshot -c large x && qemu-img resize -q --shrink x 2M && check x qcow2 &&
        check_applied x small && check_applied x large
}
make_qcow() {
    qcreate -f qcow x "$1" && check x qcow && qwrite qcow x 'write -P 1 1M 3k' 'write -P 2 0 70k' \
        'write -P 3 70000 512' 'write -P 4 512k 1' && check x qcow
}
make_qcow_packed() {
    # qemu-img 7.2 makes the image and ends with exit code 1.
    qemu-img convert -c -f raw -O qcow "$WORK/text.raw" x
    check x qcow && cmp theirs.raw "$WORK/text.raw" &&
        qwrite qcow x 'write -P 1 4M 70k' 'write -P 2 0 100k' && check x qcow
}
make_blocks() { # FORMAT OPTIONS SIZE
    qcreate -f "$1" -o "$2" x "$3" && check x "$1" && qwrite "$1" x 'write -P 1 1M 3k' \
        'write -P 2 0 70k' 'write -P 3 70000 512' 'write -P 4 4M 1' 'write -z 2M 5k' && check x "$1"
}
make_raw() { # SIZE: with holes
    truncate -s "$1" x && qwrite raw x 'write -P 1 64k 64k' 'write -P 2 300k 1k' && check x raw
}
# FORMAT SIZE...: a chain, base first; only compressed overlays are "packed"
make_chain() {
    depth=0 parent='' parent_format=''
    while [ $# -gt 0 ]; do
        format=$1 length=$2 && shift 2
        name=image$depth
        if [ "$format" = raw ]; then
            head -c "$length" "$WORK/text.raw" >$name
        elif [ "$format" = packed ]; then
            format=qcow2
            qemu-img convert -c -f raw -O qcow2 ${parent:+-B $parent -F $parent_format} \
                "$WORK/text.raw" $name || return 1
        else
            options=
            case $format in qcow2-*) options="-o ${format#qcow2-}" format=qcow2 ;; esac
            # shellcheck disable=SC2086 # the options are words
            qcreate -f "$format" $options ${parent:+-b $parent -F $parent_format} $name "$length" ||
                return 1
            qwrite "$format" $name "write -P 1$depth $((depth * 300 + 10))k 500k" \
                "write -P 2$depth $((depth * 7 + 1))k 3k" "write -P 3$depth 1999k 1" || return 1
            [ "$format" = qcow ] || qwrite qcow2 $name "write -z $((depth * 200 + 90))k 100k" \
                "discard $((depth * 100))k 64k" || return 1
        fi
        parent=$name parent_format=$format depth=$((depth + 1))
    done
    # Version 1 does not say what its backing file is.
    backing=$(qemu-img info -f "$format" "$name" | sed -n 's/^backing file: image\([0-9]*\).*/\1/p')
    check "$name" "$format" '' ${backing:+--backing-format raw}
}
make_chain_over_qcow2() { # a version 1 image over a version 3 one
    qcreate -f qcow2 base $size && scribble_zeros base && qcreate -f qcow -b base -F qcow2 x $size &&
        qwrite qcow x 'write -P 1 1M 3k' && check x qcow '' --backing-format qcow2
}

# --- recipes: written by TOOL --------------------------------------------------------------------
# Lines of the same commands for TOOL io and, on the raw model, for qemu-io. What a discard leaves is
# open, so it is written over.
edits() { # NUMBER
    case $1 in
    1) printf '%s\n' 'write -P 11 4M 70k' 'write -P 12 0 100k' 'write -P 13 2049k 65k' \
        'write -P 14 70000 512' 'write -z 64k 64k' 'write -z 2100k 512' 'write -zu 1500k 1M' \
        'write -P 15 2000k 5k' 'discard 3000k 300k' 'write -P 16 2900k 500k' ;;
    2) printf '%s\n' 'write -P 17 5242368 512' 'write -P 18 1 1' 'write -zu 0 4M' \
        'write -P 19 1M 2M' 'discard 0 5M' 'write -P 20 0 5M' 'write -z 300k 4M' flush \
        'write -P 21 777 1M' 'write -zu 4200k 256k' ;;
    esac
}
apply() { # COMMAND... FILE, which reads -c arguments
    while IFS= read -r line; do set -- "$@" -c "$line"; done
    "$@"
}
# edit FORMAT FILE [TOOL-OPTION...]: both rounds by TOOL, on model.raw by QEMU; checked in between
edit() {
    format=$1 file=$2 && shift 2
    for round in 1 2; do
        edits $round | apply "$TOOL" io -f "$format" "$@" "$file" >io.log || { cat io.log && return 1; }
        edits $round | apply qemu-io -f raw model.raw >io.log || { cat io.log && return 1; }
        sound "$file" "$format" || return 1
    done
}
# sound FILE FORMAT: no leak, nothing wrong, the bytes of model.raw
sound() {
    [ "$2" = qcow2 ] && { qemu-img check -f qcow2 "$1" || return 1; }
    [ "$2" = vhdx ] && { qemu-img check -f vhdx "$1" || return 1; }
    case $2 in vpc | vhdx) "$TOOL" check -f "$2" "$1" || return 1 ;; esac
    qemu-img compare -f "$2" -F raw "$1" model.raw
}
model() { cp --sparse=always "$1" model.raw; }

make_written() { # OPTIONS: made by qemu-img, written by us, then by QEMU, then by us again
    qcreate -f qcow2 -o "$1" x $size && truncate -s $size model.raw && edit qcow2 x &&
        scribble qcow2 x && scribble raw model.raw && sound x qcow2 && edit qcow2 x
}
make_written_packed() { # OPTIONS
    qemu-img convert -c -f raw -O qcow2 -o "$1" "$WORK/text.raw" x && model "$WORK/text.raw" &&
        edit qcow2 x && "$TOOL" io -c 'write -c -P 31 2M 2M' x && qwrite raw model.raw \
        'write -P 31 2M 2M' && sound x qcow2 && edit qcow2 x
}
make_written_snapshots() { # OPTIONS: the snapshot keeps what it has
    qcreate -f qcow2 -o "$1" x $size && scribble qcow2 x && qemu-img convert -O raw x old.raw &&
        model old.raw && qemu-img snapshot -c one x && edit qcow2 x &&
        qemu-img snapshot -c two x && edit qcow2 x && qemu-img snapshot -a one x &&
        model old.raw && sound x qcow2 && edit qcow2 x
}
make_written_chain() { # OPTIONS FORMAT: an overlay over one of that format
    qemu-img convert -O "$2" "$WORK/text.raw" base && cp base base.before &&
        qcreate -f qcow2 -o "$1" -b base -F "$2" x $size && model "$WORK/text.raw" &&
        edit qcow2 x && cmp base base.before
}
make_written_qcow() { # [BASE-FORMAT]
    if [ "${1:-}" ]; then
        qemu-img convert -O "$1" "$WORK/text.raw" base && qcreate -f qcow -b base -F "$1" x $size &&
            model "$WORK/text.raw" && edits 1 | apply "$TOOL" io --backing-format "$1" -f qcow x &&
            edits 1 | apply qemu-io -f raw model.raw &&
            "$TOOL" compare -f qcow --backing-format "$1" -F raw x model.raw
    else
        qcreate -f qcow x $size && truncate -s $size model.raw && edit qcow x
    fi
}
# On a disk that QEMU rounds up, the model is as long.
make_written_blocks() { # FORMAT OPTIONS: made by qemu-img, written by us and by QEMU in turns
    qcreate -f "$1" -o "$2" x $size && qemu-img convert -f "$1" -O raw x model.raw && edit "$1" x &&
        scribble "$1" x && scribble raw model.raw && sound x "$1" && check x "$1" && edit "$1" x
}
make_ours_blocks() { # FORMAT OPTIONS: made by us
    "$TOOL" create -q -f "$1" -o "$2" x $size && qemu-img convert -f "$1" -O raw x model.raw &&
        edit "$1" x && scribble "$1" x && scribble raw model.raw && sound x "$1" && check x "$1"
}
make_converted_blocks() { # FORMAT OPTIONS: from raw and back, and written by QEMU
    "$TOOL" convert -O "$1" -o "$2" "$WORK/text.raw" x && model "$WORK/text.raw" && sound x "$1" &&
        "$TOOL" convert -f "$1" -O raw x model.raw && scribble "$1" x && scribble raw model.raw &&
        sound x "$1" && check x "$1" && edit "$1" x
}
make_ours() { # OPTIONS: made by us, written by us and by QEMU
    "$TOOL" create -q -f qcow2 -o "$1" x $size && truncate -s $size model.raw && edit qcow2 x &&
        scribble qcow2 x && scribble raw model.raw && sound x qcow2
}
make_converted() { # FLAGS OPTIONS: from raw and back, and written by QEMU
    # shellcheck disable=SC2086 # flags are words
    "$TOOL" convert ${1#--} -O qcow2 -o "$2" "$WORK/text.raw" x && model "$WORK/text.raw" &&
        sound x qcow2 && "$TOOL" convert -O raw x back.raw && cmp back.raw model.raw &&
        scribble qcow2 x && scribble raw model.raw && sound x qcow2 && check x qcow2
}
make_converted_over() { # FLAGS OPTIONS: only what differs from the backing file
    # shellcheck disable=SC2086
    qemu-img convert -O qcow2 "$WORK/text.raw" base && qcreate -f qcow2 -b base -F qcow2 top &&
        scribble qcow2 top && scribble_zeros top && qemu-img convert -O raw top model.raw &&
        "$TOOL" convert ${1#--} -O qcow2 -o "$2" -B base -F qcow2 top x && sound x qcow2 &&
        "$TOOL" convert ${1#--} -O qcow2 -o "$2" -B base -F qcow2 model.raw y && sound y qcow2
}
make_converted_qcow() { # FLAGS
    # shellcheck disable=SC2086
    "$TOOL" convert ${1#--} -O qcow "$WORK/text.raw" x && model "$WORK/text.raw" && sound x qcow &&
        edit qcow x
}

# --- one case: called by xargs -------------------------------------------------------------------
if [ "$1" = --case ]; then
    # shellcheck disable=SC2086 # the line is made of words
    set -- $2
    title=$1 recipe=$2 && shift 2
    mkdir "$WORK/$title" && cd "$WORK/$title" || exit 1
    if make_"$recipe" "$@" >log 2>&1; then
        echo "ok   $title"
        cd / && rm -rf "${WORK:?}/$title"
    else
        echo "FAIL $title: $(tail -n 3 log | tr '\n' ' ')"
    fi
    exit 0
fi

# --- the matrix ----------------------------------------------------------------------------------
cases() {
    for cluster in 512 1k 4k 64k 1M 2M; do
        old=compat=0.10,cluster_size=$cluster new=compat=1.1,cluster_size=$cluster
        echo "v2-$cluster plain $old"
        echo "v2-$cluster-zlib packed $old"
        echo "v2-$cluster-snapshots snapshots $old"
        echo "v3-$cluster plain $new"
        echo "v3-$cluster-zeros zeros $new"
        echo "v3-$cluster-zlib packed $new"
        echo "v3-$cluster-zstd packed $new,compression_type=zstd"
        echo "v3-$cluster-lazy zeros $new,lazy_refcounts=on"
        echo "v3-$cluster-snapshots snapshots $new"
        echo "v3-$cluster-resized resized_snapshots $new"
        echo "v3-$cluster-data-file data_file $new"
        echo "v3-$cluster-data-file-raw data_file $new,data_file_raw=on"
        for mode in metadata falloc full; do
            echo "v3-$cluster-$mode zeros $new,preallocation=$mode"
        done
    done
    for cluster in 16k 64k 1M 2M; do
        extended=extended_l2=on,cluster_size=$cluster
        echo "extended-$cluster plain $extended"
        echo "extended-$cluster-zeros zeros $extended"
        echo "extended-$cluster-zlib packed $extended"
        echo "extended-$cluster-zstd packed $extended,compression_type=zstd"
        echo "extended-$cluster-metadata zeros $extended,preallocation=metadata"
        echo "extended-$cluster-snapshots snapshots $extended"
        echo "extended-$cluster-data-file data_file $extended"
        echo "extended-$cluster-chain chain raw 3M qcow2-$extended $size qcow2-$extended 4M"
    done
    for bits in 1 2 4 8 16 32 64; do
        echo "refcount-$bits zeros refcount_bits=$bits,cluster_size=512"
        [ $bits -lt 4 ] || echo "refcount-$bits-snapshots snapshots refcount_bits=$bits"
    done
    for length in 0 512 1536 5241344 5242879 600M; do
        echo "size-$length fresh cluster_size=4k $length"
    done
    for mode in metadata falloc full; do
        echo "fresh-$mode fresh preallocation=$mode $size"
    done
    for base in raw qcow qcow2 packed; do
        chain="$base 3M"
        for depth in 1 2 3 4 5; do
            chain="$chain qcow2 $size"
            echo "chain-$base-$depth chain $chain"
        done
    done
    echo "chain-longer chain raw $size qcow2 4M qcow2 3M"
    echo "chain-cut chain raw $size qcow2 2M qcow2 $size"
    echo "chain-odd chain raw 1000001 qcow2 $size"
    echo "chain-mixed chain raw 4M qcow2-cluster_size=512 5M qcow2-cluster_size=2M 3M qcow2 6M"
    echo "chain-packed chain raw 4M packed - qcow2 6M"
    echo "chain-qcow-in-the-middle chain raw 4M qcow 4M qcow2 $size"
    echo "qcow-over-raw chain raw 3M qcow $size"
    echo "qcow-over-qcow2 chain_over_qcow2"
    for cluster in 512 4k 64k 2M; do
        for options in compat=0.10 compat=1.1 lazy_refcounts=on preallocation=metadata \
            preallocation=full refcount_bits=1 refcount_bits=64 compression_type=zstd; do
            all=cluster_size=$cluster,$options
            zstd= && [ $options != compression_type=zstd ] || zstd=-zstd
            echo "written-$cluster-$options$zstd written $all"
            echo "ours-$cluster-$options$zstd ours $all"
            echo "converted-$cluster-$options$zstd converted -- $all"
            case $options in
            preallocation*) ;;
            *)
                echo "written-packed-$cluster-$options$zstd written_packed $all"
                echo "converted-packed-$cluster-$options$zstd converted -c $all"
                echo "converted-over-$cluster-$options$zstd converted_over -- $all"
                ;;
            esac
        done
        echo "written-$cluster-data written data_file=x.data,cluster_size=$cluster"
        echo "written-$cluster-data-raw written data_file=x.data,data_file_raw=on,cluster_size=$cluster"
        echo "ours-$cluster-data ours data_file=x.data,cluster_size=$cluster"
        echo "converted-$cluster-data converted -- data_file=x.data,cluster_size=$cluster"
        for format in raw qcow qcow2; do
            echo "written-$cluster-over-$format written_chain cluster_size=$cluster $format"
        done
        echo "written-$cluster-snapshots written_snapshots cluster_size=$cluster"
        echo "converted-$cluster-any-order converted -W cluster_size=$cluster"
        echo "converted-$cluster-all converted -S0 cluster_size=$cluster"
    done
    for cluster in 16k 64k 2M; do
        all=extended_l2=on,cluster_size=$cluster
        echo "written-extended-$cluster written $all"
        echo "written-extended-$cluster-metadata written $all,preallocation=metadata"
        echo "written-extended-$cluster-packed written_packed $all"
        echo "written-extended-$cluster-snapshots written_snapshots $all"
        echo "written-extended-$cluster-over written_chain $all qcow2"
        echo "written-extended-$cluster-data written $all,data_file=x.data"
        echo "ours-extended-$cluster ours $all"
        echo "converted-extended-$cluster converted -- $all"
        echo "converted-extended-$cluster-packed converted -c $all"
        echo "converted-extended-$cluster-over converted_over -- $all"
    done
    echo "written-qcow written_qcow"
    echo "written-qcow-over-qcow2 written_qcow qcow2"
    echo "converted-qcow converted_qcow --"
    echo "converted-qcow-packed converted_qcow -c"
    for type in dynamic fixed; do
        for force in on off; do
            options=subformat=$type,force_size=$force
            echo "vpc-$type-$force blocks vpc $options $size"
            echo "vpc-$type-$force-odd blocks vpc $options 5241856"
            echo "written-vpc-$type-$force written_blocks vpc $options"
            echo "ours-vpc-$type-$force ours_blocks vpc $options"
            echo "converted-vpc-$type-$force converted_blocks vpc $options"
        done
        for block in 1M 2M 8M; do
            options=subformat=$type,block_size=$block
            echo "vhdx-$type-$block blocks vhdx $options $size"
            echo "vhdx-$type-$block-odd blocks vhdx $options,block_state_zero=off 5241856"
            echo "written-vhdx-$type-$block written_blocks vhdx $options"
            echo "ours-vhdx-$type-$block ours_blocks vhdx $options,log_size=2M"
            echo "converted-vhdx-$type-$block converted_blocks vhdx $options"
        done
    done
    for block in 512k 4M; do
        echo "ours-vpc-$block ours_blocks vpc block_size=$block"
        echo "converted-vpc-$block converted_blocks vpc block_size=$block"
    done
    echo "qcow qcow $size"
    echo "qcow-odd qcow 5241344"
    echo "qcow-packed qcow_packed"
    echo "raw raw $size"
    echo "raw-odd raw 1000001"
}

# shellcheck source=need.sh
. "$here/need.sh"
need qemu-img qemu-io python3 cmp truncate xargs
TOOL=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
WORK=$(mktemp -d)
export TOOL WORK
trap 'rm -rf "$WORK"' EXIT
{ seq 1 200000; head -c 1M /dev/zero; seq 900000 -2 1; } | head -c $size >"$WORK/text.raw"
# The newest features first: what this qemu-img does not know is left out.
qemu-img convert -O qcow2 -o compression_type=zstd -c "$WORK/text.raw" "$WORK/zstd" 2>/dev/null ||
    without='^[^ ]*-zstd '

cases | grep -v -e "${without:-^$}" | grep -e "${2:-.}" |
    xargs -d '\n' -n 1 -P "$(nproc)" sh "$0" --case >"$WORK/results"
sort "$WORK/results"
failed=$(grep -c '^FAIL' "$WORK/results")
echo "$(grep -c '^ok' "$WORK/results") passed, $failed failed"
[ "$failed" = 0 ] && [ -s "$WORK/results" ]
