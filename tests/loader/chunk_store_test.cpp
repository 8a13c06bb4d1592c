#include "loader/chunk_store.h"

#include "base/units.h"
#include "loader/chunk_codec.h"
#include "tests/loader/temp_store.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

using namespace rekindle;          // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::loader;  // NOLINT(google-build-using-namespace): a test.
using test::deploy_image;
using test::ImageShape;
using test::random_bytes;

namespace {

const ImageShape kSmall{.chunk_bytes = {64 * kKiB, 128 * kKiB, 4096}, .compress_first = true};

}  // namespace

TEST_CASE("an image is there after the store is opened again") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto image = deploy_image(*store, kSmall, 1);
    CHECK(test::readable(*store, image.digest));
    const uint64_t stored = store->stored_bytes();
    store.reset();

    store = test::open_store(folder.path());
    CHECK(store->image_index(image.digest).value() == image.index_json);
    CHECK(store->stored_bytes() == stored);
    CHECK(test::readable(*store, image.digest));
}

TEST_CASE("equal chunks are stored once, compressed ones smaller") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto plain = random_bytes(64 * kKiB, 1);
    const auto text = test::plain_text(64 * kKiB, 1);

    const auto first = store->put(plain, true).value();
    CHECK(first.codec == ChunkCodec::kPlain);  // Nothing gained, so left as it is.
    CHECK(store->put(plain, false).value().id == first.id);
    REQUIRE(store->commit().ok());
    CHECK(store->stored_bytes() == 64 * kKiB);
    CHECK(store->put(plain, false).value().xxh3 == xxh3(plain));
    CHECK(store->put(text, true).value().codec == ChunkCodec::kZstd);
    REQUIRE(store->commit().ok());
    CHECK(store->stored_bytes() == 68 * kKiB);
    const auto place = store->locate(store->put(text, false)->id).value();
    CHECK(place.offset % kPageBytes == 0);
    CHECK(place.stored_bytes < 4096);
}

TEST_CASE("a chunk is looked up once committed, and gone after rollback") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto kept = store->put(random_bytes(8192, 1), false).value();
    CHECK(store->locate(kept.id).error().code == ErrorCode::kNotFound);
    REQUIRE(store->commit().ok());
    CHECK(store->locate(kept.id).ok());

    const auto dropped = store->put(random_bytes(8192, 2), false).value();
    store->rollback();
    REQUIRE(store->commit().ok());
    CHECK_FALSE(store->locate(dropped.id).ok());
    CHECK(test::file_size(test::pack_files(folder.path())[0]) == 8192);
}

TEST_CASE("chunk sizes are whole pages up to the limit") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    CHECK(store->put(random_bytes(kChunkBytesMax, 1), false).ok());
    for (const uint64_t bytes : {uint64_t{0}, uint64_t{4095}, kChunkBytesMax + kPageBytes}) {
        auto put = store->put(random_bytes(bytes, 1), false);
        REQUIRE_FALSE(put.ok());
        CHECK(put.error().code == ErrorCode::kInvalidArgument);
    }
}

TEST_CASE("what no commit named is cut off when the store is opened") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto image = deploy_image(*store, kSmall, 1);
    const std::string pack = test::pack_files(folder.path())[0];
    const uint64_t committed = test::file_size(pack);
    REQUIRE(store->put(random_bytes(64 * kKiB, 9), false).ok());
    CHECK(test::file_size(pack) == committed + 64 * kKiB);
    store.reset();

    store = test::open_store(folder.path());
    CHECK(test::file_size(pack) == committed);
    CHECK(test::readable(*store, image.digest));
}

TEST_CASE("a second process or handle on one folder is refused, naming it") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    auto second = ChunkStore::open(folder.path());
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == ErrorCode::kConflict);
    CHECK(second.error().message.find(folder.path()) != std::string::npos);
    store.reset();
    CHECK(ChunkStore::open(folder.path()).ok());
}

TEST_CASE("a folder that cannot be written is refused with its name") {
    auto store = ChunkStore::open("/proc/rekindle-store");
    REQUIRE_FALSE(store.ok());
    CHECK(store.error().message.find("/proc/rekindle-store") != std::string::npos);
}

TEST_CASE("packs end at their limit, and chunks of all packs are found") {
    const test::TempFolder folder;
    auto opened = ChunkStore::open(folder.path(), {.pack_bytes_max = 256 * kKiB});
    auto store = std::move(opened).value();
    const ImageShape shape{.chunk_bytes = std::vector<uint64_t>(10, 64 * kKiB)};
    const auto image = deploy_image(*store, shape, 1);
    CHECK(test::pack_files(folder.path()).size() == 3);
    CHECK(test::readable(*store, image.digest));
    store.reset();
    store = test::open_store(folder.path());
    CHECK(test::readable(*store, image.digest));
}

