#include "snapshot/tiers/detail/restorer.h"

#include "base/units.h"
#include "loader/chunk_codec.h"
#include "snapshot/view/address_space.h"
#include "snapshot/view/latches.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace rekindle::snapshot {
namespace {

// A read of 1 MiB is enough to be sequential for the disk, and small enough that the first chunk
// does not wait for a whole queue of others.
constexpr uint64_t kReadBytesMax = 1 * kMiB;
// Compressed chunks that are read ahead; they are few, and stand at the front of an image.
constexpr size_t kStagingMax = 2;
// All chunks are: as many as the queue holds, and one that is checked and copied meanwhile.
constexpr size_t kBuffersMax = 6;
constexpr std::string_view kDeployAgain = "; run `rekindle deploy` again";

Result<Mapping> allocate_staging() {
    auto buffer = reserve_address_space(loader::kChunkBytesMax);  // Aligned for huge pages.
    if (buffer && ::mprotect(buffer->data(), buffer->bytes(), PROT_READ | PROT_WRITE) != 0) {
        return errno_error("allocate a buffer", errno);
    }
    if (buffer) {
        ::madvise(buffer->data(), buffer->bytes(), MADV_HUGEPAGE);
    }
    return buffer;
}

}  // namespace

Restorer::Restorer(const Clock& clock, std::unique_ptr<loader::ReadBackend> backend,
                   bool through_buffers, Finished finished)
    : clock_(clock),
      finished_(std::move(finished)),
      through_buffers_(through_buffers),
      // A slot per read in flight, and one whose reads are all still to start.
      ring_(std::move(backend)),
      open_(ring_.depth() + 1) {}

Restorer::~Restorer() {
    REKINDLE_CHECK(jobs_.empty() && queued_.empty(), "a restore is outstanding");
}

void Restorer::restore(std::shared_ptr<HostImage> image,
                       std::vector<loader::ChunkLocation> places) {
    auto job = std::make_unique<Job>();
    job->image = std::move(image);
    job->places = std::move(places);
    job->started = clock_.monotonic();
    job->arrivals.reserve(job->places.size());
    {
        const std::lock_guard lock(mutex_);
        queued_.push_back(std::move(job));
    }
    wake_.notify_one();
}

void Restorer::deliver(std::shared_ptr<HostImage> image, size_t chunk, Result<void> outcome) {
    {
        const std::lock_guard lock(mutex_);
        delivered_.push_back({std::move(image), chunk, std::move(outcome)});
    }
    wake_.notify_one();
}

void Restorer::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
}

bool Restorer::wait() {
    if (can_proceed()) {
        return true;
    }
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] {
        return (stopping_ && jobs_.empty()) || !queued_.empty() || !delivered_.empty();
    });
    return !queued_.empty() || !delivered_.empty();
}

bool Restorer::can_proceed() const {
    return std::ranges::any_of(jobs_, [](const auto& job) {
        return job->error || job->open_chunks > 0 || job->next_chunk < job->places.size() ||
               job->published == job->places.size();
    });
}

// Together: a delivery must not be looked at before its job is.
void Restorer::take_queued() {
    std::deque<Delivery> delivered;
    {
        const std::lock_guard lock(mutex_);
        while (!queued_.empty()) {
            skip_delivered(*queued_.front());
            jobs_.push_back(std::move(queued_.front()));
            queued_.pop_front();
        }
        delivered.swap(delivered_);
    }
    for (Delivery& delivery : delivered) {
        take_delivery(delivery);
    }
}

void Restorer::skip_delivered(Job& job) {
    while (job.next_chunk < job.places.size() && job.places[job.next_chunk].fd < 0) {
        ++job.next_chunk;
    }
}

void Restorer::take_delivery(Delivery& delivery) {
    const auto at = std::ranges::find(jobs_, delivery.image,
                                      [](const auto& job) -> auto& { return job->image; });
    if (at == jobs_.end() || (*at)->error ||
        load_latch(delivery.image->memory().latches()[delivery.chunk]) != Latch::kPending) {
        return;  // Ended, or delivered before: an image may name a chunk in two places.
    }
    Job& job = **at;
    const loader::ImageChunk& wanted = job.image->index().chunks[delivery.chunk];
    const auto bytes = job.image->memory().space().subspan(wanted.offset, wanted.bytes);
    auto good = delivery.outcome ? compare(wanted, bytes) : std::move(delivery.outcome);
    if (good) {
        job.times.bytes_fetched += wanted.bytes;
        publish(job, delivery.chunk);
    } else {
        fail(job, delivery.chunk, good.error(), "");
    }
}

