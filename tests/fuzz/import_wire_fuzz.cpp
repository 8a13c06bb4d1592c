// Any bytes on the importer's pipe: headers, records and their sequence, as rekindled reads them.
#include "daemon/import_wire.h"

#include <cstddef>
#include <cstdint>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): one function.
    std::span<const std::byte> rest = std::as_bytes(std::span(data, size));
    ImportSequence sequence(size);
    while (rest.size() >= kImportHeaderBytes) {
        const auto header = parse_import_header(rest.first<kImportHeaderBytes>());
        rest = rest.subspan(kImportHeaderBytes);
        if (!header || header->bytes > rest.size()) {
            return 0;
        }
        const auto record = parse_import_record(*header, rest.first(header->bytes));
        if (!record || !sequence.accept(*record)) {
            return 0;
        }
        rest = rest.subspan(header->bytes);
    }
    return 0;
}