TEST_CASE("collect gives back what no image refers to, and nothing else") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    // The two images share their second chunk: seeds 1 + 1 and 2 + 0.
    const auto one = deploy_image(*store, {.chunk_bytes = {64 * kKiB, 64 * kKiB}}, 1);
    const auto two = deploy_image(*store, {.chunk_bytes = {64 * kKiB, 64 * kKiB}}, 2);
    CHECK(store->stored_bytes() == 192 * kKiB);
    CHECK(store->collect().value() == 0);

    REQUIRE(store->remove_image(one.digest).ok());
    CHECK_FALSE(store->image_index(one.digest).ok());
    CHECK(store->collect().value() == 64 * kKiB);
    CHECK(test::readable(*store, two.digest));
    CHECK(store->stored_bytes() == 128 * kKiB);

    REQUIRE(store->remove_image(two.digest).ok());
    CHECK(store->collect().value() == 128 * kKiB);
    CHECK(store->stored_bytes() == 0);
    CHECK(store->remove_image(two.digest).error().code == ErrorCode::kNotFound);
    store.reset();
    store = test::open_store(folder.path());
    CHECK(store->stored_bytes() == 0);
    CHECK(test::file_size(test::pack_files(folder.path())[0]) == 0);
}

TEST_CASE("collect keeps the chunks of a deploy that is under way") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto chunk = store->put(random_bytes(8192, 1), false).value();
    REQUIRE(store->commit().ok());
    CHECK(store->collect().value() == 0);
    CHECK(store->locate(chunk.id).ok());
    store->rollback();
    CHECK(store->collect().value() == 8192);
    CHECK_FALSE(store->locate(chunk.id).ok());
}

TEST_CASE("adding an image twice counts once") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto image = deploy_image(*store, kSmall, 1);
    REQUIRE(store->add_image(image.digest, image.index_json).ok());
    REQUIRE(store->remove_image(image.digest).ok());
    CHECK(store->collect().value() > 0);
    CHECK(store->stored_bytes() == 0);
}

TEST_CASE("an image is refused under a wrong digest or with a chunk that is not here") {
    const test::TempFolder folder;
    const test::TempFolder other_folder;
    auto store = test::open_store(folder.path());
    auto other = test::open_store(other_folder.path());
    const auto image = deploy_image(*other, kSmall, 1);

    auto missing = store->add_image(image.digest, image.index_json);
    REQUIRE_FALSE(missing.ok());
    CHECK(missing.error().code == ErrorCode::kNotFound);
    auto wrong = other->add_image(std::string(64, '0'), image.index_json);
    REQUIRE_FALSE(wrong.ok());
    CHECK(wrong.error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("deploying again replaces a chunk that was damaged on disk") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto image = deploy_image(*store, kSmall, 1);
    for (const ImageChunk& chunk : image.chunks) {
        test::flip_stored_bit(folder.path(), store->locate(chunk.id).value());
    }
    CHECK_FALSE(test::readable(*store, image.digest));
    CHECK(deploy_image(*store, kSmall, 1).digest == image.digest);
    CHECK(test::readable(*store, image.digest));
    store.reset();
    store = test::open_store(folder.path());
    CHECK(test::readable(*store, image.digest));
    REQUIRE(store->remove_image(image.digest).ok());
    CHECK(store->collect().ok());
    CHECK(store->stored_bytes() == 0);
}

TEST_CASE("a missing pack is said so, other packs work, and deploying again repairs") {
    const test::TempFolder folder;
    auto store = ChunkStore::open(folder.path(), {.pack_bytes_max = 256 * kKiB}).value();
    const auto one = deploy_image(*store, {.chunk_bytes = {256 * kKiB}}, 1);
    const auto two = deploy_image(*store, {.chunk_bytes = {256 * kKiB}}, 2);
    store.reset();
    std::filesystem::remove(test::pack_files(folder.path())[0]);

    store = test::open_store(folder.path());
    auto place = store->locate(one.chunks[0].id);
    REQUIRE_FALSE(place.ok());
    CHECK(place.error().code == ErrorCode::kCorrupt);
    CHECK(place.error().message.find("000001.pack is missing") != std::string::npos);
    CHECK(test::readable(*store, two.digest));
    deploy_image(*store, {.chunk_bytes = {256 * kKiB}}, 1);
    CHECK(test::readable(*store, one.digest));
}

TEST_CASE("a truncated pack damages what it lost and nothing before") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto one = deploy_image(*store, {.chunk_bytes = {64 * kKiB}}, 1);
    const auto two = deploy_image(*store, {.chunk_bytes = {64 * kKiB}}, 2);
    store.reset();
    std::filesystem::resize_file(test::pack_files(folder.path())[0], 100 * kKiB);

    store = test::open_store(folder.path());
    CHECK(test::readable(*store, one.digest));
    CHECK_FALSE(test::readable(*store, two.digest));
    deploy_image(*store, {.chunk_bytes = {64 * kKiB}}, 2);
    CHECK(test::readable(*store, two.digest));
    CHECK(test::readable(*store, one.digest));
}

