#include "kernels/kernel_table.h"

#include "kernels/cpu_features.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <optional>
#include <string>

using namespace rekindle::kernels;

namespace {

// Sets REKINDLE_ISA for one test and puts back what was there.
class ForcedIsa {
public:
    explicit ForcedIsa(const char* value) {
        if (const char* before = std::getenv("REKINDLE_ISA"); before != nullptr) {
            before_ = before;
        }
        value != nullptr ? setenv("REKINDLE_ISA", value, 1) : unsetenv("REKINDLE_ISA");
    }

    ForcedIsa(const ForcedIsa&) = delete;
    ForcedIsa& operator=(const ForcedIsa&) = delete;

    ~ForcedIsa() {
        before_ ? setenv("REKINDLE_ISA", before_->c_str(), 1) : unsetenv("REKINDLE_ISA");
    }

private:
    std::optional<std::string> before_;
};

// Zen 4 under Linux: everything is there and saved.
constexpr CpuWords kZen4{.leaf1_ecx = 1U << 12 | 1U << 27 | 1U << 28 | 1U << 29,
                         .leaf7_ebx = 1U << 5 | 1U << 16 | 1U << 17 | 1U << 30 | 1U << 31,
                         .leaf7_ecx = 1U << 11,
                         .leaf7_1_eax = 1U << 5,
                         .xcr0 = 0xe7};

}  // namespace

TEST_CASE("a table is found by its name where the CPU can run it") {
    const KernelTable* scalar = find_kernel_table("scalar");
    REQUIRE(scalar != nullptr);
    CHECK(scalar->name == "scalar");
    CHECK((find_kernel_table("avx2") != nullptr) == cpu_features().avx2);
    CHECK((find_kernel_table("avx_vnni") != nullptr) == cpu_features().avx_vnni);
    CHECK((find_kernel_table("avx512_vnni") != nullptr) == cpu_features().avx512_vnni);
    CHECK((find_kernel_table("avx512_bf16") != nullptr) == cpu_features().avx512_bf16);
    for (const std::string_view name : kKernelTableNames) {
        const KernelTable* table = find_kernel_table(name);
        CHECK((table == nullptr || table->name == name));
    }
    CHECK(find_kernel_table("") == nullptr);
    CHECK(find_kernel_table("AVX512_VNNI") == nullptr);
    CHECK(find_kernel_table("neon") == nullptr);
}

TEST_CASE("REKINDLE_ISA forces a table, and an impossible one is refused, not replaced") {
    {
        const ForcedIsa isa("scalar");
        CHECK(select_kernel_table() == find_kernel_table("scalar"));
    }
    {
        const ForcedIsa isa("avx512_vnni");
        CHECK(select_kernel_table() == find_kernel_table("avx512_vnni"));
    }
    {
        const ForcedIsa isa("sse9");
        CHECK(select_kernel_table() == nullptr);
    }
}

TEST_CASE("without REKINDLE_ISA the best usable table is selected") {
    std::string_view best;
    for (const std::string_view better : kKernelTableNames) {
        best = find_kernel_table(better) != nullptr ? better : best;
    }
    for (const char* unforced : {static_cast<const char*>(nullptr), ""}) {
        const ForcedIsa isa(unforced);
        REQUIRE(select_kernel_table() != nullptr);
        CHECK(select_kernel_table()->name == best);
    }
}

TEST_CASE("AVX-512 needs every instruction set and every register saved by the system") {
    REQUIRE(decode_cpu_features(kZen4).avx512_vnni);
    REQUIRE(decode_cpu_features(kZen4).avx2);

    CpuWords words = kZen4;
    words.leaf7_ecx = 0;  // No VNNI: Skylake-X.
    CHECK_FALSE(decode_cpu_features(words).avx512_vnni);
    CHECK(decode_cpu_features(words).avx2);

    for (const uint32_t bit : {5U, 16U, 17U, 30U, 31U}) {
        words = kZen4;
        words.leaf7_ebx &= ~(1U << bit);
        CHECK_FALSE(decode_cpu_features(words).avx512_vnni);
    }
    for (const uint32_t bit : {12U, 27U, 28U, 29U}) {
        words = kZen4;
        words.leaf1_ecx &= ~(1U << bit);
        CHECK_FALSE(decode_cpu_features(words).avx512_vnni);
        CHECK_FALSE(decode_cpu_features(words).avx2);
    }
    for (const uint32_t bit : {1U, 2U, 5U, 6U, 7U}) {
        words = kZen4;
        words.xcr0 &= ~(uint64_t{1} << bit);
        CHECK_FALSE(decode_cpu_features(words).avx512_vnni);
        CHECK(decode_cpu_features(words).avx2 == (bit > 2));
    }
}

TEST_CASE("BF16 products need AVX-512 VNNI beside their own bit") {
    REQUIRE(decode_cpu_features(kZen4).avx512_bf16);
    REQUIRE_FALSE(decode_cpu_features(kZen4).avx_vnni);

    CpuWords words = kZen4;
    words.leaf7_1_eax = 1U << 4;  // Another bit of the same leaf.
    CHECK_FALSE(decode_cpu_features(words).avx512_bf16);
    CHECK(decode_cpu_features(words).avx512_vnni);

    words = kZen4;
    words.leaf7_ecx = 0;
    CHECK_FALSE(decode_cpu_features(words).avx512_bf16);

    words = kZen4;
    words.xcr0 = 0x07;
    CHECK_FALSE(decode_cpu_features(words).avx512_bf16);
}

TEST_CASE("VNNI in AVX's encoding needs AVX2 and its registers, but nothing of AVX-512") {
    // Alder Lake under Linux.
    constexpr CpuWords kAlderLake{
        .leaf1_ecx = kZen4.leaf1_ecx, .leaf7_ebx = 1U << 5, .leaf7_1_eax = 1U << 4, .xcr0 = 0x07};
    REQUIRE(decode_cpu_features(kAlderLake).avx_vnni);
    CHECK(decode_cpu_features(kAlderLake).avx2);
    CHECK_FALSE(decode_cpu_features(kAlderLake).avx512_vnni);

    CpuWords words = kAlderLake;
    words.leaf7_1_eax = 0;
    CHECK_FALSE(decode_cpu_features(words).avx_vnni);
    CHECK(decode_cpu_features(words).avx2);

    words = kAlderLake;
    words.leaf7_ebx = 0;
    CHECK_FALSE(decode_cpu_features(words).avx_vnni);

    words = kAlderLake;
    words.xcr0 = 0x03;
    CHECK_FALSE(decode_cpu_features(words).avx_vnni);
}
