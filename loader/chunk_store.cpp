#include "loader/chunk_store.h"

#include "loader/detail/local_store.h"

namespace rekindle::loader {

Result<std::unique_ptr<ChunkStore>> ChunkStore::open(const std::string& folder) {
    return open(folder, ChunkStoreOptions{});
}

Result<std::unique_ptr<ChunkStore>> ChunkStore::open(const std::string& folder,
                                                     const ChunkStoreOptions& options) {
    auto store = LocalChunkStore::create(folder, options);
    if (!store) {
        return std::move(store).error();
    }
    return std::unique_ptr<ChunkStore>(std::move(store).value());
}

}  // namespace rekindle::loader
