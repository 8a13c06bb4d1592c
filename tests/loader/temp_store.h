// A folder that goes away with the test, and images of random bytes to put into a chunk store.
#pragma once
#include "loader/chunk_store.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rekindle::test {

class TempFolder {
public:
    TempFolder();
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    ~TempFolder();

    const std::string& path() const noexcept { return path_; }

private:
    std::string path_;
};

// Page-aligned memory.
class Pages {
public:
    explicit Pages(uint64_t bytes);
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    ~Pages();

    std::span<std::byte> span() const noexcept { return bytes_; }

private:
    std::span<std::byte> bytes_;
};

// Bytes that depend on the seed alone; no compressor gains on them.
std::vector<std::byte> random_bytes(uint64_t bytes, uint64_t seed);
// Bytes of a few values: a compressor gains much.
std::vector<std::byte> plain_text(uint64_t bytes, uint64_t seed);

std::unique_ptr<loader::ChunkStore> open_store(const std::string& folder);

struct TestImage {
    std::string digest;
    std::string index_json;
    std::vector<std::byte> bytes;
    std::vector<loader::ImageChunk> chunks;
};

struct ImageShape {
    std::vector<uint64_t> chunk_bytes;
    bool compress_first = false;  // The first chunk is text and stored compressed.
};

// Puts the chunks and adds the image; ends the process if that fails.
TestImage deploy_image(loader::ChunkStore& store, const ImageShape& shape, uint64_t seed);
// Index that a worker accepts too, without digests, as the importer writes it.
std::string importer_index(const std::vector<loader::ImageChunk>& chunks);
// Every stored chunk of the image has the bytes that the image says.
bool readable(loader::ChunkStore& store, const std::string& digest);

// Inverts one bit of a stored chunk, behind the store's back.
void flip_stored_bit(const std::string& folder, const loader::ChunkLocation& place);
// "NNNNNN.pack" of `folder`, in order.
std::vector<std::string> pack_files(const std::string& folder);
uint64_t file_size(const std::string& path);

}  // namespace rekindle::test
