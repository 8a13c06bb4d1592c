#include "cli/work.h"

#include "cli/api.h"
#include "cli/line_stream.h"

#include <fmt/format.h>

#include <optional>

namespace rekindle::cli {

namespace {

class WorkReader {
public:
    WorkReader(std::string_view result, Progress& progress)
        : result_(result), progress_(progress) {}

    Result<void> take_line(std::string_view line) {
        if (line.empty()) {
            return {};
        }
        auto object = parse_object(line);
        if (!object) {
            return object.error();
        }
        if (const json::value* error = object->if_contains("error")) {
            return error_of_object(*error);
        }
        if (const json::value* found = object->if_contains(result_);
            found != nullptr && found->is_object()) {
            found_ = found->get_object();
            return {};
        }
        progress_.update(text_member(*object, "phase"), count_member(*object, "done"),
                         count_member(*object, "total"));
        return {};
    }

    const std::optional<json::object>& found() const noexcept { return found_; }

private:
    const std::string_view result_;
    Progress& progress_;
    std::optional<json::object> found_;
};

}  // namespace

Result<json::object> send_work(HttpClient& client, const HttpRequest& request,
                               std::string_view result, Progress& progress) {
    WorkReader reader(result, progress);
    LineSplitter lines;
    const LineSplitter::OnLine on_line = [&](std::string_view line) {
        return reader.take_line(line);
    };
    const auto response = send_checked(
        client, request, [&](std::string_view bytes) { return lines.feed(bytes, on_line); });
    progress.finish();
    if (!response) {
        return response.error();
    }
    if (!reader.found()) {
        return Error{
            ErrorCode::kIo,
            fmt::format("the daemon stopped before the {} was complete: try again", result)};
    }
    return *reader.found();
}

}  // namespace rekindle::cli
