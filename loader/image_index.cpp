#include "loader/image_index.h"

#include "base/json.h"
#include "base/units.h"
#include "loader/detail/canonical_json.h"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace rekindle::loader {
namespace {

constexpr JsonLimits kIndexLimits = {.depth_max = 8, .bytes_max = kImageIndexBytesMax};
constexpr uint64_t kImageBytesMax = 1024 * kGiB;
constexpr size_t kChunksMax = 262'144;

Error corrupt(std::string_view reason) {
    return Error{ErrorCode::kCorrupt, fmt::format("image index: {}", reason)};
}

Result<uint64_t> read_count(const json::object& object, std::string_view key, uint64_t max) {
    auto read = get_integer(object, key);
    if (!read) {
        return corrupt(read.error().message);
    }
    const std::optional<int64_t> number = *read;
    if (!number || *number < 0 || static_cast<uint64_t>(*number) > max) {
        return corrupt(fmt::format("\"{}\" must be an integer from 0 to {}", key, max));
    }
    return static_cast<uint64_t>(*number);
}

std::string_view text_of(const json::object& object, std::string_view key) {
    const json::value* const value = object.if_contains(key);
    return value != nullptr && value->is_string() ? std::string_view(value->get_string())
                                                  : std::string_view();
}

Result<void> read_digests(const json::object& object, ImageChunk& chunk) {
    auto digest = parse_sha256(text_of(object, "id"));
    if (!digest) {
        return corrupt("a chunk's \"id\" must have 64 hexadecimal digits");
    }
    chunk.id.digest = *digest;
    const std::string_view sum = text_of(object, "xxh3");
    const auto read = std::from_chars(sum.data(), sum.data() + sum.size(), chunk.xxh3, 16);
    if (sum.size() != 16 || read.ec != std::errc() || read.ptr != sum.data() + sum.size()) {
        return corrupt("a chunk's \"xxh3\" must have 16 hexadecimal digits");
    }
    const std::string_view codec = text_of(object, "codec");
    if (codec != "plain" && codec != "zstd") {
        return corrupt(fmt::format("the codec \"{}\" is unknown", codec));
    }
    chunk.codec = codec == "zstd" ? ChunkCodec::kZstd : ChunkCodec::kPlain;
    return {};
}

constexpr size_t kArchitectureBytesMax = 64;

enum class Digests { kAbsent, kPresent };

Result<ImageChunk> read_chunk(const json::value& value, uint64_t offset, Digests digests) {
    const json::object* const object = value.if_object();
    if (object == nullptr) {
        return corrupt("a chunk must be an object");
    }
    auto at = read_count(*object, "offset", kImageBytesMax);
    if (!at) {
        return std::move(at).error();
    }
    auto bytes = read_count(*object, "bytes", kChunkBytesMax);
    if (!bytes) {
        return std::move(bytes).error();
    }
    if (*at != offset || *bytes == 0 || *bytes % kPageBytes != 0) {
        return corrupt(fmt::format("chunk [{}, +{}) must begin at {} and have whole pages", *at,
                                   *bytes, offset));
    }
    ImageChunk chunk;
    chunk.offset = offset;
    chunk.bytes = *bytes;
    if (digests == Digests::kPresent) {
        auto read = read_digests(*object, chunk);
        if (!read) {
            return std::move(read).error();
        }
    }
    return chunk;
}

// A word that the importer took from the model file: shown to people, so only what a name needs.
Result<std::string> read_architecture(const json::object& root) {
    auto text = get_string(root, "architecture");
    if (!text) {
        return corrupt(text.error().message);
    }
    std::string name = std::move(*text).value_or("");
    const bool plain =
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == std::string::npos;
    if (name.size() > kArchitectureBytesMax || !plain) {
        return corrupt("\"architecture\" must be a short name in lower case");
    }
    return name;
}

Result<ImageIndex> read_index(std::string_view text, Digests digests) {
    auto parsed = parse_json(text, kIndexLimits);
    if (!parsed) {
        return corrupt(parsed.error().message);
    }
    const json::object* const root = parsed->if_object();
    if (root == nullptr) {
        return corrupt("it must be a JSON object");
    }
    auto version = read_count(*root, "rekindle_image", std::numeric_limits<int64_t>::max());
    if (!version) {
        return std::move(version).error();
    }
    if (*version != 1) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("image index: version {} is unknown, this build reads version 1",
                                 *version)};
    }
    auto bytes = read_count(*root, "bytes", kImageBytesMax);
    if (!bytes) {
        return std::move(bytes).error();
    }
    const json::value* const chunks = root->if_contains("chunks");
    if (chunks == nullptr || !chunks->is_array() || chunks->get_array().size() > kChunksMax) {
        return corrupt(fmt::format("\"chunks\" must be a list of at most {} entries", kChunksMax));
    }
    ImageIndex index;
    auto architecture = read_architecture(*root);
    if (!architecture) {
        return std::move(architecture).error();
    }
    index.architecture = std::move(architecture).value();
    index.chunks.reserve(chunks->get_array().size());
    for (const json::value& value : chunks->get_array()) {
        auto chunk = read_chunk(value, index.bytes, digests);
        if (!chunk) {
            return std::move(chunk).error();
        }
        index.bytes += chunk->bytes;
        index.chunks.push_back(*chunk);
    }
    if (index.bytes != *bytes || index.bytes == 0) {
        return corrupt(fmt::format("chunks end at {}, the image at {}", index.bytes, *bytes));
    }
    return index;
}

