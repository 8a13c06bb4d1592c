#include "tests/sim/images.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/units.h"
#include "loader/chunk_codec.h"
#include "loader/image_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace rekindle::sim {
namespace {

constexpr uint64_t kTensorBytes = 8 * kKiB;
constexpr uint64_t kChunkBytes = 16 * kKiB;
constexpr size_t kTensors = 6;

// GPT-2's printable stand-in for a byte, as UTF-8.
std::string printable(uint32_t byte) {
    const auto plain = [](uint32_t b) {
        return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    };
    uint32_t point = byte;
    if (!plain(byte)) {
        uint32_t others = 0;
        for (uint32_t b = 0; b < byte; ++b) {
            others += plain(b) ? 0 : 1;
        }
        point = 256 + others;
    }
    if (point < 0x80) {
        return std::string(1, static_cast<char>(point));
    }
    return {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3F))};
}

// Token i is byte i; the last one ends an answer.
runtime::TokenizerSource byte_vocabulary() {
    runtime::TokenizerSource source;
    source.model = "gpt2";
    source.pre_tokenizer = "gpt-2";
    for (uint32_t byte = 0; byte < 256; ++byte) {
        source.tokens.push_back(printable(byte));
        source.token_types.push_back(1);
    }
    source.eos = static_cast<runtime::TokenId>(source.tokens.size());
    source.tokens.emplace_back("<|end|>");
    source.token_types.push_back(3);
    return source;
}

runtime::Tokenizer open_tokenizer(const std::vector<std::byte>& table) {
    return runtime::Tokenizer::open(table).value();
}

std::string index_of(const Image& image, uint64_t table_bytes, uint64_t first_tensor,
                     const std::vector<loader::ImageChunk>& chunks) {
    std::string tensors;
    for (size_t i = 0; i < kTensors; ++i) {
        tensors += fmt::format(
            R"({}{{"name":"part.{}","type":"F32","rows":1,"columns":{},"offset":{},"bytes":{}}})",
            i == 0 ? "" : ",", i, kTensorBytes / sizeof(float), first_tensor + i * kTensorBytes,
            kTensorBytes);
    }
    std::string list;
    for (const loader::ImageChunk& chunk : chunks) {
        list +=
            fmt::format(R"({}{{"id":"{}","xxh3":"{:016x}","offset":{},"bytes":{},"codec":"{}"}})",
                        list.empty() ? "" : ",", chunk.id.hex(), chunk.xxh3, chunk.offset,
                        chunk.bytes, chunk.codec == loader::ChunkCodec::kZstd ? "zstd" : "plain");
    }
    return fmt::format(
        R"({{"rekindle_image":1,"layout":"r16-v1","bytes":{},"architecture":"llama",)"
        R"("source":{{"format":"gguf","bytes":1}},"hyperparameters":{{"layers":1,"embedding":32,)"
        R"("feed_forward":32,"heads":1,"kv_heads":1,"head_dim":32,"vocabulary":257,"context":{},)"
        R"("rope_dimensions":32,"rope_base":10000.0,"rms_epsilon":1e-5,"tied_output":true}},)"
        R"("tables":{{"tokenizer":{{"offset":0,"bytes":{}}}}},"tensors":[{}],"chunks":[{}]}})",
        image.bytes, kContext, table_bytes, tensors, list);
}

// Cuts the space into chunks, those of the table compressed.
std::vector<loader::ImageChunk> cut(Image& image, uint64_t first_tensor) {
    std::vector<loader::ImageChunk> chunks;
    for (uint64_t at = 0; at < image.bytes;) {
        const uint64_t border = at < first_tensor ? first_tensor : image.bytes;
        loader::ImageChunk chunk;
        chunk.offset = at;
        chunk.bytes = std::min(kChunkBytes, border - at);
        const auto plain = std::span(image.space).subspan(at, chunk.bytes);
        chunk.id.digest = sha256(plain);
        chunk.xxh3 = xxh3(plain);
        std::vector<std::byte> stored(plain.begin(), plain.end());
        if (at < first_tensor) {
            auto packed = loader::compress_chunk(plain);
            if (!packed.empty()) {
                chunk.codec = loader::ChunkCodec::kZstd;
                stored = std::move(packed);
            }
        }
        image.stored.push_back(std::move(stored));
        chunks.push_back(chunk);
        at += chunk.bytes;
    }
    return chunks;
}

