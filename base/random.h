// Randomness as a dependency. Identifiers and secrets come from `Entropy`; sampling uses the
// counter-based generator below, whose value depends on its key and counter alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace rekindle {

class Entropy {
public:
    virtual ~Entropy() = default;
    virtual void fill(std::span<std::byte> out) = 0;
};

// getrandom(2); aborts if the kernel has none. Threading: any thread.
class SystemEntropy final : public Entropy {
public:
    void fill(std::span<std::byte> out) override;
};

// Deterministic, for tests and simulation.
class SeededEntropy final : public Entropy {
public:
    explicit SeededEntropy(uint64_t seed) : state_(seed) {}
    void fill(std::span<std::byte> out) override;

private:
    uint64_t state_;
};

// Stateless: mixes (seed, stream, counter) to 64 uniform bits. SplitMix64's finaliser (Steele, Lea
// and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), applied per word.
uint64_t counter_random(uint64_t seed, uint64_t stream, uint64_t counter) noexcept;

// Uniform in [0, 1) with 53 bits.
double counter_uniform(uint64_t seed, uint64_t stream, uint64_t counter) noexcept;

}  // namespace rekindle