void Restorer::finish_read() {
    if (ring_.in_flight() > 0) {
        take_outcome(ring_.wait());
    }
    finish_jobs();
    if (jobs_.empty() && !through_buffers_) {
        staging_.clear();
    }
}

bool Restorer::start_reads() {
    take_queued();
    while (ring_.has_room()) {
        OpenChunk* const chunk = next_to_read();
        if (chunk == nullptr) {
            break;
        }
        const loader::ChunkLocation& place = chunk->job->places[chunk->index];
        const uint64_t bytes = std::min(kReadBytesMax, chunk->out.size() - chunk->started);
        ring_.start({.fd = place.fd,
                     .direct = place.direct,
                     .offset = place.offset + chunk->started,
                     .out = chunk->out.subspan(chunk->started, bytes),
                     .tag = static_cast<uint64_t>(chunk - open_.data())});
        chunk->started += bytes;
        ++chunk->reads;
    }
    return !jobs_.empty();
}

Restorer::OpenChunk* Restorer::next_to_read() {
    if (reading_ != nullptr && reading_->job->error) {
        // Its image has failed: what is in flight comes back, the rest is not read.
        reading_->out = reading_->out.first(reading_->started);
        OpenChunk* const given_up = std::exchange(reading_, nullptr);
        if (given_up->reads == 0) {
            close_chunk(*given_up);
        }
    }
    if (reading_ == nullptr || reading_->started == reading_->out.size()) {
        reading_ = open_next_chunk();
    }
    return reading_;
}

Restorer::OpenChunk* Restorer::open_next_chunk() {
    const auto slot = std::ranges::find(open_, nullptr, &OpenChunk::job);
    if (slot == open_.end()) {
        return nullptr;
    }
    for (size_t i = 0; i < jobs_.size(); ++i) {
        Job& job = *jobs_[(turn_ + i) % jobs_.size()];
        if (job.error || job.next_chunk == job.places.size()) {
            continue;
        }
        auto opened = open_chunk(*slot, job);
        if (!opened) {
            fail(job, job.next_chunk, opened.error(), kDeployAgain);
            continue;
        }
        if (slot->job != nullptr) {
            turn_ = (turn_ + i + 1) % jobs_.size();
            return &*slot;
        }
    }
    return nullptr;
}

// Leaves `chunk` free when there is no staging buffer now.
Result<void> Restorer::open_chunk(OpenChunk& chunk, Job& job) {
    const loader::ImageChunk& wanted = job.image->index().chunks[job.next_chunk];
    const loader::ChunkLocation& place = job.places[job.next_chunk];
    const uint64_t stored = align_up(place.stored_bytes, kPageBytes);
    OpenChunk opened;
    if (place.codec == loader::ChunkCodec::kPlain) {
        if (place.stored_bytes != wanted.bytes) {
            return Error{ErrorCode::kCorrupt, fmt::format("{} bytes are stored, the image says {}",
                                                          place.stored_bytes, wanted.bytes)};
        }
        opened.out = job.image->memory().space().subspan(wanted.offset, wanted.bytes);
    } else if (stored > loader::kChunkBytesMax) {
        return Error{ErrorCode::kCorrupt, fmt::format("{} bytes are stored", place.stored_bytes)};
    }
    if (place.codec != loader::ChunkCodec::kPlain || through_buffers_) {
        auto staging = take_staging();
        if (!staging) {
            return std::move(staging).error();
        }
        if (!staging->valid()) {
            return {};
        }
        opened.staging = std::move(staging).value();
        opened.out = opened.staging.span().first(stored);
    }
    opened.job = &job;
    opened.index = job.next_chunk++;
    skip_delivered(job);
    ++job.open_chunks;
    chunk = std::move(opened);
    return {};
}

Result<Mapping> Restorer::take_staging() {
    const auto staged =
        std::ranges::count_if(open_, [](const OpenChunk& other) { return other.staging.valid(); });
    if (static_cast<size_t>(staged) >= (through_buffers_ ? kBuffersMax : kStagingMax)) {
        return Mapping();
    }
    if (staging_.empty()) {
        return allocate_staging();
    }
    Mapping staging = std::move(staging_.back());
    staging_.pop_back();
    return staging;
}

void Restorer::take_outcome(const loader::ReadOutcome& outcome) {
    OpenChunk& chunk = open_[outcome.tag];
    --chunk.reads;
    if (!outcome.result && !chunk.error) {
        chunk.error = outcome.result.error();
        fail(*chunk.job, chunk.index, *chunk.error, kDeployAgain);
    }
    const bool all_started = &chunk != reading_ || chunk.started == chunk.out.size();
    if (chunk.reads == 0 && all_started) {
        if (&chunk == reading_) {
            reading_ = nullptr;
        }
        close_chunk(chunk);
    }
}

