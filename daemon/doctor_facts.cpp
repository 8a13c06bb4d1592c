#include "daemon/doctor_facts.h"

#include "base/control_group.h"
#include "base/cores.h"
#include "base/json.h"
#include "base/memory_limit.h"
#include "base/units.h"
#include "daemon/worker_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <thread>
#include <unistd.h>

namespace rekindle::daemon {
namespace {

constexpr size_t kWorkerTextMax = 4096;
constexpr int kReportFd = 3;  // Where the worker writes.

uint64_t count_of(const json::object& object, std::string_view key) {
    const auto number = get_number(object, key);
    return number && *number ? static_cast<uint64_t>(std::max(0.0, **number)) : 0;
}

bool flag_of(const json::object& object, std::string_view key) {
    const auto flag = get_bool(object, key);
    return flag && flag->value_or(false);
}

std::string text_of(const json::object& object, std::string_view key) {
    auto text = get_string(object, key);
    return text && *text ? **std::move(text) : std::string();
}

std::string read_to_end(int fd) {
    std::string text;
    std::array<char, 512> piece{};
    while (text.size() < kWorkerTextMax) {
        const ssize_t got = ::read(fd, piece.data(), piece.size());
        if (got > 0) {
            text.append(piece.data(), static_cast<size_t>(got));
        } else if (got == 0 || errno != EINTR) {
            break;
        }
    }
    return text;
}

WorkerFacts ask_worker(const std::string& executable, uint32_t threads) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return {.error = errno_error("pipe", errno).message};
    }
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    auto process = WorkerProcess::spawn(
        executable, {"--measure", std::to_string(::getpid()), std::to_string(threads)},
        {{writer.get(), kReportFd}});
    if (!process) {
        return {.error = process.error().message};
    }
    writer.reset();
    const std::string text = read_to_end(reader.get());
    const std::string end = process->reap();
    if (text.empty()) {
        return {.error = fmt::format("{} {}", executable, end)};
    }
    return parse_worker_facts(text);
}

std::string existing_folder(const std::string& wanted) {
    std::error_code ec;
    std::filesystem::path folder = std::filesystem::absolute(wanted, ec);
    while (!std::filesystem::is_directory(folder, ec) && folder.has_parent_path() &&
           folder != folder.root_path()) {
        folder = folder.parent_path();
    }
    return folder.string();
}

FolderFacts look_at_folder(const DoctorPlaces& places, const Clock& clock) {
    FolderFacts facts{.folder = existing_folder(places.data_dir)};
    struct statvfs disk{};
    if (::statvfs(facts.folder.c_str(), &disk) == 0) {
        facts.disk_bytes = disk.f_blocks * disk.f_frsize;
        facts.free_bytes = disk.f_bavail * disk.f_frsize;
    }
    // A disk that is nearly full is not filled further.
    const bool roomy = facts.free_bytes / 4 >= places.disk_file_bytes;
    auto measured = loader::measure_disk(facts.folder, roomy ? places.disk_file_bytes : 0, clock);
    if (measured) {
        facts.disk = std::move(measured).value();
    } else {
        facts.error = measured.error().message;
    }
    return facts;
}

bool is_clock_synchronised() {
    timex state{};
    return ::adjtimex(&state) != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
}

std::optional<uint64_t> locked_bytes_max() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return std::nullopt;
    }
    return limit.rlim_cur;
}

}  // namespace

WorkerFacts parse_worker_facts(std::string_view text) {
    const auto parsed = parse_json(text, {.depth_max = 2, .bytes_max = kWorkerTextMax});
    if (!parsed || !parsed->is_object()) {
        return {.error = "the worker's report can't be read"};
    }
    const json::object& object = parsed->get_object();
    return {.error = text_of(object, "error"),
            .kernels = text_of(object, "kernels"),
            .threads = static_cast<uint32_t>(count_of(object, "threads")),
            .namespaces = flag_of(object, "namespaces"),
            .landlock = flag_of(object, "landlock"),
            .memory_bytes_per_second = count_of(object, "memory_bytes_per_second"),
            .int8_per_second = count_of(object, "int8_per_second")};
}

DoctorFacts look_around(const DoctorPlaces& places, const Clock& clock) {
    DoctorFacts facts;
    facts.data_dir = places.data_dir;
    utsname system{};
    ::uname(&system);
    facts.kernel = static_cast<const char*>(system.release);
    facts.machine_cores = std::thread::hardware_concurrency();
    facts.usable_cores = usable_cores();
    facts.memory_bytes = machine_memory_bytes();
    facts.memory_limit = cgroup_memory_limit(read_small_file(places.root + "/proc/self/cgroup"),
                                             places.root + kCgroupRoot);
    facts.locked_bytes_max = locked_bytes_max();
    facts.huge_pages = read_huge_pages(places.root);
    facts.clock_synchronised = is_clock_synchronised();
    facts.unix_s = std::chrono::duration_cast<std::chrono::seconds>(clock.wall()).count();
    std::error_code ec;
    facts.gpu = std::filesystem::exists(places.root + "/dev/nvidiactl", ec);
    facts.folder = look_at_folder(places, clock);
    facts.worker = ask_worker(places.worker_executable, facts.usable_cores);
    return facts;
}

}  // namespace rekindle::daemon
