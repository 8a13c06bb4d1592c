#include "base/bytes.h"

#include "base/hash.h"

#include <doctest/doctest.h>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("what is written reads back, little-endian") {
    ByteWriter out;
    out.write(uint32_t{0x01020304});
    out.write(int64_t{-5});
    out.write(uint8_t{7});
    out.write_string("kindle");
    out.write_span(as_bytes("xy"));
    CHECK(out.bytes()[0] == std::byte{4});

    ByteReader in(out.bytes());
    CHECK(in.read<uint32_t>() == 0x01020304);
    CHECK(in.read<int64_t>() == -5);
    CHECK(in.read<uint8_t>() == 7);
    CHECK(in.read_string() == "kindle");
    CHECK(as_text(in.read_span(2)) == "xy");
    CHECK(in.finish("record").ok());
}

TEST_CASE("a short read fails, gives zeros, and so does every later one") {
    const std::vector<std::byte> bytes(7, std::byte{1});
    ByteReader in(bytes);

    CHECK(in.read<uint64_t>() == 0);
    CHECK(in.failed());
    CHECK(in.read<uint8_t>() == 0);
    CHECK(in.read_span(1).empty());
    CHECK(in.remaining() == 0);
    CHECK(in.finish("record").error().code == ErrorCode::kCorrupt);
    CHECK(in.finish("record").error().message == "record: ends early");
}

TEST_CASE("bytes that are left over are an error with their number") {
    const std::vector<std::byte> bytes(7, std::byte{1});
    ByteReader in(bytes);
    static_cast<void>(in.read<uint32_t>());
    CHECK_FALSE(in.failed());
    CHECK(in.finish("record").error().message == "record: 3 bytes too many");
}

TEST_CASE("a string whose length is beyond the bytes is empty and fails, however long it claims") {
    for (const uint32_t length : {2U, 3U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
        ByteWriter out;
        out.write(length);
        out.write(uint8_t{'a'});
        ByteReader in(out.bytes());
        CHECK(in.read_string().empty());
        CHECK(in.failed());
    }
}

TEST_CASE("a span of all that is left is fine, one more byte is not") {
    const std::vector<std::byte> bytes(4);
    ByteReader exact(bytes);
    CHECK(exact.read_span(4).size() == 4);
    CHECK(exact.finish("span").ok());
    ByteReader more(bytes);
    CHECK(more.read_span(5).empty());
    CHECK(more.failed());
    ByteReader huge(bytes);
    CHECK(huge.read_span(UINT64_MAX).empty());
    CHECK(huge.failed());
}

TEST_CASE("nothing at all reads as nothing") {
    ByteReader in({});
    CHECK(in.read_span(0).empty());
    CHECK(in.finish("nothing").ok());
}