void Restorer::close_chunk(OpenChunk& chunk) {
    Job& job = *chunk.job;
    if (!job.error) {
        auto verified = verify(chunk);
        if (verified) {
            job.times.bytes_read += chunk.out.size();
            publish(job, chunk.index);
        } else {
            fail(job, chunk.index, verified.error(), kDeployAgain);
        }
    }
    if (chunk.staging.valid()) {
        staging_.push_back(std::move(chunk.staging));
    }
    --job.open_chunks;
    chunk = OpenChunk{};
}

Result<void> Restorer::verify(const OpenChunk& chunk) {
    const Job& job = *chunk.job;
    const loader::ImageChunk& wanted = job.image->index().chunks[chunk.index];
    const loader::ChunkLocation& place = job.places[chunk.index];
    const auto plain = job.image->memory().space().subspan(wanted.offset, wanted.bytes);
    if (place.codec == loader::ChunkCodec::kZstd) {
        auto filled = loader::decompress_chunk(chunk.out.first(place.stored_bytes), plain);
        if (!filled) {
            return filled;
        }
    }
    const bool copied = place.codec == loader::ChunkCodec::kPlain && chunk.staging.valid();
    auto same = compare(wanted, copied ? chunk.out : plain);
    if (same && copied) {
        std::memcpy(plain.data(), chunk.out.data(), plain.size());
    }
    return same;
}

Result<void> Restorer::compare(const loader::ImageChunk& wanted, std::span<const std::byte> bytes) {
    const uint64_t found = xxh3(bytes);
    if (found != wanted.xxh3) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("its XXH3 is {:016x} instead of {:016x}", found, wanted.xxh3)};
    }
    return {};
}

void Restorer::publish(Job& job, size_t chunk) {
    const Nanoseconds now = clock_.monotonic();
    const Nanoseconds since = now - job.started;
    if (job.published++ == 0) {
        job.times.first_chunk = since;
    }
    job.times.total = since;
    const loader::ImageChunk& arrived = job.image->index().chunks[chunk];
    job.arrivals.push_back({.offset = arrived.offset, .bytes = arrived.bytes, .at = now});
    set_latch(job.image->memory().latches()[chunk], Latch::kReady);
}

void Restorer::fail(Job& job, size_t chunk, const Error& error, std::string_view remedy) {
    if (job.error) {
        return;
    }
    const loader::ImageChunk& wanted = job.image->index().chunks[chunk];
    job.error = Error{error.code, fmt::format("image {}: chunk {} ({}): {}{}", job.image->digest(),
                                              chunk, wanted.id.hex(), error.message, remedy)};
    // Waiters are told now, not when the reads that are still in flight have come back.
    for (uint32_t& latch : job.image->memory().latches()) {
        if (load_latch(latch) == Latch::kPending) {
            set_latch(latch, Latch::kFailed);
        }
    }
}

void Restorer::finish_jobs() {
    for (size_t i = 0; i < jobs_.size();) {
        Job& job = *jobs_[i];
        const bool whole = job.published == job.places.size();
        if (job.open_chunks > 0 || !(whole || job.error)) {
            ++i;
            continue;
        }
        const std::unique_ptr<Job> done = std::move(jobs_[i]);
        jobs_.erase(jobs_.begin() + static_cast<ptrdiff_t>(i));
        if (done->error) {
            finished_(std::move(done->image), *std::move(done->error));
        } else {
            done->times.arrivals =
                std::make_shared<const std::vector<ChunkArrival>>(std::move(done->arrivals));
            finished_(std::move(done->image), done->times);
        }
    }
}

void Restorer::rest(Nanoseconds time) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, time, [this] { return stopping_; });
}

LoaderThread::LoaderThread(Restorer& restorer, RestorePace& pace)
    : restorer_(restorer), pace_(pace), thread_([this] { run(); }) {}

void LoaderThread::run() {
    while (restorer_.wait()) {
        if (pace_.may_read()) {
            restorer_.start_reads();
        }
        restorer_.finish_read();
        if (restorer_.idle()) {
            pace_.end_slice();
        } else if (restorer_.in_flight() == 0) {
            restorer_.rest(pace_.take_rest());
        }
    }
}

LoaderThread::~LoaderThread() {
    restorer_.stop();
    thread_.join();
}

}  // namespace rekindle::snapshot