std::string chunks_json(const std::vector<ImageChunk>& chunks) {
    std::string text = "[";
    for (const ImageChunk& chunk : chunks) {
        // Keys in canonical order.
        fmt::format_to(std::back_inserter(text),
                       R"({}{{"bytes":{},"codec":"{}","id":"{}","offset":{},"xxh3":"{:016x}"}})",
                       text.size() > 1 ? "," : "", chunk.bytes,
                       chunk.codec == ChunkCodec::kZstd ? "zstd" : "plain", chunk.id.hex(),
                       chunk.offset, chunk.xxh3);
    }
    return text + "]";
}

}  // namespace

Result<ImageIndex> ImageIndex::parse(std::string_view json) {
    return read_index(json, Digests::kPresent);
}

Result<std::string> finish_image_index(std::string_view importer_index,
                                       const std::vector<ImageChunk>& chunks) {
    auto announced = read_index(importer_index, Digests::kAbsent);
    if (!announced) {
        return std::move(announced).error();
    }
    if (announced->chunks.size() != chunks.size()) {
        return corrupt(fmt::format("it lists {} chunks, {} were received", announced->chunks.size(),
                                   chunks.size()));
    }
    for (size_t i = 0; i < chunks.size(); ++i) {
        const ImageChunk& listed = announced->chunks[i];
        if (listed.offset != chunks[i].offset || listed.bytes != chunks[i].bytes) {
            return corrupt(fmt::format("chunk {} is [{}, +{}), [{}, +{}) was received", i,
                                       listed.offset, listed.bytes, chunks[i].offset,
                                       chunks[i].bytes));
        }
    }
    const std::string measured = chunks_json(chunks);
    const JsonReplacement replacement{.key = "chunks", .value = measured};
    return canonical_json(importer_index, &replacement);
}

Result<std::string> image_digest(std::string_view index_json) {
    // Refuses what readers could understand differently (duplicate keys) before it is named.
    auto parsed = parse_json(index_json, kIndexLimits);
    if (!parsed) {
        return corrupt(parsed.error().message);
    }
    auto canonical = canonical_json(index_json, nullptr);
    if (!canonical) {
        return canonical;
    }
    return to_hex(sha256(as_bytes(*canonical)));
}

}  // namespace rekindle::loader
