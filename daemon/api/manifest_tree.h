// A manifest's text as a tree, before anything is known of its fields: maps with keys in the order
// of the text, lists, scalars with what the text said of their type. YAML and JSON give the same
// tree. Pure, and bounded: text, depth and number of nodes have limits. Box-internal.
#pragma once
#include "base/result.h"
#include "daemon/api/manifest_fields.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::daemon::api {

inline constexpr uint32_t kManifestDepthMax = 8;
inline constexpr size_t kManifestNodesMax = 4096;

enum class NodeKind : uint8_t {
    kMap,
    kList,
    kText,    // A JSON string, or a YAML scalar in quotes or in a block.
    kPlain,   // A YAML scalar without quotes: the field that it is for decides what it is.
    kNumber,  // Of JSON.
    kBool,    // Of JSON: "true" or "false".
    kNull,
};

struct ManifestMember;

struct ManifestNode {
    NodeKind kind = NodeKind::kNull;
    std::string text;                     // Of scalars.
    uint32_t line = 0;                    // From 1; 0 where the text is JSON.
    std::vector<ManifestMember> members;  // Of maps; keys are scalars.
    std::vector<ManifestNode> elements;   // Of lists.

    bool is_scalar() const noexcept { return kind != NodeKind::kMap && kind != NodeKind::kList; }
};

struct ManifestMember {
    ManifestNode key;
    ManifestNode value;
};

// Text whose first character is '{' is JSON, all other text YAML. kTooLarge names the limit,
// kInvalidArgument the line, or the byte of JSON.
Result<ManifestNode> parse_manifest_tree(std::string_view text);

// One document of the YAML subset: block and flow maps and lists, plain, quoted and block scalars.
// Anchors, aliases, tags and further documents are refused. `text` is UTF-8 within the limit.
Result<ManifestNode> parse_yaml_tree(std::string_view text);

}  // namespace rekindle::daemon::api
