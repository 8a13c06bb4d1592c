// Stands in for rekindle-worker --import in tests: what it does wrong is written in the model file.
#include "base/unique_fd.h"
#include "daemon/import_wire.h"
#include "daemon/importer_main.h"

#include <cstdlib>
#include <signal.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace {

using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): plays one of its parts.

void send(const std::vector<std::byte>& bytes) {
    static_cast<void>(rekindle::write_all(kImporterPipeFd, bytes));
}

void send_chunk(uint64_t offset, size_t bytes) {
    send(encode_chunk_head(offset, false, bytes));
    send(std::vector<std::byte>(bytes));
}

void send_header(uint32_t kind, uint32_t bytes) {
    rekindle::ByteWriter out;
    out.write(kind);
    out.write(bytes);
    send(out.take());
}

[[noreturn]] void hang() {
    while (true) {
        ::pause();
    }
}

void misbehave(std::string_view how) {
    if (how == "crash") {
        ::raise(SIGSEGV);
    } else if (how == "exit") {
        std::_Exit(7);
    } else if (how == "crash_in_record") {
        send(encode_chunk_head(0, false, 8192));
        ::raise(SIGSEGV);
    } else if (how == "silence") {
        send_chunk(0, 4096);
        hang();
    } else if (how == "close_and_hang") {
        ::close(kImporterPipeFd);
        hang();
    } else if (how == "hole") {
        send_chunk(0, 4096);
        send_chunk(8192, 4096);
    } else if (how == "part_of_page") {
        send_chunk(0, 4000);
    } else if (how == "unknown_kind") {
        send_header(9, 0);
    } else if (how == "huge_record") {
        send_header(1, 0xffffffff);
    } else if (how == "huge_image") {
        for (uint64_t offset = 0;; offset += kImportChunkBytesMax) {
            send_chunk(offset, kImportChunkBytesMax);
        }
    } else if (how == "index_only") {
        send(encode_index("{}"));
    } else if (how == "two_indexes") {
        send_chunk(0, 4096);
        send(encode_index("{}"));
        send(encode_index("{}"));
    } else if (how == "progress_beyond") {
        send(encode_progress({.done = 2, .total = 1}));
    } else if (how == "error_with_escapes") {
        send(encode_error({rekindle::ErrorCode::kUnsupported,
                           "a\x1b[31m\xff"
                           "b"}));
    } else if (how == "honest") {
        send_chunk(0, 4096);
        send(encode_progress({.done = 1, .total = 2}));
        send_chunk(4096, 8192);
        send(encode_index("{\"bytes\":12288}"));
    }
}

}  // namespace

int main() {
    char text[64] = {};
    const ssize_t got = ::pread(kImporterSourceFd, text, sizeof(text) - 1, 0);
    if (got < 0) {
        return EXIT_FAILURE;
    }
    misbehave(std::string_view(text));
    return EXIT_SUCCESS;
}
