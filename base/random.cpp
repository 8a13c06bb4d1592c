#include "base/random.h"

#include "base/check.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/random.h>

namespace rekindle {
namespace {

constexpr uint64_t kGoldenGamma = 0x9E3779B97F4A7C15ULL;  // SplitMix64's increment.

uint64_t mix(uint64_t z) noexcept {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

}  // namespace

void SystemEntropy::fill(std::span<std::byte> out) {
    while (!out.empty()) {
        const ssize_t got = ::getrandom(out.data(), out.size(), 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        REKINDLE_CHECK(got > 0, "getrandom gives bytes");
        out = out.subspan(static_cast<size_t>(got));
    }
}

void SeededEntropy::fill(std::span<std::byte> out) {
    while (!out.empty()) {
        state_ += kGoldenGamma;
        const uint64_t word = mix(state_);
        const size_t bytes = std::min(out.size(), sizeof(word));
        std::memcpy(out.data(), &word, bytes);
        out = out.subspan(bytes);
    }
}

uint64_t counter_random(uint64_t seed, uint64_t stream, uint64_t counter) noexcept {
    const uint64_t key = mix(seed + kGoldenGamma);
    const uint64_t lane = mix(key ^ (stream + kGoldenGamma));
    return mix(lane + (counter + 1) * kGoldenGamma);
}

double counter_uniform(uint64_t seed, uint64_t stream, uint64_t counter) noexcept {
    return static_cast<double>(counter_random(seed, stream, counter) >> 11) * 0x1.0p-53;
}

}  // namespace rekindle
