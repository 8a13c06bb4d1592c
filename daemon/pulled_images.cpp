#include "daemon/pulled_images.h"

#include "base/log.h"
#include "daemon/data_folder.h"

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <system_error>

namespace rekindle::daemon {

std::string PulledImages::path_of(std::string_view image) const {
    return folder_ + "/" + std::string(image);
}

Result<void> PulledImages::add(std::string_view image, std::chrono::seconds unix_now) const {
    std::error_code ec;
    std::filesystem::create_directories(folder_, ec);
    if (ec) {
        return Error{ErrorCode::kIo, folder_ + ": " + ec.message()};
    }
    return write_file_durably(path_of(image), std::to_string(unix_now.count()));
}

void PulledImages::remove(std::string_view image) const {
    std::error_code ec;
    std::filesystem::remove(path_of(image), ec);
    if (ec) {
        log_warning("pulled_mark_not_removed", {{"image", image}, {"reason", ec.message()}});
    }
}

bool PulledImages::kept(std::string_view image, std::chrono::seconds unix_now) const {
    constexpr uint64_t kDigitsMax = 20;
    const auto text = read_small_file(path_of(image), kDigitsMax);
    if (!text) {
        return false;
    }
    int64_t pulled = 0;
    const auto parsed = std::from_chars(text->data(), text->data() + text->size(), pulled);
    // A mark that says nothing keeps its image: a person can still ask for it to go.
    return parsed.ec != std::errc() || unix_now - std::chrono::seconds(pulled) < kPulledKept;
}

}  // namespace rekindle::daemon
