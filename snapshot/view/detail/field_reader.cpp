#include "snapshot/view/detail/field_reader.h"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <cmath>

namespace rekindle::snapshot {

void FieldReader::fail(std::string_view reason) {
    if (!outcome_) {
        outcome_ = Error{ErrorCode::kCorrupt, fmt::format("image index: {}: {}", where_, reason)};
    }
}

const json::value* FieldReader::find(std::string_view key) {
    const json::value* const value = object_.if_contains(key);
    if (value == nullptr) {
        fail(fmt::format("\"{}\" is missing", key));
    }
    return value;
}

uint64_t FieldReader::integer(std::string_view key, uint64_t min, uint64_t max) {
    const json::value* const value = find(key);
    if (value == nullptr) {
        return 0;
    }
    boost::system::error_code ec;
    const bool is_integer = value->is_int64() || value->is_uint64();
    const uint64_t number = is_integer ? value->to_number<uint64_t>(ec) : 0;
    if (!is_integer || ec || number < min || number > max) {
        fail(fmt::format("\"{}\" must be an integer from {} to {}", key, min, max));
        return 0;
    }
    return number;
}

double FieldReader::positive(std::string_view key) {
    const json::value* const value = find(key);
    if (value == nullptr) {
        return 0;
    }
    const double number = value->is_number() ? value->to_number<double>() : 0;
    if (!std::isfinite(number) || number <= 0) {
        fail(fmt::format("\"{}\" must be a finite number above zero", key));
        return 0;
    }
    return number;
}

bool FieldReader::boolean(std::string_view key) {
    const json::value* const value = find(key);
    if (value == nullptr || !value->is_bool()) {
        fail(fmt::format("\"{}\" must be true or false", key));
        return false;
    }
    return value->get_bool();
}

std::string FieldReader::string(std::string_view key, size_t bytes_max) {
    const json::value* const value = find(key);
    if (value == nullptr || !value->is_string() || value->get_string().empty() ||
        value->get_string().size() > bytes_max) {
        fail(fmt::format("\"{}\" must be a string of 1 to {} bytes", key, bytes_max));
        return {};
    }
    return std::string(value->get_string());
}

const json::object* FieldReader::object(std::string_view key) {
    const json::value* const value = find(key);
    if (value == nullptr || !value->is_object()) {
        fail(fmt::format("\"{}\" must be an object", key));
        return nullptr;
    }
    return &value->get_object();
}

const json::array* FieldReader::array(std::string_view key, size_t count_max) {
    const json::value* const value = find(key);
    if (value == nullptr || !value->is_array() || value->get_array().size() > count_max) {
        fail(fmt::format("\"{}\" must be a list of at most {} entries", key, count_max));
        return nullptr;
    }
    return &value->get_array();
}

}  // namespace rekindle::snapshot
