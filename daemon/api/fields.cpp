#include "daemon/api/fields.h"

#include <fmt/format.h>

namespace rekindle::daemon::api {

Fields::Fields(const json::value& value, std::string_view what)
    : object_(value.if_object()), what_(what) {
    if (object_ == nullptr) {
        error_ = Error{ErrorCode::kInvalidArgument, what_ + ": must be an object"};
    }
}

void Fields::fail(std::string_view key, std::string_view wanted) {
    if (!error_) {
        error_ = Error{ErrorCode::kInvalidArgument,
                       fmt::format("{}: {} must be {}", what_, key, wanted)};
    }
}

const json::value& Fields::member(std::string_view key) {
    static const json::value kNull;
    const json::value* found = object_ == nullptr ? nullptr : object_->if_contains(key);
    return found == nullptr ? kNull : *found;
}

std::string Fields::text(std::string_view key) {
    const json::string* found = member(key).if_string();
    if (found == nullptr) {
        fail(key, "a string");
        return {};
    }
    return std::string(*found);
}

uint64_t Fields::count(std::string_view key) {
    const json::value& value = member(key);
    boost::system::error_code ec;
    const uint64_t number = value.is_number() ? value.to_number<uint64_t>(ec) : 0;
    if (!value.is_number() || ec) {
        fail(key, "a whole number");
        return 0;
    }
    return number;
}

bool Fields::flag(std::string_view key) {
    const json::value& value = member(key);
    if (!value.is_bool()) {
        fail(key, "true or false");
        return false;
    }
    return value.get_bool();
}

std::optional<int64_t> Fields::integer_or_null(std::string_view key) {
    if (member(key).is_null()) {
        return std::nullopt;
    }
    const uint64_t number = count(key);
    if (number > static_cast<uint64_t>(INT64_MAX)) {
        fail(key, "an integer");
        return std::nullopt;
    }
    return static_cast<int64_t>(number);
}

}  // namespace rekindle::daemon::api
