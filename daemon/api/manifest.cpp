#include "daemon/api/manifest.h"

#include "base/hash.h"
#include "base/units.h"
#include "daemon/api/canonical_json.h"
#include "daemon/api/manifest_tree.h"
#include "daemon/api/manifest_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace rekindle::daemon::api {
namespace {

constexpr std::string_view kImagePrefix = "rekindle://sha256:";
constexpr std::string_view kDigestPrefix = "sha256:";
constexpr std::string_view kFilePrefix = "file:";

// Canonical values by path; what is left out has its default, or nothing.
using Values = std::map<std::string_view, json::value, std::less<>>;

std::string joined(std::string_view group, std::string_view leaf) {
    return group.empty() ? std::string(leaf) : fmt::format("{}.{}", group, leaf);
}

Error at_line(const ManifestNode& node, ErrorCode code, const std::string& message) {
    return Error{code, node.line == 0 ? message : fmt::format("line {}: {}", node.line, message)};
}

class Reader {
public:
    Result<void> read_group(const ManifestNode& map, const std::string& group) {
        for (size_t i = 0; i < map.members.size(); ++i) {
            const auto& [key, value] = map.members[i];
            const auto read = read_member(map, i, joined(group, key.text));
            if (!read) {
                return read;
            }
        }
        return {};
    }

    const Values& values() const noexcept { return values_; }

private:
    Result<void> read_member(const ManifestNode& map, size_t at, const std::string& path) {
        const auto& [key, value] = map.members[at];
        const ManifestField* field = find_manifest_field(path);
        const bool dotted = key.text.find('.') != std::string::npos;
        if (!key.is_scalar() || field == nullptr || dotted) {
            return unknown(key, path);
        }
        const auto first = std::find_if(
            map.members.begin(), map.members.end(),
            [&wanted = key.text](const auto& member) { return member.key.text == wanted; });
        if (first != map.members.begin() + static_cast<std::ptrdiff_t>(at)) {
            return at_line(key, ErrorCode::kInvalidArgument,
                           fmt::format("the key {} stands twice: keep one", path));
        }
        if (field->kind == FieldKind::kLater) {
            return at_line(key, ErrorCode::kUnsupported,
                           fmt::format("{} is not supported yet: leave it out", path));
        }
        if (field->kind == FieldKind::kGroup) {
            if (value.kind != NodeKind::kMap) {
                return at_line(key, ErrorCode::kInvalidArgument,
                               fmt::format("{}: must be a map of fields", path));
            }
            return read_group(value, path);
        }
        auto canonical = canonical_value(*field, value);
        if (!canonical) {
            const Error& error = canonical.error();
            return at_line(key, error.code, fmt::format("{}: {}", path, error.message));
        }
        values_.emplace(field->path, std::move(canonical).value());
        return {};
    }

    static Error unknown(const ManifestNode& key, const std::string& path) {
        constexpr size_t kShownBytesMax = 80;
        const size_t dot = path.size() - key.text.size();
        const std::string group = dot == 0 ? std::string() : path.substr(0, dot - 1);
        return at_line(
            key, ErrorCode::kInvalidArgument,
            fmt::format("unknown key {}: did you mean {}?", path.substr(0, kShownBytesMax),
                        nearest_manifest_field(group, key.text).path));
    }

    Values values_;
};

Result<void> check_required(const Values& values) {
    for (const std::string_view path : {"rekindle", "name", "model"}) {
        if (!values.contains(path)) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("{} is missing: a manifest needs `rekindle: 1`, a name and a "
                                     "model",
                                     path)};
        }
    }
    const auto aliases = values.find("aliases");
    const json::value& name = values.at("name");
    if (aliases != values.end()) {
        const json::array& list = aliases->second.get_array();
        if (std::find(list.begin(), list.end(), name) != list.end()) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("aliases: \"{}\" is the deployment's own name",
                                     std::string_view(name.get_string()))};
        }
    }
    return {};
}

// Puts `value` where `path` says, making the groups on the way.
void put(json::object& root, std::string_view path, const json::value& value) {
    json::object* object = &root;
    for (size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.')) {
        json::value& group = (*object)[path.substr(0, dot)];
        object = group.is_object() ? &group.get_object() : &group.emplace_object();
        path.remove_prefix(dot + 1);
    }
    (*object)[path] = value;
}

json::object fields_of(const Values& values) {
    json::object fields;
    for (const ManifestField& field : manifest_fields()) {
        const auto found = values.find(field.path);
        if (found != values.end() && canonical_json(found->second) != field.fallback) {
            put(fields, field.path, found->second);
        }
    }
    return fields;
}

// Typed access to values that were checked: what is missing has the table's default.
class Typed {
public:
    explicit Typed(const Values& values) : values_(values) {}

    std::optional<std::string> text(std::string_view path) const {
        const auto found = values_.find(path);
        if (found != values_.end()) {
            return std::string(found->second.get_string());
        }
        const std::string_view fallback = find_manifest_field(path)->fallback;
        if (fallback.empty()) {
            return std::nullopt;
        }
        return std::string(fallback.substr(1, fallback.size() - 2));
    }

    std::optional<uint32_t> count(std::string_view path) const {
        const auto found = values_.find(path);
        if (found != values_.end()) {
            return static_cast<uint32_t>(found->second.get_int64());
        }
        const std::string_view fallback = find_manifest_field(path)->fallback;
        if (fallback.empty()) {
            return std::nullopt;
        }
        return static_cast<uint32_t>(std::stoul(std::string(fallback)));
    }

