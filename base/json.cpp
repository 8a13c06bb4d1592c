#include "base/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parser.hpp>
#include <fmt/format.h>

#include <cmath>
#include <unordered_set>
#include <vector>

namespace rekindle {
namespace {

// Event handler that only looks for duplicate keys; the members are what basic_parser asks for.
class DuplicateKeyFinder {
public:
    // NOLINTBEGIN(readability-identifier-naming): Boost's names.
    static constexpr auto max_array_size = static_cast<size_t>(-1);
    static constexpr auto max_object_size = static_cast<size_t>(-1);
    static constexpr auto max_string_size = static_cast<size_t>(-1);
    static constexpr auto max_key_size = static_cast<size_t>(-1);
    // NOLINTEND(readability-identifier-naming)
    using Error = boost::system::error_code;

    bool on_document_begin(Error& /*ec*/) { return true; }
    bool on_document_end(Error& /*ec*/) { return true; }
    bool on_array_begin(Error& /*ec*/) { return true; }
    bool on_array_end(size_t /*n*/, Error& /*ec*/) { return true; }
    bool on_object_begin(Error& /*ec*/) {
        keys_.emplace_back();
        return true;
    }
    bool on_object_end(size_t /*n*/, Error& /*ec*/) {
        keys_.pop_back();
        return true;
    }
    bool on_string_part(json::string_view /*s*/, size_t /*n*/, Error& /*ec*/) { return true; }
    bool on_string(json::string_view /*s*/, size_t /*n*/, Error& /*ec*/) { return true; }
    bool on_key_part(json::string_view part, size_t /*n*/, Error& /*ec*/) {
        key_.append(part.data(), part.size());
        return true;
    }
    bool on_key(json::string_view part, size_t /*n*/, Error& ec) {
        key_.append(part.data(), part.size());
        if (!keys_.back().insert(key_).second) {
            duplicate = key_;
            ec = make_error_code(boost::system::errc::invalid_argument);
            return false;
        }
        key_.clear();
        return true;
    }
    bool on_number_part(json::string_view /*s*/, Error& /*ec*/) { return true; }
    bool on_int64(int64_t /*i*/, json::string_view /*s*/, Error& /*ec*/) { return true; }
    bool on_uint64(uint64_t /*u*/, json::string_view /*s*/, Error& /*ec*/) { return true; }
    bool on_double(double /*d*/, json::string_view /*s*/, Error& /*ec*/) { return true; }
    bool on_bool(bool /*b*/, Error& /*ec*/) { return true; }
    bool on_null(Error& /*ec*/) { return true; }
    bool on_comment_part(json::string_view /*s*/, Error& /*ec*/) { return true; }
    bool on_comment(json::string_view /*s*/, Error& /*ec*/) { return true; }

    std::optional<std::string> duplicate;  // The result.

private:
    std::vector<std::unordered_set<std::string>> keys_;
    std::string key_;
};

Error wrong_type(std::string_view key, std::string_view wanted) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("{}: must be {}", key, wanted)};
}

const json::value* find_present(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value == nullptr || value->is_null() ? nullptr : value;
}

}  // namespace

Result<json::value> parse_json(std::string_view text, const JsonLimits& limits) {
    if (text.size() > limits.bytes_max) {
        return Error{ErrorCode::kTooLarge,
                     fmt::format("JSON: {} bytes, the limit is {}", text.size(), limits.bytes_max)};
    }
    json::parse_options options;
    options.max_depth = limits.depth_max;
    json::basic_parser<DuplicateKeyFinder> checker(options);
    boost::system::error_code ec;
    const size_t read = checker.write_some(false, text.data(), text.size(), ec);
    if (checker.handler().duplicate) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("JSON: the key \"{}\" stands twice in one object",
                                 *checker.handler().duplicate)};
    }
    if (!ec && read < text.size()) {
        ec = json::error::extra_data;
    }
    if (ec) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("JSON: {} at byte {}", ec.message(), read)};
    }
    json::parser parser({}, options);
    parser.write(text.data(), text.size(), ec);
    if (ec) {
        return Error{ErrorCode::kInvalidArgument, fmt::format("JSON: {}", ec.message())};
    }
    return parser.release();
}

Result<std::optional<std::string>> get_string(const json::object& object, std::string_view key) {
    const json::value* value = find_present(object, key);
    if (value == nullptr) {
        return std::optional<std::string>{};
    }
    if (!value->is_string()) {
        return wrong_type(key, "a string");
    }
    return std::optional<std::string>(std::string(value->get_string()));
}

Result<std::optional<bool>> get_bool(const json::object& object, std::string_view key) {
    const json::value* value = find_present(object, key);
    if (value == nullptr) {
        return std::optional<bool>{};
    }
    if (!value->is_bool()) {
        return wrong_type(key, "true or false");
    }
    return std::optional<bool>(value->get_bool());
}

Result<std::optional<double>> get_number(const json::object& object, std::string_view key) {
    const json::value* value = find_present(object, key);
    if (value == nullptr) {
        return std::optional<double>{};
    }
    if (!value->is_number()) {
        return wrong_type(key, "a number");
    }
    const auto number = value->to_number<double>();
    if (!std::isfinite(number)) {
        return wrong_type(key, "a finite number");
    }
    return std::optional<double>(number);
}

Result<std::optional<int64_t>> get_integer(const json::object& object, std::string_view key) {
    const json::value* value = find_present(object, key);
    if (value == nullptr) {
        return std::optional<int64_t>{};
    }
    boost::system::error_code ec;
    const auto number = value->is_number() ? value->to_number<int64_t>(ec) : 0;
    if (!value->is_number() || ec) {
        return wrong_type(key, "an integer");
    }
    return std::optional<int64_t>(number);
}

}  // namespace rekindle