TEST_CASE("a compressed frame that gives more, less or nonsense is corrupt") {
    const auto plain = test::plain_text(8192, 1);
    const auto stored = compress_chunk(plain);
    REQUIRE_FALSE(stored.empty());
    std::vector<std::byte> out(8192);
    CHECK(decompress_chunk(stored, out).ok());
    CHECK(out == plain);
    std::vector<std::byte> small(4096);
    CHECK_FALSE(decompress_chunk(stored, small).ok());
    std::vector<std::byte> large(12288);
    CHECK_FALSE(decompress_chunk(stored, large).ok());
    CHECK_FALSE(decompress_chunk(std::span(stored).first(stored.size() / 2), out).ok());
    CHECK_FALSE(decompress_chunk(random_bytes(100, 1), out).ok());
}

TEST_CASE("images are listed, and every chunk is read plain and checked") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    CHECK(store->images().value().empty());
    const auto one = deploy_image(*store, kSmall, 1);
    const auto two = deploy_image(*store, kSmall, 2);
    std::vector<std::string> both{one.digest, two.digest};
    std::ranges::sort(both);
    CHECK(store->images().value() == both);
    for (const ImageChunk& chunk : one.chunks) {
        const auto plain = store->read(chunk.id);
        REQUIRE(plain);
        CHECK(plain->bytes() == chunk.bytes);
        CHECK(sha256(plain->span()) == chunk.id.digest);
    }
    CHECK(store->read(ChunkId{}).error().code == ErrorCode::kNotFound);
    test::flip_stored_bit(folder.path(), store->locate(one.chunks[1].id).value());
    CHECK(store->read(one.chunks[1].id).error().code == ErrorCode::kCorrupt);
    REQUIRE(store->remove_image(two.digest).ok());
    CHECK(store->images().value() == std::vector<std::string>{one.digest});
}

TEST_CASE("what could be given back is told before it is") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto kept = deploy_image(*store, kSmall, 1);
    const auto dropped = deploy_image(*store, kSmall, 100);
    CHECK(store->garbage({})->bytes == 0);
    const std::vector<std::string> images{dropped.digest};
    const Garbage expected = store->garbage(images).value();
    CHECK(expected.chunks == dropped.chunks.size());
    REQUIRE(store->remove_image(dropped.digest).ok());
    CHECK(store->garbage({})->bytes == expected.bytes);
    CHECK(store->collect().value() == expected.bytes);
    CHECK(store->garbage({})->chunks == 0);
    CHECK(test::readable(*store, kept.digest));
    CHECK(store->garbage(images).error().code == ErrorCode::kNotFound);
}

TEST_CASE("chunks that two images share stay while one of them does") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto one = deploy_image(*store, {.chunk_bytes = {4096, 8192}}, 1);
    const auto more = deploy_image(*store, {.chunk_bytes = {4096, 8192, 16384}}, 1);
    REQUIRE(one.chunks[0].id == more.chunks[0].id);
    CHECK(store->garbage(std::vector{more.digest})->bytes == 16384);
    CHECK(store->garbage(std::vector{one.digest})->bytes == 0);
    CHECK(store->garbage(std::vector{one.digest, more.digest})->bytes == 28672);
}

TEST_CASE("a chunk that is read and found whole leaves quarantine") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto image = deploy_image(*store, kSmall, 1);
    const auto& chunk = image.chunks[1];
    const auto place = store->locate(chunk.id).value();
    store->quarantine(chunk.id);
    test::flip_stored_bit(folder.path(), place);
    CHECK_FALSE(store->read(chunk.id).ok());
    CHECK_FALSE(store->locate(chunk.id).ok());
    test::flip_stored_bit(folder.path(), place);
    CHECK(store->read(chunk.id).ok());
    CHECK(store->locate(chunk.id).ok());
}

TEST_CASE("a chunk in quarantine is not told of until it is stored anew") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto image = deploy_image(*store, kSmall, 1);
    const auto& chunk = image.chunks[1];
    test::flip_stored_bit(folder.path(), store->locate(chunk.id).value());
    store->quarantine(chunk.id);
    const auto hidden = store->locate(chunk.id);
    REQUIRE_FALSE(hidden.ok());
    CHECK(hidden.error().code == ErrorCode::kCorrupt);
    CHECK(hidden.error().message.find(chunk.id.hex()) != std::string::npos);

    // Another image that has it changes nothing; deploying the image again repairs it.
    REQUIRE(store->remove_image(image.digest).ok());
    CHECK_FALSE(store->locate(chunk.id).ok());
    deploy_image(*store, kSmall, 1);
    CHECK(store->locate(chunk.id).ok());
    CHECK(test::readable(*store, image.digest));
}
