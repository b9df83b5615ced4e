// SPDX-License-Identifier: BSL-1.0
// Who does what, and when it is whose turn.
#include <algorithm>
#include <thread>

#include <vdisk/io/copy.hpp>

#include "conveyor_parts.hpp"
#include "interrupt.hpp"

namespace tool {

using namespace vdisk;

namespace {

/// Large enough that a run of clusters is written at once, small enough to stay in the cache until
/// it is.
constexpr uint64_t plain_bytes = 1_MiB;
constexpr uint64_t packed_bytes = 512_KiB;

}  // namespace

Conveyor::Conveyor(std::vector<Source>& sources, std::vector<Disk>& backings, Draft& target,
                   const ConveyorOptions& options)
    : sources_(sources),
      backings_(backings),
      target_(target),
      options_(options),
      size_(sources[0].size()),
      unit_(target.unit()),
      piece_bytes_(std::max(unit_, options.compressed ? packed_bytes : plain_bytes)),
      step_(std::min(io::zero_step(options.sparse == 0 ? 4096 : options.sparse),
                     static_cast<uint32_t>(std::min<uint64_t>(unit_, 4096)))),
      ahead_(sources[0], 0, size_, piece_bytes_) {
    if (!backings_.empty()) backing_ahead_.emplace(backings_[0], 0, size_, piece_bytes_);
}

void Conveyor::run(const std::string& input) {
    const size_t count = sources_.size() - 1;
    std::vector<Worker> workers(count);
    const size_t bytes = static_cast<size_t>(piece_bytes_);
    for (size_t i = 0; i < count; ++i) {
        Worker& worker = workers[i];
        worker.source = &sources_[i + 1];
        if (!backings_.empty()) worker.backing = &backings_[i + 1];
        const bool enough = worker.data.reserve(bytes) &&
                            (!options_.compressed || worker.packed.reserve(bytes)) &&
                            (worker.backing == nullptr || worker.other.reserve(bytes));
        if (!enough) throw Failure{"no memory"};
        worker.what.resize(bytes / unit_);
        worker.zeros.resize(bytes / step_);
        worker.packed_size.resize(bytes / unit_);
        worker.homes.reserve(bytes / unit_);
    }
    std::vector<Status> results(count);
    const auto work_one = [&](size_t i) {
        results[i] = work(workers[i]);
        if (results[i]) return;
        const std::scoped_lock lock(claims_, turns_);
        stopped_ = broken_ = true;
        turn_ends_.notify_all();
    };
    {
        std::vector<std::jthread> threads;
        for (size_t i = 1; i < count; ++i) threads.emplace_back(work_one, i);
        work_one(0);
    }
    check_interrupt();
    for (const Status& result : results) {
        if (!result) throw failure(target_failed_ ? target_.path() : input, result.error());
    }
}

Status Conveyor::work(Worker& worker) {
    for (Piece piece; interrupted() == 0;) {
        const auto claimed = claim(piece);
        if (!claimed) return claimed.error();
        if (!*claimed) return {};
        if (Status loaded = load(worker, piece); !loaded) return loaded;
        worker.homes.clear();
        {
            std::unique_lock lock(turns_);
            if (!wait_for_turn(lock, piece)) return {};
            if (Status placed = fail_target(place(worker, piece)); !placed) return placed;
            worker.file.emplace(target_.writer().storage());
            ++turn_;
        }
        turn_ends_.notify_all();
        if (worker.homes.empty()) continue;
        const Status written = write(worker);
        const std::lock_guard lock(turns_);
        if (!written) return fail_target(written);
        if (Status shown = fail_target(commit(worker)); !shown) return shown;
    }
    const std::scoped_lock lock(claims_, turns_);  // a signal: nobody waits for this piece
    stopped_ = broken_ = true;
    turn_ends_.notify_all();
    return {};
}

// Called with `turns_` held.
Status Conveyor::fail_target(Status status) {
    if (!status) target_failed_ = true;
    return status;
}

bool Conveyor::wait_for_turn(std::unique_lock<std::mutex>& lock, const Piece& piece) {
    turn_ends_.wait(lock, [&] { return broken_ || options_.any_order || turn_ == piece.number; });
    return !broken_;
}

size_t Conveyor::clusters_of(const Piece& piece) const {
    return static_cast<size_t>((piece.length + unit_ - 1) / unit_);
}

// Steps over one run that leaves nothing to be done; false if there is none.
Result<bool> Conveyor::skip() {
    if (options_.sparse == 0 || ahead_.done() || interrupted() != 0) return false;
    const auto run = ahead_.here();
    if (!run) return run.error();
    if (!run->is_empty()) return false;
    uint64_t length = std::min(run->length, size_ - ahead_.at());
    if (run->kind == Kind::zero && !options_.zeros_there) {
        if (!backing_ahead_) return false;
        const auto below = backing_ahead_->here();
        if (!below) return below.error();
        if (!below->is_empty()) return false;
        length = std::min(length, below->length);
    }
    // Pieces are whole clusters.
    const uint64_t end = ahead_.at() + length;
    if (end < size_)
        length = end / unit_ * unit_ > ahead_.at() ? end / unit_ * unit_ - ahead_.at() : 0;
    if (length == 0) return false;
    ahead_.advance(length);
    if (backing_ahead_) backing_ahead_->advance(length);
    return true;
}

Result<bool> Conveyor::claim(Piece& piece) {
    const std::lock_guard lock(claims_);
    if (stopped_) return false;
    for (Result<bool> skipped = true;;) {
        skipped = skip();
        if (!skipped) return skipped.error();
        if (!*skipped) break;
    }
    if (options_.progress != nullptr) options_.progress->at(ahead_.at(), size_);
    if (ahead_.at() >= size_) return false;
    const auto run = ahead_.here();
    if (!run) return run.error();
    piece = {.number = claimed_++,
             .at = ahead_.at(),
             .length = std::min(piece_bytes_ - ahead_.at() % piece_bytes_, size_ - ahead_.at())};
    if (run->length >= piece.length) piece.kind = run->kind;
    ahead_.advance(piece.length);
    if (backing_ahead_) backing_ahead_->advance(piece.length);
    return true;
}

}  // namespace tool
