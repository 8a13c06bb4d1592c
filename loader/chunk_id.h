// The name of a chunk: SHA-256 of its plain bytes.
#pragma once
#include "base/hash.h"

#include <compare>
#include <cstring>
#include <functional>

namespace rekindle::loader {

struct ChunkId {
    Sha256Digest digest{};

    auto operator<=>(const ChunkId&) const = default;

    std::string hex() const { return to_hex(digest); }
};

}  // namespace rekindle::loader

template <>
struct std::hash<rekindle::loader::ChunkId> {
    size_t operator()(const rekindle::loader::ChunkId& id) const noexcept {
        size_t value = 0;  // A digest's bytes are uniform: any eight of them do.
        std::memcpy(&value, id.digest.data(), sizeof(value));
        return value;
    }
};
