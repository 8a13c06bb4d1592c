// Reads members that must be there, one after the other; the first fault is kept and later reads
// give zeros, so that the caller asks once at the end. Box-internal.
#pragma once
#include "base/json.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace rekindle::daemon::api {

class Fields {
public:
    // `what` names the object in errors.
    Fields(const json::value& value, std::string_view what);

    std::string text(std::string_view key);
    uint64_t count(std::string_view key);
    bool flag(std::string_view key);
    std::optional<int64_t> integer_or_null(std::string_view key);
    // The member itself; null when it is missing.
    const json::value& member(std::string_view key);

    void fail(std::string_view key, std::string_view wanted);

    const std::optional<Error>& error() const noexcept { return error_; }

private:
    const json::object* object_ = nullptr;
    std::string what_;
    std::optional<Error> error_;
};

}  // namespace rekindle::daemon::api
