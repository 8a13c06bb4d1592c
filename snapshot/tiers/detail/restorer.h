// Reads the chunks of images in order through its ring, checks each one's XXH3 and opens its latch.
// Images that are restored at the same time take turns, chunk by chunk, so that a small one need
// not wait for a large one. Nothing becomes ready that did not match its checksum. Has no thread of
// its own: a LoaderThread drives it, or a simulation. Threading: restore() from any thread;
// everything else is the driver's. Lifetime: destroyed when nothing is outstanding.
#pragma once
#include "base/clock.h"
#include "loader/chunk_store.h"
#include "loader/ring.h"
#include "snapshot/tiers/detail/host_image.h"
#include "snapshot/tiers/detail/restore_pace.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace rekindle::snapshot {

class Restorer {
public:
    // Called once per restore by the driver, after its last latch is set.
    using Finished = std::function<void(std::shared_ptr<HostImage>, Result<RestoreTimes>)>;

    // `through_buffers`: chunks are read into buffers that stay, and copied once they are checked.
    Restorer(const Clock& clock, std::unique_ptr<loader::ReadBackend> backend, bool through_buffers,
             Finished finished);
    Restorer(const Restorer&) = delete;
    Restorer& operator=(const Restorer&) = delete;
    ~Restorer();

    // `places`: where each chunk of the image lies, in order; without a descriptor: it is
    // delivered.
    void restore(std::shared_ptr<HostImage> image, std::vector<loader::ChunkLocation> places);
    // A chunk that is not read here: its bytes are in their place in the image, or can't be had.
    // Any thread; means nothing once the restore has ended.
    void deliver(std::shared_ptr<HostImage> image, size_t chunk, Result<void> outcome);

    // Waits until there is something to read or to publish; false when stop() was called and
    // nothing is left. What is to be delivered must be, or refused, before that.
    bool wait();
    void stop();
    // Starts what reads fit; false when there is nothing to restore.
    bool start_reads();
    // Waits for a read that is in flight, if there is one, and acts on it.
    void finish_read();
    // Reads that are started and not finished.
    uint32_t in_flight() const noexcept { return ring_.in_flight(); }
    bool idle() const noexcept { return jobs_.empty(); }
    // Waits that long, or until stop() is called.
    void rest(Nanoseconds time);

private:
    struct Job {
        std::shared_ptr<HostImage> image;
        std::vector<loader::ChunkLocation> places;
        Nanoseconds started{};
        size_t next_chunk = 0;     // Whose reads start next; those to be delivered are left out.
        size_t published = 0;      // Chunks that are ready.
        uint32_t open_chunks = 0;  // With reads that are started or about to start.
        RestoreTimes times;
        std::vector<ChunkArrival> arrivals;
        std::optional<Error> error;  // Set once: no more reads start.
    };

    struct Delivery {
        std::shared_ptr<HostImage> image;
        size_t chunk = 0;
        Result<void> outcome;
    };

    // A chunk that is being read.
    struct OpenChunk {
        Job* job = nullptr;
        size_t index = 0;
        std::span<std::byte> out;  // The place in the image, or of `staging`.
        Mapping staging;           // Of a compressed chunk, or of every one.
        uint64_t started = 0;      // Bytes of `out` whose reads were started.
        uint32_t reads = 0;        // In flight.
        std::optional<Error> error;
    };

    void take_queued();
    void take_delivery(Delivery& delivery);
    // Moves `next_chunk` on to one that is read.
    static void skip_delivered(Job& job);
    // Whether something can be done for a job before a delivery comes.
    bool can_proceed() const;
    // The chunk whose next piece should be read; nullptr when there is none now.
    OpenChunk* next_to_read();
    OpenChunk* open_next_chunk();
    Result<void> open_chunk(OpenChunk& chunk, Job& job);
    // Nothing when all of them are in use.
    Result<Mapping> take_staging();
    void take_outcome(const loader::ReadOutcome& outcome);
    void close_chunk(OpenChunk& chunk);
    // Fills the chunk's place from staging where needed, then compares the checksum.
    Result<void> verify(const OpenChunk& chunk);
    static Result<void> compare(const loader::ImageChunk& wanted, std::span<const std::byte> bytes);
    void publish(Job& job, size_t chunk);
    // `remedy`: what to do about it; may be empty.
    void fail(Job& job, size_t chunk, const Error& error, std::string_view remedy);
    void finish_jobs();

    const Clock& clock_;
    const Finished finished_;
    const bool through_buffers_;
    loader::Ring ring_;
    std::vector<std::unique_ptr<Job>> jobs_;
    std::vector<OpenChunk> open_;   // Slots; job == nullptr: free. The index is the reads' tag.
    OpenChunk* reading_ = nullptr;  // Its reads are not all started.
    size_t turn_ = 0;               // Which job opens the next chunk.
    std::vector<Mapping> staging_;  // Kept while there is work, or for good through buffers.

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::unique_ptr<Job>> queued_;
    std::deque<Delivery> delivered_;
    bool stopping_ = false;
};

// Drives a restorer until it is destroyed; lets running restores end.
class LoaderThread {
public:
    LoaderThread(Restorer& restorer, RestorePace& pace);
    LoaderThread(const LoaderThread&) = delete;
    LoaderThread& operator=(const LoaderThread&) = delete;
    ~LoaderThread();

private:
    void run();

    Restorer& restorer_;
    RestorePace& pace_;
    std::thread thread_;
};

}  // namespace rekindle::snapshot
