// How fast an image comes from disk into host memory, beside what the disk gives to O_DIRECT reads
// in the same run. Rounds alternate between the two, because a disk's limit drifts within minutes.
//   loader_bench [folder on the disk to measure] [MiB] [rounds]
#include "base/clock.h"
#include "base/random.h"
#include "base/units.h"
#include "loader/disk_limit.h"
#include "snapshot/tiers/host_tier.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <string>
#include <sys/resource.h>
#include <vector>

namespace {

using namespace rekindle;  // NOLINT(google-build-using-namespace): a benchmark.

struct Settings {
    std::string folder = ".";
    uint64_t mib = 256;
    int rounds = 9;
};

template <typename T>
T must(Result<T> result) {
    if (!result) {
        fmt::print(stderr, "loader_bench: {}\n", result.error().message);
        std::exit(1);
    }
    return std::move(result).value();
}

// An image of random chunks of 4 MiB; its digest.
std::string deploy(loader::ChunkStore& store, uint64_t mib) {
    std::vector<loader::ImageChunk> chunks;
    std::vector<std::byte> plain(4 * kMiB);
    std::string list;
    for (uint64_t offset = 0; offset < mib * kMiB; offset += plain.size()) {
        SeededEntropy(offset + 1).fill(plain);
        loader::ImageChunk chunk = must(store.put(plain, false));
        chunk.offset = offset;
        list += fmt::format("{}{{\"offset\":{},\"bytes\":{}}}", list.empty() ? "" : ",", offset,
                            plain.size());
        chunks.push_back(chunk);
    }
    const std::string importer = fmt::format(R"({{"rekindle_image":1,"bytes":{},"chunks":[{}]}})",
                                             chunks.size() * plain.size(), list);
    const std::string index = must(loader::finish_image_index(importer, chunks));
    const std::string digest = must(loader::image_digest(index));
    if (auto added = store.add_image(digest, index); !added) {
        fmt::print(stderr, "loader_bench: {}\n", added.error().message);
        std::exit(1);
    }
    return digest;
}

// Seconds to read the chunks' places into memory that was touched before, unverified.
double read_limit(const loader::ChunkStore& store, const loader::ImageIndex& index,
                  const Clock& clock) {
    std::vector<loader::ChunkLocation> places;
    for (const loader::ImageChunk& chunk : index.chunks) {
        places.push_back(must(store.locate(chunk.id)));
    }
    return std::chrono::duration<double>(must(loader::time_reads(places, clock))).count();
}

struct Restored {
    double seconds;
    double first_chunk_ms;
};

Restored restore(loader::ChunkStore& store, const std::string& digest, const Clock& clock) {
    auto tier = must(snapshot::HostTier::create(
        store, clock, {.budget_bytes = 64 * kGiB, .queue_depth = loader::kLimitDepth}));
    std::promise<Result<snapshot::RestoreTimes>> done;
    auto result = done.get_future();
    const Nanoseconds start = clock.monotonic();
    auto image = must(tier->acquire(digest, [&done](Result<snapshot::RestoreTimes> times) {
        done.set_value(std::move(times));
    }));
    const auto times = must(result.get());
    const double seconds = std::chrono::duration<double>(clock.monotonic() - start).count();
    image.reset();
    return {.seconds = seconds,
            .first_chunk_ms = std::chrono::duration<double, std::milli>(times.first_chunk).count()};
}

// Of all threads of this process.
double cpu_seconds() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

int run(const Settings& settings) {
    const std::string folder = settings.folder + "/loader-bench-store";
    const SystemClock clock;
    {
        auto store = must(loader::ChunkStore::open(folder));
        const std::string digest = deploy(*store, settings.mib);
        const auto index = must(loader::ImageIndex::parse(must(store->image_index(digest))));
        std::vector<double> limits;
        std::vector<double> restores;
        std::vector<double> firsts;
        std::vector<double> cpu;
        for (int round = 0; round < settings.rounds; ++round) {
            limits.push_back(read_limit(*store, index, clock));
            const double before = cpu_seconds();
            const Restored restored = restore(*store, digest, clock);
            cpu.push_back(cpu_seconds() - before);
            restores.push_back(restored.seconds);
            firsts.push_back(restored.first_chunk_ms);
        }
        const double gigabytes = static_cast<double>(index.bytes) / 1e9;
        fmt::print("image {}, {} rounds, median (best):\n", format_bytes(index.bytes),
                   settings.rounds);
        fmt::print("  O_DIRECT limit  {:.2f} GB/s ({:.2f})\n", gigabytes / median(limits),
                   gigabytes / std::ranges::min(limits));
        fmt::print("  restore         {:.2f} GB/s ({:.2f}), first chunk {:.1f} ms\n",
                   gigabytes / median(restores), gigabytes / std::ranges::min(restores),
                   median(firsts));
        fmt::print("  restore / limit {:.1f} %, {:.0f} ms of processor time per GB\n",
                   100 * median(limits) / median(restores), 1e3 * median(cpu) / gigabytes);
    }
    std::filesystem::remove_all(folder);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Settings settings;
    if (argc > 1) {
        settings.folder = argv[1];
    }
    if (argc > 2) {
        settings.mib = std::strtoull(argv[2], nullptr, 10);
    }
    if (argc > 3) {
        settings.rounds = std::atoi(argv[3]);
    }
    if (settings.mib < 4 || settings.rounds < 1) {
        fmt::print(stderr, "usage: loader_bench [folder] [MiB >= 4] [rounds >= 1]\n");
        return 2;
    }
    return run(settings);
}
