// Deploys images of random chunks into a store until it is killed, and prints the digest of each
// one when add_image has returned. With a file size limit in its third argument it dies by SIGXFSZ
// inside of the write that would cross it.
#include "base/random.h"
#include "loader/chunk_store.h"
#include "tests/loader/temp_store.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace {

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

Result<std::string> deploy(loader::ChunkStore& store, uint64_t seed) {
    std::vector<loader::ImageChunk> chunks;
    uint64_t offset = 0;
    for (uint64_t i = 0; i < 6; ++i) {
        const uint64_t pages = 1 + counter_random(seed, 1, i) % 64;
        auto chunk = store.put(test::random_bytes(pages * 4096, seed * 16 + i), false);
        if (!chunk) {
            return std::move(chunk).error();
        }
        chunk->offset = offset;
        offset += chunk->bytes;
        chunks.push_back(*chunk);
    }
    auto committed = store.commit();
    if (!committed) {
        return std::move(committed).error();
    }
    auto index = loader::finish_image_index(test::importer_index(chunks), chunks);
    auto digest = index ? loader::image_digest(*index) : std::move(index).error();
    if (!digest) {
        return digest;
    }
    auto added = store.add_image(*digest, *index);
    return added ? std::move(digest) : std::move(added).error();
}

}  // namespace

int main(int argc, char** argv) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc < 3) {
        return 2;
    }
    auto store = loader::ChunkStore::open(argv[1]);
    if (!store) {
        fmt::print(stderr, "{}\n", store.error().message);
        return 3;
    }
    if (argc > 3) {
        const rlim_t bytes = std::strtoull(argv[3], nullptr, 10);
        const rlimit limit{.rlim_cur = bytes, .rlim_max = bytes};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    for (uint64_t seed = std::strtoull(argv[2], nullptr, 10);; ++seed) {
        auto digest = deploy(**store, seed);
        if (!digest) {
            fmt::print(stderr, "{}\n", digest.error().message);
            return 4;
        }
        fmt::print("{}\n", *digest);
        std::fflush(stdout);
    }
}
