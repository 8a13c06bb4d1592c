// The one table of a manifest's fields: what each is called, what it may hold, what it is when it
// is left out, and whether it takes effect. Parser, canonical form, suggestions and JSON Schema are
// all made from it. Pure.
// Invariant: rows stand in the order in which people read them; a field's group stands before it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::daemon::api {

enum class FieldKind : uint8_t {
    kGroup,          // A map of the fields below it.
    kVersion,        // The number 1.
    kName,           // A name of a deployment.
    kNames,          // A list of them.
    kModel,          // Where the model comes from.
    kDigest,         // "sha256:…"
    kChoice,         // The one value in `fallback`, all others are not there yet.
    kKvType,         // A name of kv_types().
    kDraft,          // A name of a deployment, or an image on the node.
    kInteger,        // low to high.
    kNumber,         // low to high.
    kShare,          // Above low, to high.
    kBoolean,        // true or false
    kBytes,          // A size with its unit, or auto.
    kDuration,       // A duration with its unit, or auto.
    kTime,           // A duration with its unit.
    kMoney,          // A decimal in quotes.
    kCurrency,       // Three capital letters.
    kStops,          // A string or a list of strings.
    kRequestFields,  // A list of names of kRequestFields.
    kTags,           // A map of strings.
    kLater,          // Known, and refused until it takes effect.
};

struct ManifestField {
    std::string_view path;  // "runtime.context"
    FieldKind kind = FieldKind::kLater;
    int64_t low = 0;
    int64_t high = 0;
    std::string_view fallback;  // When left out, as canonical JSON; empty: nothing.
    std::string_view help;      // One sentence, for the JSON Schema.

    // "context"
    std::string_view leaf() const noexcept;
    // "runtime"; empty at the top.
    std::string_view group() const noexcept;
};

std::span<const ManifestField> manifest_fields() noexcept;
// Null when there is no such field.
const ManifestField* find_manifest_field(std::string_view path) noexcept;
// The field that was most likely meant by `leaf` in `group`: by edit distance, its own group before
// others. Never one that is refused.
const ManifestField& nearest_manifest_field(std::string_view group, std::string_view leaf);

// Fields of requests that a manifest can strip.
std::span<const std::string_view> strippable_request_fields() noexcept;

// How a KV cache can keep its numbers.
std::span<const std::string_view> kv_types() noexcept;

inline constexpr size_t kManifestBytesMax = 64UL << 10;  // Of its text.
inline constexpr size_t kAliasesMax = 16;
inline constexpr size_t kTagsMax = 16;
inline constexpr size_t kTagKeyBytesMax = 63;
inline constexpr size_t kTagValueBytesMax = 256;
inline constexpr size_t kModelTextBytesMax = 4096;
inline constexpr size_t kManifestStopsMax = 16;
inline constexpr size_t kManifestStopBytesMax = 256;

// [a-z0-9][a-z0-9._-]{0,62}; also what keeps names safe as file names.
bool is_deployment_name(std::string_view name) noexcept;

}  // namespace rekindle::daemon::api