Image make_image(size_t number, const std::vector<std::byte>& table) {
    Image image;
    image.name = fmt::format("model-{}", static_cast<char>('a' + number));
    const uint64_t first_tensor = align_up(table.size(), kPageBytes);
    image.bytes = first_tensor + kTensors * kTensorBytes;
    image.space.resize(image.bytes);
    std::ranges::copy(table, image.space.begin());
    SeededEntropy weights(1000 + number);
    weights.fill(std::span(image.space).subspan(first_tensor));
    const auto chunks = cut(image, first_tensor);
    image.index_json = index_of(image, table.size(), first_tensor, chunks);
    image.digest = loader::image_digest(image.index_json).value();
    image.salt = salt_of(snapshot::ImageView::over_memory(image.index_json, image.space).value());
    return image;
}

}  // namespace

uint64_t salt_of(const snapshot::ImageView& image) {
    uint64_t salt = 0;
    for (const snapshot::TensorEntry& tensor : image.layout().tensors) {
        const auto bytes = image.wait(tensor.offset, tensor.bytes);
        salt = counter_random(salt, 1, bytes ? xxh3(*bytes) : 0);
    }
    return salt;
}

uint64_t next_state(uint64_t state, runtime::TokenId token) noexcept {
    return counter_random(state, 2, static_cast<uint64_t>(token));
}

// Mostly letters, most of them the same, so that the batch can guess what comes; some bytes that
// begin a code point, so that text is held back; an end now and then.
runtime::TokenId token_after(uint64_t state, runtime::TokenId end) noexcept {
    constexpr uint64_t kEndsIn100 = 3;
    constexpr uint64_t kLeadsIn100 = 8;
    const uint64_t kind = state % 100;
    if (kind < kEndsIn100) {
        return end;
    }
    if (kind < kLeadsIn100) {
        return 0xC3;
    }
    const bool same = (state >> 60) % 4 != 0;
    return static_cast<runtime::TokenId>('a' + (same ? 0 : (state >> 32) % 26));
}

Images::Images(uint32_t models)
    : table_(runtime::compile_tokenizer(byte_vocabulary()).value()),
      tokenizer_(open_tokenizer(table_)) {
    end_ = *byte_vocabulary().eos;
    for (size_t i = 0; i < models; ++i) {
        images_.push_back(make_image(i, table_));
    }
}

ImageStore::ImageStore(const Images& images) : images_(images) {
    for (size_t i = 0; i < images.all().size(); ++i) {
        const Image& image = images.all()[i];
        const auto index = loader::ImageIndex::parse(image.index_json).value();
        for (size_t chunk = 0; chunk < index.chunks.size(); ++chunk) {
            const int fd = static_cast<int>(i) * kFilesPerImage + static_cast<int>(chunk);
            files_[fd] = image.stored[chunk];
            places_[index.chunks[chunk].id] = {.fd = fd,
                                               .direct = false,
                                               .offset = 0,
                                               .stored_bytes = image.stored[chunk].size(),
                                               .codec = index.chunks[chunk].codec};
        }
    }
}

namespace {

Error unchanging() {
    return Error{ErrorCode::kUnsupported, "the images of a simulation do not change"};
}

}  // namespace

Result<loader::ImageChunk> ImageStore::put(std::span<const std::byte>, bool) {
    return unchanging();
}

Result<void> ImageStore::add_image(const std::string&, std::string_view) {
    return unchanging();
}

Result<std::vector<std::string>> ImageStore::images() const {
    return unchanging();
}

Result<Mapping> ImageStore::read(const loader::ChunkId&) const {
    return unchanging();
}

Result<void> ImageStore::remove_image(const std::string&) {
    return unchanging();
}

Result<loader::ChunkLocation> ImageStore::locate(const loader::ChunkId& id) const {
    const auto place = places_.find(id);
    if (place == places_.end()) {
        return Error{ErrorCode::kNotFound, "no such chunk"};
    }
    return place->second;
}

Result<std::string> ImageStore::image_index(const std::string& digest) const {
    for (const Image& image : images_.all()) {
        if (image.digest == digest) {
            return image.index_json;
        }
    }
    return Error{ErrorCode::kNotFound, "no such image"};
}

}  // namespace rekindle::sim