    bool flag(std::string_view path) const {
        const auto found = values_.find(path);
        return found != values_.end() ? found->second.get_bool()
                                      : find_manifest_field(path)->fallback == "true";
    }

    // Nothing for auto, too.
    std::optional<std::chrono::milliseconds> duration(std::string_view path) const {
        const auto parsed = parse_duration(text(path).value_or("auto"));
        return parsed ? std::optional(*parsed) : std::nullopt;
    }

    std::optional<uint64_t> bytes(std::string_view path) const {
        const auto parsed = parse_bytes(text(path).value_or("auto"));
        return parsed ? std::optional(*parsed) : std::nullopt;
    }

    std::vector<std::string> texts(std::string_view path) const {
        std::vector<std::string> out;
        const auto found = values_.find(path);
        if (found != values_.end()) {
            for (const json::value& element : found->second.get_array()) {
                out.emplace_back(element.get_string());
            }
        }
        return out;
    }

    // The members of a group that were given.
    json::object group(std::string_view name) const {
        json::object out;
        for (const ManifestField& field : manifest_fields()) {
            const auto found = values_.find(field.path);
            if (field.group() == name && found != values_.end()) {
                out[field.leaf()] = found->second;
            }
        }
        return out;
    }

private:
    const Values& values_;
};

std::string_view image_in(std::string_view text) noexcept {
    return text.starts_with(kImagePrefix) ? text.substr(kImagePrefix.size()) : std::string_view{};
}

Manifest manifest_of(const Values& values) {
    const Typed typed(values);
    Manifest manifest;
    manifest.name = *typed.text("name");
    manifest.aliases = typed.texts("aliases");
    manifest.model = *typed.text("model");
    manifest.digest = typed.text("digest").value_or("");
    if (!manifest.digest.empty()) {
        manifest.digest.erase(0, kDigestPrefix.size());
    }
    manifest.context = typed.count("runtime.context").value_or(0);
    manifest.max_batch = *typed.count("runtime.max_batch");
    manifest.kv_bytes = typed.bytes("runtime.kv");
    manifest.kv_type = *typed.text("runtime.kv_type");
    manifest.speculation = typed.flag("runtime.speculation");
    manifest.draft = typed.text("runtime.draft").value_or("");
    manifest.verify_on_restore = typed.flag("runtime.verify_on_restore");
    manifest.preload = typed.flag("scale.preload");
    manifest.wakes = typed.texts("scale.wakes");
    manifest.min_warm = *typed.count("scale.min_warm") > 0;
    manifest.idle = typed.duration("scale.idle");
    manifest.queue = typed.count("admission.queue");
    manifest.max_wait = typed.duration("admission.max_wait");
    manifest.rules = RequestRules{.strip = typed.texts("strip"),
                                  .defaults = typed.group("defaults"),
                                  .force = typed.group("force"),
                                  .tokens_max = typed.count("admission.max_tokens").value_or(0)};
    manifest.currency = *typed.text("price.currency");
    manifest.price_input = *typed.text("price.per_mtok.input");
    manifest.price_cached = typed.text("price.per_mtok.cached").value_or(manifest.price_input);
    manifest.price_output = *typed.text("price.per_mtok.output");
    if (const auto tags = values.find("tags"); tags != values.end()) {
        for (const auto& [key, value] : tags->second.get_object()) {
            manifest.tags.emplace_back(key, value.get_string());
        }
    }
    manifest.fields = fields_of(values);
    return manifest;
}

}  // namespace

std::string_view Manifest::image() const noexcept {
    return image_in(model);
}

std::string_view Manifest::draft_image() const noexcept {
    return image_in(draft);
}

void Manifest::set_draft_image(std::string_view image_digest) {
    draft = fmt::format("{}{}", kImagePrefix, image_digest);
    put(fields, "runtime.draft", json::value(draft));
}

std::string_view Manifest::file() const noexcept {
    const std::string_view text = model;
    if (text.starts_with(kImagePrefix) || is_file_address(text)) {
        return {};
    }
    return text.starts_with(kFilePrefix) ? text.substr(kFilePrefix.size()) : text;
}

std::string_view Manifest::address() const noexcept {
    return is_file_address(model) ? std::string_view(model) : std::string_view{};
}

bool is_file_address(std::string_view text) noexcept {
    return text.starts_with("https://") || text.starts_with("http://") ||
           text.starts_with("hf://") || text.starts_with("s3://");
}

json::object Manifest::with_image(std::string_view image_digest) const {
    json::object out = fields;
    out["model"] = fmt::format("{}{}", kImagePrefix, image_digest);
    out.stable_erase("digest");
    return out;
}

Result<Manifest> parse_manifest(std::string_view text) {
    const auto tree = parse_manifest_tree(text);
    if (!tree) {
        return tree.error();
    }
    if (tree->kind != NodeKind::kMap) {
        return Error{ErrorCode::kInvalidArgument,
                     "the manifest is not a map of fields: it begins with `rekindle: 1`"};
    }
    Reader reader;
    const auto read = reader.read_group(*tree, "");
    if (!read) {
        return read.error();
    }
    const auto complete = check_required(reader.values());
    if (!complete) {
        return complete.error();
    }
    return manifest_of(reader.values());
}

std::string canonical_manifest(const Manifest& manifest, std::string_view image_digest) {
    return canonical_json(manifest.with_image(image_digest));
}

std::string manifest_revision(const Manifest& manifest, std::string_view image_digest) {
    return to_hex(sha256(as_bytes(canonical_manifest(manifest, image_digest))));
}

}  // namespace rekindle::daemon::api
