// Bytes as a backup: nothing is given out under a name that leads elsewhere.
#include "base/check.h"
#include "base/unique_fd.h"
#include "daemon/archive_reader.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <unistd.h>

using namespace rekindle;          // NOLINT(google-build-using-namespace): fuzz target.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): fuzz target.

namespace {

class Count final : public ArchiveSink {
public:
    Result<void> begin(std::string_view name, uint64_t bytes) override {
        REKINDLE_CHECK(is_archive_name(name), "names are checked");
        left_ = bytes;
        return {};
    }

    Result<void> part(std::span<const std::byte> bytes) override {
        REKINDLE_CHECK(bytes.size() <= left_, "no more than was promised");
        left_ -= bytes.size();
        return {};
    }

    Result<void> end() override {
        REKINDLE_CHECK(left_ == 0, "no less than was promised");
        return {};
    }

private:
    uint64_t left_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const UniqueFd file = create_memory_file("archive", 0).value();
    REKINDLE_CHECK(::ftruncate(file.get(), 0) == 0 && ::lseek(file.get(), 0, SEEK_SET) == 0 &&
                       write_all(file.get(), std::as_bytes(std::span(data, size))).ok() &&
                       ::lseek(file.get(), 0, SEEK_SET) == 0,
                   "a memory file can be written");
    Count sink;
    static_cast<void>(read_archive(file.get(), sink));
    return 0;
}
