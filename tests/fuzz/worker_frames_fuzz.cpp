// Hostile worker: a header and payload of any bytes either parse or are refused; what parses
// encodes to the same bytes again.
#include "daemon/frames.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace rekindle;          // NOLINT(google-build-using-namespace): one function.
    using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): one function.
    const auto bytes = std::as_bytes(std::span(data, size));
    if (size < kFrameHeaderBytes) {
        return 0;
    }
    auto header = parse_frame_header(bytes.first(kFrameHeaderBytes));
    if (!header) {
        return 0;
    }
    const auto payload = bytes.subspan(kFrameHeaderBytes);
    header->payload_bytes = static_cast<uint32_t>(payload.size());
    const auto frame = parse_frame(*header, payload);
    if (frame) {
        const auto again = encode_frame(*frame);
        if (again.size() != bytes.size()) {
            std::abort();
        }
    }
    return 0;
}
