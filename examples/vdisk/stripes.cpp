// SPDX-License-Identifier: BSL-1.0
#include "stripes.hpp"

#include <algorithm>
#include <thread>

#include "interrupt.hpp"
#include "opening.hpp"

namespace tool {

using namespace vdisk;

Status read(const View& view, uint64_t at, MutBytes out) {
    const auto get = [&](uint64_t from, MutBytes bytes) {
        return vdisk::read(view.disk(), from, bytes);
    };
    const Status got = get(at, out);
    if (got || view.salvage() == nullptr) return got;
    return view.salvage()->read(at, out, get);
}

Stripes::Stripes(const std::vector<const Disk*>& disks, uint64_t at, uint64_t end, Options options)
    : start_(at), end_(end), options_(options) {
    for (const Disk* disk : disks) runs_.emplace_back(*disk, at, end, bytes);
}

Result<std::optional<Stripe>> Stripes::claim() {
    const std::lock_guard lock(mutex_);
    std::optional<Stripe> next;
    if (stopped_) return next;
    if (options_.skip_empty) {
        for (Result<bool> skipped = true;;) {
            skipped = skip();
            if (!skipped) return skipped.error();
            if (!*skipped) break;
        }
    }
    const uint64_t at = runs_.front().at();
    if (options_.progress != nullptr) options_.progress->at(at - start_, end_ - start_);
    if (at == end_) return next;
    auto taken = take();
    if (!taken) return taken.error();
    return next = *taken;
}

void Stripes::stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
}

// Steps over one run that is empty on all disks; false if there is none.
Result<bool> Stripes::skip() {
    if (runs_.front().done() || interrupted() != 0) return false;
    uint64_t length = end_;
    for (auto& runs : runs_) {
        const auto run = runs.here();
        if (!run && options_.salvage) return false;
        if (!run) return run.error();
        if (!run->is_empty()) return false;
        length = std::min(length, run->length);
    }
    for (auto& runs : runs_) runs.advance(length);
    return true;
}

Result<Stripe> Stripes::take() {
    const uint64_t at = runs_.front().at();
    Stripe stripe{.at = at, .length = std::min(bytes - at % bytes, end_ - at)};
    for (size_t i = 0; i < runs_.size(); ++i) {
        const auto run = runs_[i].here();
        if (!run && !options_.salvage) return run.error();
        if (run && run->length >= stripe.length) stripe.kinds[i] = run->kind;
        runs_[i].advance(stripe.length);
    }
    return stripe;
}

namespace {

Status work_alone(Stripes& stripes, unsigned worker, const Work& work) {
    while (interrupted() == 0) {
        const auto stripe = stripes.claim();
        if (!stripe) return stripe.error();
        if (!*stripe) break;
        if (Status done = work(worker, **stripe); !done) return done;
    }
    return {};
}

}  // namespace

Status work_through(Stripes& stripes, unsigned workers, const Work& work) {
    std::vector<Status> results(workers);
    const auto run = [&](unsigned worker) {
        results[worker] = work_alone(stripes, worker, work);
        if (!results[worker]) stripes.stop();
    };
    {
        std::vector<std::jthread> threads;
        for (unsigned worker = 1; worker < workers; ++worker) threads.emplace_back(run, worker);
        run(0);
    }
    for (Status& result : results) {
        if (!result) return result;
    }
    return {};
}

unsigned default_workers() { return std::clamp(std::thread::hardware_concurrency(), 1U, 8U); }

namespace {

// How many disks like this one fit into `budget` bytes, at least two: the tables of every layer,
// one compressed block and its packed bytes, a buffer to copy through.
unsigned affordable(const Disk& disk, size_t budget) {
    size_t cost = size_t{512} << 10;
    size_t block = 0;
    for (const auto& layer : disk.layers()) {
        cost += size_t{64} << 10;
        block = std::max(block, layer.image.visit([](const auto& image) -> size_t {
            if constexpr (requires { image.layout().cluster_size(); }) {
                return static_cast<size_t>(image.layout().cluster_size());
            } else {
                return 0;
            }
        }));
    }
    return static_cast<unsigned>(std::clamp<size_t>(budget / (cost + 3 * block), 2, 64));
}

}  // namespace

std::vector<Disk> open_disks(const Input& input, unsigned count, size_t budget) {
    Top top = open_top(input);
    std::vector<Disk> disks;
    for (unsigned i = 0; i < count; ++i) {
        // Tables are read in order: little is enough.
        disks.push_back(open_layers(top, input, {.cache = {.count_bits = 4}}));
        count = std::min(count, affordable(disks.back(), budget));
    }
    return disks;
}

}  // namespace tool
