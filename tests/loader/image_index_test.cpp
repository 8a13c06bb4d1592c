#include "loader/image_index.h"

#include "base/units.h"
#include "tests/loader/temp_store.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::loader;  // NOLINT(google-build-using-namespace): a test.

namespace {

std::vector<ImageChunk> two_chunks() {
    std::vector<ImageChunk> chunks(2);
    chunks[0].bytes = 8192;
    chunks[0].codec = ChunkCodec::kZstd;
    chunks[0].xxh3 = 0x00ab;
    chunks[1].offset = 8192;
    chunks[1].bytes = 4096;
    chunks[1].id.digest.fill(std::byte{0x5a});
    return chunks;
}

std::string finished() {
    const auto chunks = two_chunks();
    return finish_image_index(test::importer_index(chunks), chunks).value();
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a finished index gives the chunks that the daemon measured") {
    auto index = ImageIndex::parse(finished());

    REQUIRE(index.ok());
    CHECK(index->bytes == 12288);
    REQUIRE(index->chunks.size() == 2);
    CHECK(index->chunks[0].codec == ChunkCodec::kZstd);
    CHECK(index->chunks[0].xxh3 == 0xab);
    CHECK(index->chunks[1].id == two_chunks()[1].id);
    CHECK(index->chunks[1].offset == 8192);
}

TEST_CASE("finishing keeps everything else, numbers digit by digit") {
    const std::string text = finished();
    CHECK(text.find(R"("rms_epsilon":9.999999747378752e-06)") != std::string::npos);
    CHECK(text.find(R"("rope_base":100000.0)") != std::string::npos);
    CHECK(text.find(R"("source":{"bytes":17,"format":"gguf"})") != std::string::npos);
}

TEST_CASE("the importer's own digests are not believed") {
    const auto chunks = two_chunks();
    const std::string claimed =
        replaced(test::importer_index(chunks), R"("offset": 0,)",
                 R"("offset": 0, "id": "00", "xxh3": "00", "codec": "evil",)");
    CHECK(finish_image_index(claimed, chunks).value() == finished());
}

TEST_CASE("an index that disagrees with the chunks received is refused") {
    const auto chunks = two_chunks();
    const std::string index = test::importer_index(chunks);
    auto fewer = finish_image_index(index, {chunks[0]});
    auto other = chunks;
    other[1].bytes = 8192;
    auto longer = finish_image_index(index, other);

    REQUIRE_FALSE(fewer.ok());
    CHECK(fewer.error().code == ErrorCode::kCorrupt);
    CHECK(fewer.error().message == "image index: it lists 2 chunks, 1 were received");
    REQUIRE_FALSE(longer.ok());
    CHECK(longer.error().code == ErrorCode::kCorrupt);
}

TEST_CASE("the digest depends on neither the order of keys nor white space, but on every value") {
    const std::string one = R"({"b": [1, 2.50, "x\u0041\n"], "a": {"z": null, "y": true}})";
    const std::string two = R"({"a":{"y":true,"z":null},"b":[1,2.50,"xA\n"]})";
    CHECK(image_digest(one).value() == image_digest(two).value());
    CHECK(image_digest(one).value() == to_hex(sha256(as_bytes(two))));
    CHECK(image_digest(one).value() != image_digest(replaced(one, "2.50", "2.5")).value());
    CHECK(image_digest(one).value() != image_digest(replaced(one, "true", "false")).value());
}

TEST_CASE("a digest of the canonical form is the digest of the form itself") {
    const std::string text = finished();
    CHECK(image_digest(text).value() == to_hex(sha256(as_bytes(text))));
}

TEST_CASE("an index that readers could understand differently has no digest") {
    CHECK_FALSE(image_digest(R"({"a": 1, "a": 2})").ok());
    CHECK_FALSE(image_digest(R"({"a": 1} x)").ok());
    CHECK_FALSE(image_digest("").ok());
}

TEST_CASE("an index out of its limits is refused with the reason") {
    const std::string good = finished();
    REQUIRE(ImageIndex::parse(good).ok());
    const auto refused = [&good](std::string_view from, std::string_view to) {
        auto index = ImageIndex::parse(replaced(good, from, to));
        return index ? std::string("accepted") : index.error().message;
    };
    CHECK(refused(R"("rekindle_image":1)", R"("rekindle_image":2)") ==
          "image index: version 2 is unknown, this build reads version 1");
    CHECK(refused(R"("rekindle_image":1,)", "") != "accepted");
    CHECK(refused(R"("bytes":12288)", R"("bytes":16384)") ==
          "image index: chunks end at 12288, the image at 16384");
    CHECK(refused(R"("bytes":12288)", R"("bytes":-1)") != "accepted");
    CHECK(refused(R"("bytes":12288)", R"("bytes":1e300)") != "accepted");
    CHECK(refused(R"("offset":8192)", R"("offset":4096)") != "accepted");
    CHECK(refused(R"("bytes":4096)", R"("bytes":4095)") != "accepted");
    CHECK(refused(R"("bytes":4096)", R"("bytes":0)") != "accepted");
    CHECK(refused(R"("codec":"zstd")", R"("codec":"lz4")") ==
          "image index: the codec \"lz4\" is unknown");
    CHECK(refused(R"("xxh3":"00000000000000ab")", R"("xxh3":"0xab")") != "accepted");
    CHECK(refused(R"("xxh3":"00000000000000ab")", R"("xxh3":"-0000000000000ab")") != "accepted");
    CHECK(refused("5a5a", "5a5g") != "accepted");
    CHECK(refused(R"("chunks":[)", R"("chunks":[7,)") != "accepted");
    CHECK(refused(R"("chunks":[)", R"("junk":[)") != "accepted");
}

TEST_CASE("a chunk of the largest size is accepted, one page more is not") {
    std::vector<ImageChunk> chunks(1);
    chunks[0].bytes = kChunkBytesMax;
    CHECK(finish_image_index(test::importer_index(chunks), chunks).ok());
    chunks[0].bytes += kPageBytes;
    CHECK_FALSE(finish_image_index(test::importer_index(chunks), chunks).ok());
}
