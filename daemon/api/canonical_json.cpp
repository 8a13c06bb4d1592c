#include "daemon/api/canonical_json.h"

#include "daemon/api/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>
#include <vector>

namespace rekindle::daemon::api {
namespace {

void append_canonical(std::string& out, const json::value& value);

void append_object(std::string& out, const json::object& object) {
    std::vector<std::string_view> keys;
    for (const auto& [key, member] : object) {
        keys.push_back(key);
    }
    std::sort(keys.begin(), keys.end());
    out += '{';
    for (const std::string_view key : keys) {
        out += out.back() == '{' ? "" : ",";
        append_json_string(out, key);
        out += ':';
        append_canonical(out, object.at(key));
    }
    out += '}';
}

void append_array(std::string& out, const json::array& array) {
    out += '[';
    for (const json::value& element : array) {
        out += out.back() == '[' ? "" : ",";
        append_canonical(out, element);
    }
    out += ']';
}

// Values come from parsed text and from fields that were checked: depth is bounded there.
void append_canonical(std::string& out, const json::value& value) {
    if (value.is_object()) {
        append_object(out, value.get_object());
    } else if (value.is_array()) {
        append_array(out, value.get_array());
    } else if (value.is_string()) {
        append_json_string(out, value.get_string());
    } else if (value.is_bool()) {
        out += value.get_bool() ? "true" : "false";
    } else if (value.is_null()) {
        out += "null";
    } else if (value.is_double()) {
        fmt::format_to(std::back_inserter(out), "{}", value.get_double());
    } else if (value.is_int64()) {
        fmt::format_to(std::back_inserter(out), "{}", value.get_int64());
    } else {
        fmt::format_to(std::back_inserter(out), "{}", value.get_uint64());
    }
}

bool is_word(std::string_view text) {
    constexpr std::array<std::string_view, 14> kTaken{"true", "false", "null", "yes", "no",
                                                      "on",   "off",   "y",    "n",   "True",
                                                      "No",   "Yes",   "Null", "NaN"};
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    const auto inside = [letter](char c) {
        return letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == '/';
    };
    return !text.empty() && letter(text.front()) && std::all_of(text.begin(), text.end(), inside) &&
           std::find(kTaken.begin(), kTaken.end(), text) == kTaken.end();
}

void append_scalar(std::string& out, const json::value& value) {
    if (value.is_string() && is_word(value.get_string())) {
        out += std::string_view(value.get_string());
    } else {
        append_canonical(out, value);  // JSON's strings, numbers and flow forms are YAML's.
    }
}

void append_block(std::string& out, const json::object& object, size_t depth) {
    for (const auto& [key, member] : object) {
        out.append(2 * depth, ' ');
        append_scalar(out, json::value(key));
        out += ':';
        if (member.is_object() && !member.get_object().empty()) {
            out += '\n';
            append_block(out, member.get_object(), depth + 1);
            continue;
        }
        out += ' ';
        append_scalar(out, member);
        out += '\n';
    }
}

}  // namespace

std::string canonical_json(const json::value& value) {
    std::string out;
    append_canonical(out, value);
    return out;
}

std::string block_yaml(const json::object& object) {
    std::string out;
    append_block(out, object, 0);
    return out;
}

}  // namespace rekindle::daemon::api
