// The models of a run: small images of random weights with a byte-level vocabulary, made once per
// process, the store that knows them, and what each model answers to a prompt.
// Threading: one thread; immutable after make.
#pragma once
#include "base/result.h"
#include "loader/chunk_store.h"
#include "runtime/tokenizer/tokenizer.h"
#include "snapshot/view/image_view.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::sim {

struct Image {
    std::string name;  // Of the deployment.
    std::string digest;
    std::string index_json;
    uint64_t bytes = 0;
    std::vector<std::byte> space;
    uint64_t salt = 0;                           // What an engine makes of the right weights.
    std::vector<std::vector<std::byte>> stored;  // By chunk.
};

inline constexpr uint32_t kContext = 512;
inline constexpr uint64_t kKvPageBytes = 4096;  // Of every model here.

// Weights to a number; any wrong byte gives another.
uint64_t salt_of(const snapshot::ImageView& image);
// The state after one more token, and the token that follows a state.
uint64_t next_state(uint64_t state, runtime::TokenId token) noexcept;
runtime::TokenId token_after(uint64_t state, runtime::TokenId end) noexcept;

class Images {
public:
    explicit Images(uint32_t models);

    const std::vector<Image>& all() const noexcept { return images_; }
    const runtime::Tokenizer& tokenizer() const noexcept { return tokenizer_; }
    runtime::TokenId end_token() const noexcept { return end_; }

private:
    std::vector<std::byte> table_;
    runtime::TokenId end_ = 0;
    runtime::Tokenizer tokenizer_;
    std::vector<Image> images_;
};

// Chunks are "files" whose number says image and chunk; read() is what the disk has there.
class ImageStore final : public loader::ChunkStore {
public:
    explicit ImageStore(const Images& images);

    Result<loader::ImageChunk> put(std::span<const std::byte> plain, bool compress) override;
    Result<void> commit() override { return {}; }
    void rollback() override {}
    Result<loader::ChunkLocation> locate(const loader::ChunkId& id) const override;
    Result<void> add_image(const std::string& digest, std::string_view index_json) override;
    Result<void> remove_image(const std::string& digest) override;
    Result<std::string> image_index(const std::string& digest) const override;
    Result<std::vector<std::string>> images() const override;
    Result<Mapping> read(const loader::ChunkId& id) const override;
    Result<uint64_t> collect() override { return 0; }
    Result<loader::Garbage> garbage(std::span<const std::string> /*images*/) const override {
        return loader::Garbage{};
    }
    void keep(std::span<const loader::ImageChunk> /*chunks*/) override {}
    void let_go(std::span<const loader::ImageChunk> /*chunks*/) override {}
    void quarantine(const loader::ChunkId& /*id*/) override {}
    uint64_t stored_bytes() const override { return 0; }

    std::span<const std::byte> file(int fd) const { return files_.at(fd); }
    // Which image a file belongs to.
    static size_t image_of(int fd) noexcept { return static_cast<size_t>(fd / kFilesPerImage); }

private:
    static constexpr int kFilesPerImage = 1000;

    const Images& images_;
    std::map<loader::ChunkId, loader::ChunkLocation> places_;
    std::map<int, std::span<const std::byte>> files_;
};

}  // namespace rekindle::sim
