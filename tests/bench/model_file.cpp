#include "tests/bench/model_file.h"

#include "base/unique_fd.h"
#include "daemon/import_model.h"

#include <fmt/core.h>

#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <span>

namespace rekindle::tests {

std::optional<ModelFile> ModelFile::import(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const auto bytes = file_bytes(fd.get());
    if (!bytes) {
        fmt::print(stderr, "{}\n", bytes.error().message);
        return std::nullopt;
    }
    const auto mapping = Mapping::read_only(fd.get(), *bytes);
    ModelFile model;
    model.space_ = runtime::AlignedBuffer<std::byte>(*bytes + *bytes / 4 + 64 * kMiB);
    uint64_t at = 0;
    const auto sink = [&](uint64_t, std::span<const std::byte> plain, bool) {
        std::memcpy(model.space_.data() + at, plain.data(), plain.size());
        at += plain.size();
        return Result<void>();
    };
    const auto index = daemon::import_gguf(mapping->span(), sink, [](uint64_t, uint64_t) {});
    if (!index) {
        fmt::print(stderr, "{}\n", index.error().message);
        return std::nullopt;
    }
    model.index_ = *index;
    model.bytes_ = at;
    return model;
}

Result<snapshot::ImageView> ModelFile::view() const {
    return snapshot::ImageView::over_memory(index_, {space_.data(), bytes_});
}

}  // namespace rekindle::tests
