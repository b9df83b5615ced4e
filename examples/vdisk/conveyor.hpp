// SPDX-License-Identifier: BSL-1.0
// From a source to an image, in several threads: who reads, looks for zeros and packs is many, who
// gives clusters their places is one at a time.
#pragma once

#include <condition_variable>
#include <mutex>

#include <vdisk/io/runs.hpp>

#include "draft.hpp"
#include "progress.hpp"
#include "source.hpp"

namespace tool {

struct ConveyorOptions {
    uint32_t sparse = 4096;  ///< bytes of zeros that need not be written; 0: all is written
    bool compressed = false;
    bool any_order = false;    ///< of the clusters in the file
    bool zeros_there = false;  ///< the target reads as zeros where nothing is written
    Progress* progress = nullptr;
};

/// Takes turns: each worker claims a piece of the source, reads it, decides for each cluster what
/// becomes of it, and packs. Then, in the order of the pieces, clusters get their places, all of a
/// piece at once; the data is written while the next worker has its turn. Memory: two or three
/// buffers per worker.
class Conveyor {
public:
    /// `sources`: one to look ahead, and one per worker. `backings`: one per worker and one to look
    /// ahead as well, or none.
    Conveyor(std::vector<Source>& sources, std::vector<Disk>& backings, Draft& target,
             const ConveyorOptions& options);

    /// Throws Failure, which names `input` or the target; a signal is a failure.
    void run(const std::string& input);

private:
    struct Worker;
    struct Piece;
    struct Home;
    enum class What : uint8_t { kept, zero, data };

    vdisk::Status work(Worker& worker);
    vdisk::Result<bool> claim(Piece& piece);
    vdisk::Result<bool> skip();
    vdisk::Status load(Worker& worker, const Piece& piece) const;
    vdisk::Status classify(Worker& worker, const Piece& piece) const;
    vdisk::Status read_data(Worker& worker, const Piece& piece) const;
    vdisk::Status compare(Worker& worker, const Piece& piece, size_t first, size_t end) const;
    void find_zeros(Worker& worker, const Piece& piece) const;
    vdisk::Status pack(Worker& worker, const Piece& piece) const;
    vdisk::Status place(Worker& worker, const Piece& piece);
    vdisk::Status place_zeros(uint64_t at, uint64_t length);
    vdisk::Status place_data(Worker& worker, const Piece& piece, size_t first, size_t end);
    vdisk::Status place_packed(Worker& worker, const Piece& piece, size_t index);
    vdisk::Status write(Worker& worker) const;
    vdisk::Status write_home(Worker& worker, const Home& home) const;
    vdisk::Status commit(Worker& worker);
    vdisk::Status fail_target(vdisk::Status status);
    bool wait_for_turn(std::unique_lock<std::mutex>& lock, const Piece& piece);
    [[nodiscard]] size_t clusters_of(const Piece& piece) const;

    std::vector<Source>& sources_;
    std::vector<Disk>& backings_;
    Draft& target_;
    ConveyorOptions options_;
    uint64_t size_;
    uint64_t unit_;
    uint64_t piece_bytes_;
    uint32_t step_;  ///< bytes in which zeros are looked for

    std::mutex claims_;
    vdisk::Runs<Source> ahead_;
    std::optional<vdisk::Runs<Disk>> backing_ahead_;
    uint64_t claimed_ = 0;
    bool stopped_ = false;

    std::mutex turns_;
    std::condition_variable turn_ends_;
    uint64_t turn_ = 0;
    bool broken_ = false;
    bool target_failed_ = false;
};

}  // namespace tool
