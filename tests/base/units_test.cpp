#include "base/units.h"

#include <doctest/doctest.h>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.
using std::chrono::milliseconds;

TEST_CASE("sizes are read with binary units") {
    CHECK(*parse_bytes("0") == 0);
    CHECK(*parse_bytes("512") == 512);
    CHECK(*parse_bytes("512B") == 512);
    CHECK(*parse_bytes("8K") == 8192);
    CHECK(*parse_bytes("8KB") == 8192);
    CHECK(*parse_bytes("8 KiB") == 8192);
    CHECK(*parse_bytes("64MiB") == 64 * kMiB);
    CHECK(*parse_bytes("2GiB") == 2 * kGiB);
    CHECK(*parse_bytes("1T") == 1024 * kGiB);
    CHECK(*parse_bytes("9223372036854775807") == INT64_MAX);
}

TEST_CASE("what is not a size is refused by its text") {
    for (const char* text : {"", "K", "-1", "+1", "1.5G", "1X", "1 K B", "0x10", " 1", "1e3"}) {
        CAPTURE(text);
        const auto bytes = parse_bytes(text);
        REQUIRE_FALSE(bytes.ok());
        CHECK(bytes.error().code == ErrorCode::kInvalidArgument);
    }
}

TEST_CASE("a size beyond 63 bits is too large, not wrapped") {
    CHECK(parse_bytes("9223372036854775808").error().code == ErrorCode::kTooLarge);
    CHECK(*parse_bytes("8388607TiB") == 8'388'607ULL * 1024 * kGiB);
    CHECK(parse_bytes("8388608TiB").error().code == ErrorCode::kTooLarge);
    CHECK_FALSE(parse_bytes("99999999999999999999").ok());
}

TEST_CASE("sizes are shown with one decimal") {
    CHECK(format_bytes(0) == "0 B");
    CHECK(format_bytes(1023) == "1023 B");
    CHECK(format_bytes(1024) == "1.0 KiB");
    CHECK(format_bytes(98'362'432) == "93.8 MiB");
    CHECK(format_bytes(3 * kGiB / 2) == "1.5 GiB");
    CHECK(format_bytes(2048ULL * 1024 * kGiB) == "2048.0 TiB");
}

TEST_CASE("durations are read with their unit; a bare number is seconds") {
    CHECK(*parse_duration("250ms") == milliseconds(250));
    CHECK(*parse_duration("30s") == milliseconds(30'000));
    CHECK(*parse_duration("30") == milliseconds(30'000));
    CHECK(*parse_duration("5m") == milliseconds(300'000));
    CHECK(*parse_duration("24h") == milliseconds(86'400'000));
    CHECK(*parse_duration("7d") == milliseconds(604'800'000));
    CHECK(*parse_duration("0") == milliseconds(0));
    for (const char* text : {"", "m", "-5m", "5 minutes", "1.5h", "5w"}) {
        CHECK_FALSE(parse_duration(text).ok());
    }
    CHECK(parse_duration("9223372036854775807d").error().code == ErrorCode::kTooLarge);
}

TEST_CASE("durations are shown as a person would say them") {
    CHECK(format_duration(milliseconds(0)) == "0 ms");
    CHECK(format_duration(milliseconds(999)) == "999 ms");
    CHECK(format_duration(milliseconds(3200)) == "3.2 s");
    CHECK(format_duration(milliseconds(312'000)) == "5 m 12 s");
    CHECK(format_duration(milliseconds(7'380'000)) == "2 h 3 m");
    CHECK(format_duration(milliseconds(183'600'000)) == "2 d 3 h");
}

TEST_CASE("aligning up keeps multiples") {
    CHECK(align_up(0, 4096) == 0);
    CHECK(align_up(1, 4096) == 4096);
    CHECK(align_up(4096, 4096) == 4096);
    CHECK(align_up(4097, 4096) == 8192);
}
