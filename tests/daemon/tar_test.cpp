#include "daemon/tar.h"

#include "base/hash.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

using Block = std::array<std::byte, kTarBlockBytes>;

Block block_of(const std::string& head) {
    Block block{};
    REQUIRE(head.size() == block.size());
    std::copy_n(as_bytes(head).begin(), block.size(), block.begin());
    return block;
}

std::optional<TarFile> round_trip(const TarFile& file) {
    const auto head = tar_head(file);
    REQUIRE(head);
    const auto read = parse_tar_head(block_of(*head));
    REQUIRE(read);
    return *read;
}

}  // namespace

TEST_CASE("a head that is written is read again") {
    const auto file =
        round_trip({.name = "a/b.json", .bytes = 12345, .modified_unix_s = 1700000000});
    REQUIRE(file);
    CHECK(file->name == "a/b.json");
    CHECK(file->bytes == 12345);
    CHECK(file->modified_unix_s == 1700000000);
}

TEST_CASE("names and sizes go up to what a head can hold") {
    CHECK(round_trip({.name = std::string(100, 'n')})->name == std::string(100, 'n'));
    CHECK_FALSE(tar_head({.name = std::string(101, 'n')}));
    const std::string longest = std::string(155, 'p') + "/" + std::string(100, 'n');
    CHECK(round_trip({.name = longest})->name == longest);
    CHECK_FALSE(tar_head({.name = "p" + longest}));
    CHECK_FALSE(tar_head({.name = ""}));
    CHECK(round_trip({.name = "n", .bytes = kTarFileBytesMax})->bytes == kTarFileBytesMax);
    CHECK_FALSE(tar_head({.name = "n", .bytes = kTarFileBytesMax + 1}));
}

TEST_CASE("a block of zeros is the end, any changed byte is damage") {
    const auto end = parse_tar_head(Block{});
    REQUIRE(end);
    CHECK_FALSE(*end);
    const auto head = tar_head({.name = "name", .bytes = 77});
    REQUIRE(head);
    for (size_t i = 0; i < kTarBlockBytes; ++i) {
        CAPTURE(i);
        Block block = block_of(*head);
        block[i] ^= std::byte{1};
        const auto read = parse_tar_head(block);
        // The checksum's own last two bytes are filling.
        CHECK((!read || i == 154 || i == 155));
    }
}

TEST_CASE("content is filled up to whole blocks") {
    CHECK(tar_padding(0) == 0);
    CHECK(tar_padding(1) == 511);
    CHECK(tar_padding(512) == 0);
    CHECK(tar_padding(513) == 511);
}
