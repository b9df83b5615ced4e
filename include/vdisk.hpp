// SPDX-License-Identifier: BSL-1.0
// Everything for programs that run on an operating system. Firmware includes what it needs.
#pragma once

#include <vdisk/allocation/arena.hpp>
#include <vdisk/allocation/limited.hpp>
#include <vdisk/allocation/none.hpp>
#include <vdisk/disk/open.hpp>
#include <vdisk/format/qcow/create.hpp>
#include <vdisk/format/qcow2/amend.hpp>
#include <vdisk/format/qcow2/bitmaps.hpp>
#include <vdisk/format/qcow2/create.hpp>
#include <vdisk/format/qcow2/downgrade.hpp>
#include <vdisk/format/qcow2/repair.hpp>
#include <vdisk/format/qcow2/resize.hpp>
#include <vdisk/format/qcow2/snapshots.hpp>
#include <vdisk/format/qcow2/writer.hpp>
#include <vdisk/format/vhd/change.hpp>
#include <vdisk/format/vhd/check.hpp>
#include <vdisk/format/vhd/compact.hpp>
#include <vdisk/format/vhd/create.hpp>
#include <vdisk/format/vhd/repair.hpp>
#include <vdisk/format/vhd/resize.hpp>
#include <vdisk/format/vhdx/create.hpp>
#include <vdisk/io/compare.hpp>
#include <vdisk/io/copy.hpp>
#include <vdisk/io/pack.hpp>
#include <vdisk/io/zero.hpp>
#include <vdisk/storage/borrowed.hpp>
#include <vdisk/storage/callback.hpp>
#include <vdisk/storage/growable.hpp>
#include <vdisk/storage/memory.hpp>
#include <vdisk/storage/mmap.hpp>
#include <vdisk/storage/pread.hpp>
#include <vdisk/storage/window.hpp>
#include <vdisk/text/error.hpp>
#include <vdisk/text/json.hpp>
#include <vdisk/text/size.hpp>
