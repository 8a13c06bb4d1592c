// How fast an image comes from disk into host memory, beside what the disk gives to O_DIRECT reads
// in the same run. Rounds alternate between the two, because a disk's limit drifts within minutes.
//   loader_bench [folder on the disk to measure] [MiB] [rounds]
#include "base/clock.h"
#include "base/huge_pages.h"
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
    double cpu_seconds;       // Of all threads, while restoring.
    double zero_cpu_seconds;  // Afterwards, to make the memory ready for another image.
};

// Of all threads of this process.
double cpu_seconds() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

Restored restore(snapshot::HostTier& tier, const std::string& digest, const Clock& clock) {
    std::promise<Result<snapshot::RestoreTimes>> done;
    auto result = done.get_future();
    const double cpu_before = cpu_seconds();
    const Nanoseconds start = clock.monotonic();
    auto image = must(tier.acquire(digest, [&done](Result<snapshot::RestoreTimes> times) {
        done.set_value(std::move(times));
    }));
    const auto times = must(result.get());
    const double seconds = std::chrono::duration<double>(clock.monotonic() - start).count();
    const double cpu_restored = cpu_seconds();
    image.reset();
    static_cast<void>(tier.evict(digest));
    tier.wait_until_prepared();
    return {.seconds = seconds,
            .first_chunk_ms = std::chrono::duration<double, std::milli>(times.first_chunk).count(),
            .cpu_seconds = cpu_restored - cpu_before,
            .zero_cpu_seconds = cpu_seconds() - cpu_restored};
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

// What several rounds gave, in seconds unless said.
struct Rounds {
    std::vector<double> restores;
    std::vector<double> firsts_ms;
    std::vector<double> cpu;
    std::vector<double> zeroing;

    void add(const Restored& restored) {
        restores.push_back(restored.seconds);
        firsts_ms.push_back(restored.first_chunk_ms);
        cpu.push_back(restored.cpu_seconds);
        zeroing.push_back(restored.zero_cpu_seconds);
    }

    void print(const char* name, double gigabytes, const std::vector<double>& limits) const {
        fmt::print("  {:15} {:.2f} GB/s ({:.2f}), {:.1f} % of the limit, first chunk {:.1f} ms\n",
                   name, gigabytes / median(restores), gigabytes / std::ranges::min(restores),
                   100 * median(limits) / median(restores), median(firsts_ms));
        fmt::print(
            "  {:15} {:.0f} ms of processor time per GB, and {:.0f} for zeroing afterwards\n", "",
            1e3 * median(cpu) / gigabytes, 1e3 * median(zeroing) / gigabytes);
    }
};

int run(const Settings& settings) {
    const std::string folder = settings.folder + "/loader-bench-store";
    const SystemClock clock;
    {
        auto store = must(loader::ChunkStore::open(folder));
        const std::string digest = deploy(*store, settings.mib);
        const auto index = must(loader::ImageIndex::parse(must(store->image_index(digest))));
        const auto make_tier = [&](uint64_t kept) {
            return must(snapshot::HostTier::create(*store, clock,
                                                   {.budget_bytes = 64 * kGiB,
                                                    .kept_bytes = kept,
                                                    .through_buffers = !read_huge_pages("").enabled,
                                                    .queue_depth = loader::kLimitDepth}));
        };
        const auto kept = make_tier(64 * kGiB);
        kept->prepare(index.bytes);
        kept->wait_until_prepared();
        const auto fresh = make_tier(0);
        std::vector<double> limits;
        Rounds in_kept;
        Rounds in_fresh;
        for (int round = 0; round < settings.rounds; ++round) {
            limits.push_back(read_limit(*store, index, clock));
            in_kept.add(restore(*kept, digest, clock));
            in_fresh.add(restore(*fresh, digest, clock));
        }
        const double gigabytes = static_cast<double>(index.bytes) / 1e9;
        fmt::print("image {}, {} rounds, median (best):\n", format_bytes(index.bytes),
                   settings.rounds);
        fmt::print("  {:15} {:.2f} GB/s ({:.2f})\n", "O_DIRECT limit", gigabytes / median(limits),
                   gigabytes / std::ranges::min(limits));
        in_kept.print("kept memory", gigabytes, limits);
        in_fresh.print("fresh memory", gigabytes, limits);
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
