#include "daemon/importer_main.h"

#include "base/unique_fd.h"
#include "daemon/import_model.h"
#include "daemon/import_wire.h"
#include "daemon/sandbox.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <exception>
#include <new>
#include <optional>
#include <signal.h>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace rekindle::daemon {

namespace {

constexpr uint64_t kProgressStepBytes = 8 * kMiB;  // Between two progress records.

struct Arguments {
    pid_t parent = 0;
    uint64_t memory_bytes = 0;
    uint32_t plan_only = 0;
};

template <typename T>
bool parse_number(std::string_view text, T& out) {
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, out);
    return parsed.ec == std::errc() && parsed.ptr == end;
}

std::optional<Arguments> parse_arguments(int argc, char** argv) {
    Arguments arguments;
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        const bool ok = (name == "--parent" && parse_number(argv[i + 1], arguments.parent)) ||
                        (name == "--memory" && parse_number(argv[i + 1], arguments.memory_bytes)) ||
                        (name == "--plan" && parse_number(argv[i + 1], arguments.plan_only));
        if (!ok) {
            return std::nullopt;
        }
    }
    return argc == 8 ? std::optional(arguments) : std::nullopt;
}

// A file that shrinks under the mapping raises SIGBUS at the next touch. The record is made
// beforehand: a handler may only write. It never falls into the middle of another record, because
// nothing is written straight from the mapping.
struct BusRecord {
    std::byte bytes[256];
    size_t size;
};

BusRecord bus_record;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): for a signal
                       // handler.

void on_bus_error(int /*signal*/) {
    [[maybe_unused]] const ssize_t put =
        ::write(kImporterPipeFd, bus_record.bytes, bus_record.size);
    ::_exit(EXIT_FAILURE);
}

void report_bus_errors() {
    const auto record = encode_error(
        {ErrorCode::kTruncated, "the model file became shorter while it was being read"});
    bus_record.size = std::min(record.size(), sizeof(bus_record.bytes));
    std::copy_n(record.begin(), bus_record.size, bus_record.bytes);
    struct sigaction action{};
    action.sa_handler = on_bus_error;
    ::sigaction(SIGBUS, &action, nullptr);
}

Result<Mapping> map_source() {
    struct stat info{};
    if (::fstat(kImporterSourceFd, &info) != 0) {
        return errno_error("importer: source", errno);
    }
    if (!S_ISREG(info.st_mode) || static_cast<uint64_t>(info.st_size) < kImportSourceBytesMin) {
        return Error{ErrorCode::kInvalidArgument, "importer: the source is no model file"};
    }
    return Mapping::read_only(kImporterSourceFd, static_cast<uint64_t>(info.st_size));
}

Result<void> send_chunk(uint64_t offset, std::span<const std::byte> plain, bool compress) {
    Result<void> sent =
        write_all(kImporterPipeFd, encode_chunk_head(offset, compress, plain.size()));
    return sent ? write_all(kImporterPipeFd, plain) : sent;
}

// Sends progress now and then; a lost one does no harm, a broken pipe shows at the next chunk.
class ProgressSender {
public:
    void operator()(uint64_t done, uint64_t total) {
        if (done < next_ && done != total) {
            return;
        }
        next_ = done + kProgressStepBytes;
        [[maybe_unused]] const Result<void> sent =
            write_all(kImporterPipeFd, encode_progress({done, total}));
    }

private:
    uint64_t next_ = 0;
};

Result<std::string> import_confined(const Arguments& arguments) {
    const Result<Mapping> source = map_source();
    if (!source) {
        return source.error();
    }
    const Result<SandboxReport> confined =
        enter_sandbox({.kind = SandboxKind::kImporter,
                       .keep_fds = {kImporterSourceFd, kImporterPipeFd},
                       .parent = arguments.parent,
                       .address_space_bytes_max = source->bytes() + arguments.memory_bytes});
    if (!confined) {
        return confined.error();
    }
    if (arguments.plan_only != 0) {
        return plan_gguf(source->span());
    }
    return import_gguf(source->span(), send_chunk, ProgressSender());
}

// What libraries throw becomes a record here, at the process's edge.
std::vector<std::byte> last_record(const Arguments& arguments) {
    // Made while there is memory.
    std::vector<std::byte> out_of_memory = encode_error(
        {ErrorCode::kResourceExhausted,
         fmt::format("reading the model file needs more than the importer's {} of memory",
                     format_bytes(arguments.memory_bytes))});
    try {
        const Result<std::string> index = import_confined(arguments);
        return index ? encode_index(*index) : encode_error(index.error());
    } catch (const std::bad_alloc&) {
        return out_of_memory;
    } catch (const std::exception& thrown) {
        return encode_error({ErrorCode::kInternal, fmt::format("importer: {}", thrown.what())});
    }
}

}  // namespace

int importer_main(int argc, char** argv) {
    const std::optional<Arguments> arguments = parse_arguments(argc, argv);
    if (!arguments) {
        return 2;
    }
    ::signal(SIGPIPE, SIG_IGN);  // rekindled closes the pipe when it no longer wants the image.
    report_bus_errors();
    const Result<void> sent = write_all(kImporterPipeFd, last_record(*arguments));
    std::_Exit(sent ? EXIT_SUCCESS : EXIT_FAILURE);
}

}  // namespace rekindle::daemon
