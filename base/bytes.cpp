#include "base/bytes.h"

#include <limits>

namespace rekindle {

Result<void> ByteReader::finish(std::string_view what) const {
    if (failed_) {
        return Error{ErrorCode::kCorrupt, std::string(what) + ": ends early"};
    }
    if (!rest_.empty()) {
        return Error{ErrorCode::kCorrupt,
                     std::string(what) + ": " + std::to_string(rest_.size()) + " bytes too many"};
    }
    return {};
}

void ByteWriter::write_string(std::string_view text) {
    REKINDLE_CHECK(text.size() <= std::numeric_limits<uint32_t>::max(), "string beyond 4 GiB");
    write(static_cast<uint32_t>(text.size()));
    write_span(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace rekindle
