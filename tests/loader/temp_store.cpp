#include "tests/loader/temp_store.h"

#include "base/random.h"
#include "base/unique_fd.h"
#include "base/units.h"
#include "loader/chunk_codec.h"
#include "loader/ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <sys/mman.h>
#include <unistd.h>

namespace rekindle::test {
namespace {

// Also used by a helper program without a test framework.
template <typename T>
void must(const Result<T>& result) {
    if (!result) {
        fmt::print(stderr, "{}\n", result.error().message);
    }
    REKINDLE_CHECK(result.ok(), "a step that prepares a test works");
}

}  // namespace

TempFolder::TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rekindle-XXXXXX").string();
    REKINDLE_CHECK(::mkdtemp(pattern.data()) != nullptr, "the test\'s own files");
    path_ = pattern;
}

TempFolder::~TempFolder() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
}

Pages::Pages(uint64_t bytes) {
    void* const data =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REKINDLE_CHECK(data != MAP_FAILED, "the test\'s own files");
    bytes_ = {static_cast<std::byte*>(data), bytes};
}

Pages::~Pages() {
    ::munmap(bytes_.data(), bytes_.size());
}

std::vector<std::byte> random_bytes(uint64_t bytes, uint64_t seed) {
    std::vector<std::byte> out(bytes);
    SeededEntropy(seed).fill(out);
    return out;
}

std::vector<std::byte> plain_text(uint64_t bytes, uint64_t seed) {
    std::vector<std::byte> out(bytes);
    for (uint64_t i = 0; i < bytes; ++i) {
        out[i] = static_cast<std::byte>('a' + (i * (seed + 3) / 64) % 8);
    }
    return out;
}

std::unique_ptr<loader::ChunkStore> open_store(const std::string& folder) {
    auto store = loader::ChunkStore::open(folder);
    must(store);
    return std::move(store).value();
}

std::string importer_index(const std::vector<loader::ImageChunk>& chunks) {
    std::string list;
    uint64_t bytes = 0;
    for (const loader::ImageChunk& chunk : chunks) {
        list += fmt::format(R"({}{{"offset": {}, "bytes": {}}})", list.empty() ? "" : ", ",
                            chunk.offset, chunk.bytes);
        bytes += chunk.bytes;
    }
    return fmt::format(
        R"({{"rekindle_image": 1, "layout": "r16-v1", "bytes": {}, "architecture": "llama",
  "source": {{"format": "gguf", "bytes": 17}},
  "hyperparameters": {{"layers": 1, "embedding": 64, "feed_forward": 64, "heads": 2, "kv_heads": 1,
    "head_dim": 32, "vocabulary": 100, "context": 128, "rope_dimensions": 32,
    "rope_base": 100000.0, "rms_epsilon": 9.999999747378752e-06, "tied_output": true}},
  "tables": {{}}, "tensors": [], "chunks": [{}]}})",
        bytes, list);
}

TestImage deploy_image(loader::ChunkStore& store, const ImageShape& shape, uint64_t seed) {
    TestImage image;
    for (size_t i = 0; i < shape.chunk_bytes.size(); ++i) {
        const bool compress = i == 0 && shape.compress_first;
        const uint64_t bytes = shape.chunk_bytes[i];
        const auto plain = compress ? plain_text(bytes, seed) : random_bytes(bytes, seed + i);
        auto chunk = store.put(plain, compress);
        must(chunk);
        chunk->offset = image.bytes.size();
        image.chunks.push_back(*chunk);
        image.bytes.insert(image.bytes.end(), plain.begin(), plain.end());
    }
    auto index = loader::finish_image_index(importer_index(image.chunks), image.chunks);
    must(index);
    image.index_json = *index;
    image.digest = loader::image_digest(image.index_json).value();
    auto added = store.add_image(image.digest, image.index_json);
    must(added);
    return image;
}

bool readable(loader::ChunkStore& store, const std::string& digest) {
    auto text = store.image_index(digest);
    auto index = text ? loader::ImageIndex::parse(*text) : std::move(text).error();
    if (!index) {
        return false;
    }
    loader::Ring ring(loader::make_thread_backend(1));
    const Pages stored(loader::kChunkBytesMax);
    std::vector<std::byte> plain(loader::kChunkBytesMax);
    for (const loader::ImageChunk& chunk : index->chunks) {
        auto place = store.locate(chunk.id);
        if (!place) {
            return false;
        }
        const auto pages = stored.span().first(align_up(place->stored_bytes, kPageBytes));
        ring.start({.fd = place->fd,
                    .direct = place->direct,
                    .offset = place->offset,
                    .out = pages,
                    .tag = 0});
        std::span<const std::byte> found = pages.first(place->stored_bytes);
        bool whole = ring.wait().result.ok();
        if (whole && place->codec == loader::ChunkCodec::kZstd) {
            const auto out = std::span(plain).first(chunk.bytes);
            whole = loader::decompress_chunk(found, out).ok();
            found = out;
        }
        if (!whole || sha256(found) != chunk.id.digest) {
            return false;
        }
    }
    return true;
}

void flip_stored_bit(const std::string& folder, const loader::ChunkLocation& place) {
    // The descriptor of the store is read-only: find the file by its name in /proc.
    const auto link = std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", place.fd));
    REKINDLE_CHECK(link.string().starts_with(std::filesystem::canonical(folder).string()),
                   "the test\'s own files");
    const UniqueFd file(::open(link.c_str(), O_RDWR | O_CLOEXEC));
    const auto at = static_cast<off_t>(place.offset + place.stored_bytes / 2);
    unsigned char byte = 0;
    REKINDLE_CHECK(::pread(file.get(), &byte, 1, at) == 1, "the test\'s own files");
    byte ^= 8;
    REKINDLE_CHECK(::pwrite(file.get(), &byte, 1, at) == 1, "the test\'s own files");
    REKINDLE_CHECK(::fsync(file.get()) == 0, "the test\'s own files");
}

std::vector<std::string> pack_files(const std::string& folder) {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder + "/packs")) {
        files.push_back(entry.path().string());
    }
    std::ranges::sort(files);
    return files;
}

uint64_t file_size(const std::string& path) {
    return std::filesystem::file_size(path);
}

}  // namespace rekindle::test
