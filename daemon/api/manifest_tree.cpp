#include "daemon/api/manifest_tree.h"

#include "base/json.h"
#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>

namespace rekindle::daemon::api {
namespace {

// Depth is bounded by the JSON parser, the number of nodes by the text's length.
ManifestNode from_json(const json::value& value) {
    ManifestNode node;
    if (const auto* object = value.if_object()) {
        node.kind = NodeKind::kMap;
        for (const auto& [key, member] : *object) {
            ManifestNode key_node;
            key_node.kind = NodeKind::kText;
            key_node.text = std::string(key);
            node.members.push_back({std::move(key_node), from_json(member)});
        }
    } else if (const auto* array = value.if_array()) {
        node.kind = NodeKind::kList;
        for (const json::value& element : *array) {
            node.elements.push_back(from_json(element));
        }
    } else if (const auto* string = value.if_string()) {
        node.kind = NodeKind::kText;
        node.text = std::string(*string);
    } else if (value.is_bool()) {
        node.kind = NodeKind::kBool;
        node.text = value.get_bool() ? "true" : "false";
    } else if (value.is_number()) {
        node.kind = NodeKind::kNumber;
        node.text = value.is_int64()    ? fmt::format("{}", value.get_int64())
                    : value.is_uint64() ? fmt::format("{}", value.get_uint64())
                                        : fmt::format("{}", value.get_double());
    }
    return node;
}

Result<void> check_characters(std::string_view text) {
    if (!is_valid_utf8(text)) {
        return Error{ErrorCode::kInvalidArgument, "the manifest is not UTF-8 text"};
    }
    const auto control = std::find_if(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f;
    });
    if (control != text.end()) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("line {}: a control character can't stand in a manifest",
                                 1 + std::count(text.begin(), control, '\n'))};
    }
    return {};
}

}  // namespace

Result<ManifestNode> parse_manifest_tree(std::string_view text) {
    if (text.size() > kManifestBytesMax) {
        return Error{ErrorCode::kTooLarge, fmt::format("the manifest has {} bytes, the limit is {}",
                                                       text.size(), kManifestBytesMax)};
    }
    const auto checked = check_characters(text);
    if (!checked) {
        return checked.error();
    }
    const size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) {
        return Error{ErrorCode::kInvalidArgument,
                     "the manifest is empty: it needs `rekindle: 1`, a name and a model"};
    }
    if (text[first] != '{') {
        return parse_yaml_tree(text);
    }
    const auto value = parse_json(
        text, JsonLimits{.depth_max = kManifestDepthMax, .bytes_max = kManifestBytesMax});
    if (!value) {
        return value.error();
    }
    return from_json(*value);
}

}  // namespace rekindle::daemon::api
