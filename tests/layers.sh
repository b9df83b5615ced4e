#!/bin/sh
# Checks the rules of include/ that no compiler checks: who includes whom, which standard headers
# the freestanding set may use, the length of a file, and that there are no macros.
#
#   layers.sh                  checks include/; prints FILE:LINE: MESSAGE for each violation
#   layers.sh --freestanding   prints the headers of the freestanding set
#   layers.sh --self-test      plants violations in a copy and looks whether they are found
set -eu
tests=$(cd "$(dirname "$0")" && pwd)
root=${VDISK_ROOT:-$tests/..}

scan() {
    find vdisk vdisk.hpp -name '*.hpp' 2>/dev/null | LC_ALL=C sort | xargs awk -v mode="$1" '
    function bad(line, message) { print "include/" line ": " message; failed = 1 }

    # vdisk/format/qcow2/image.hpp -> folder "format", kind "qcow2" (empty for shared files)
    function folder(path, part) { split(path, part, "/"); return part[2] }
    function kind(path, part) { return split(path, part, "/") > 3 ? part[3] : "" }

    BEGIN {
        level["core"] = 1
        level["storage"] = level["allocation"] = level["codec"] = 2
        level["metadata"] = 3; level["format"] = 4; level["io"] = 5; level["disk"] = 6
        level["text"] = 7
        free = "^vdisk/(core/.*|metadata/.*|storage/(concepts|load|memory|window|callback|ref)" \
               "|allocation/(concepts|arena|none)|codec/(concepts|none)|format/image" \
               "|format/[^/]*/(disk|layout|image)|io/(read|write|zero|walk))[.]hpp$"
        free_std = "^(array|bit|concepts|cstddef|cstdint|cstring|limits|new|optional|span" \
                   "|string_view|type_traits|utility)$"
    }
    FNR == 1 {
        if (FILENAME ~ free) queue[++queued] = FILENAME
        if (FILENAME ~ /^vdisk\// && !(folder(FILENAME) in level))
            bad(FILENAME ":1", "is in no known folder")
    }
    FNR == 301 { bad(FILENAME ":301", "more than 300 lines") }
    # The one exception says of a header of the standard library that it is there already.
    /^[ \t]*#[ \t]*define/ && !/^#define _GLIBCXX_IOSFWD 1$/ {
        bad(FILENAME ":" FNR, "macros are not wanted")
    }
    /^[ \t]*#[ \t]*include/ {
        where = FILENAME ":" FNR
        if (!match($0, /<[^>]*>/)) { bad(where, "include with <>"); next }
        to = substr($0, RSTART + 1, RLENGTH - 2)
        includes[FILENAME] = includes[FILENAME] " " to
        line[FILENAME, to] = where
        if (to ~ /^boost\// && FILENAME != "vdisk/core/endian.hpp")
            bad(where, "Boost is included by core/endian.hpp alone")
        if (FILENAME == "vdisk.hpp") next
        if (to == "vdisk.hpp") bad(where, "vdisk.hpp is for users")
        if (to !~ /^vdisk\//) next

        mine = folder(FILENAME); other = folder(to)
        if (level[other] > level[mine])
            bad(where, mine "/ may not include " other "/")
        else if (level[other] == level[mine] && other != mine && to !~ /\/concepts[.]hpp$/)
            bad(where, mine "/ may include nothing but concepts.hpp of " other "/")
        else if (other == "format" && kind(to) != "" && level[mine] < level["disk"] &&
                 kind(to) != kind(FILENAME))
            bad(where, "format/" kind(to) "/ is named by itself, disk/ and text/ alone")
    }
    END {
        # What the freestanding set includes belongs to it. The queue grows while it is walked.
        for (i = 1; i <= queued; ++i) {
            file = queue[i]
            if (seen[file]++) continue
            if (mode == "list") print file
            n = split(includes[file], list, " ")
            for (k = 1; k <= n; ++k) {
                if (list[k] ~ /^vdisk\//) queue[++queued] = list[k]
                else if (list[k] !~ free_std && list[k] !~ /^boost\//)
                    bad(line[file, list[k]], "<" list[k] "> is not for the freestanding set")
            }
        }
        exit mode != "list" && failed
    }'
}

# plant FILE MESSAGE LINE...: a file of these lines must lead to MESSAGE, or to silence if that is ""
plant() {
    file=include/vdisk/$1 message=$2 && shift 2
    mkdir -p "$(dirname "$copy/$file")"
    printf '%s\n' "$@" >"$copy/$file"
    found=$(VDISK_ROOT=$copy sh "$tests/layers.sh" | grep "^$file:" || true)
    rm "$copy/$file"
    case $message:$found in
    : | ?*:"$file":*"$message"*) ;;
    *) echo "$file: expected '$message', got '$found'" && failed=1 ;;
    esac
}

self_test() {
    copy=$(mktemp -d) failed=0
    trap 'rm -rf "$copy"' EXIT
    cp -R "$root/include" "$copy"
    plant core/x.hpp 'may not include storage/' '#include <vdisk/storage/memory.hpp>'
    plant allocation/x.hpp 'may not include metadata/' '#include <vdisk/metadata/metadata.hpp>'
    plant metadata/x.hpp 'may not include format/' '#include <vdisk/format/image.hpp>'
    plant format/x.hpp '' '#include <vdisk/metadata/metadata.hpp>' '#include <map>'
    plant io/x.hpp 'may not include disk/' '#include <vdisk/disk/any.hpp>'
    plant disk/x.hpp 'may not include text/' '  # include <vdisk/text/json.hpp>'
    plant storage/x.hpp 'nothing but concepts.hpp' '#include <vdisk/codec/none.hpp>'
    plant storage/x.hpp '' '#include <vdisk/codec/concepts.hpp>' '#include <vector>'
    plant format/x/x.hpp 'may not include io/' '#include <vdisk/io/read.hpp>'
    plant format/x/x.hpp 'format/y/ is named' '#include <vdisk/format/y/layout.hpp>'
    plant format/x.hpp 'format/y/ is named' '#include <vdisk/format/y/layout.hpp>'
    plant io/x.hpp 'format/y/ is named' '#include <vdisk/format/y/layout.hpp>'
    plant format/x/x.hpp '' '#include <vdisk/format/x/layout.hpp>' '#include <string>'
    plant disk/x.hpp '' '#include <vdisk/format/y/layout.hpp>'
    plant disk/x.hpp 'Boost' '#include <boost/endian/buffers.hpp>'
    plant disk/x.hpp 'with <>' '#include "any.hpp"'
    plant disk/x.hpp 'for users' '#include <vdisk.hpp>'
    plant core/x.hpp '<vector>' '#include <span>' '#include <vector>  // why not'
    plant format/x/image.hpp '<string>' '#include <string>'
    plant io/walk.hpp '<memory>' '#include <memory>'
    plant misc/x.hpp 'no known folder' ''
    plant text/x.hpp 'macros' '#define X'
    plant text/x.hpp '' '// #define X'
    plant text/x.hpp '' $(seq 300)
    plant text/x.hpp '300 lines' $(seq 301)
    # reached from the freestanding set, though not in it by name
    printf '#include <vdisk/format/x/more.hpp>\n' >"$copy/include/vdisk/core/reach.hpp"
    plant format/x/more.hpp '<map>' '#include <map>'
    exit $failed
}

cd "$root/include"
case ${1:-} in
--self-test) cd "$root" && self_test ;;
--freestanding) scan list ;;
*) scan check ;;
esac
