#include "daemon/catalog_format.h"

#include "base/hash.h"
#include "base/json.h"
#include "daemon/api/canonical_json.h"
#include "daemon/api/manifest.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr int64_t kFirstVersion = 1;
constexpr int64_t kVersion = 2;
constexpr int64_t kAliasVersion = 1;

json::object to_json(const DeploymentRecord& record) {
    json::object out{{"manifest", record.manifest.fields},
                     {"revision", record.revision},
                     {"image", record.image},
                     {"source", record.source},
                     {"created_unix_s", record.created_unix_s},
                     {"architecture", record.architecture},
                     {"image_bytes", record.image_bytes},
                     {"context_max", record.context_max}};
    if (!record.manifest.draft.empty()) {
        out["draft"] = json::object{{"image_bytes", record.draft.image_bytes},
                                    {"kv_permille", record.draft.kv_permille}};
    }
    return out;
}

// Takes members out of one record and remembers the first fault.
class RecordReader {
public:
    explicit RecordReader(const json::object& object) : object_(object) {}

    std::string text(std::string_view key) {
        const auto value = get_string(object_, key);
        if (!value || !*value) {
            fail(key);
            return {};
        }
        return **value;
    }

    template <typename Integer>
    Integer number(std::string_view key) {
        const auto value = get_integer(object_, key);
        if (!value || !*value || **value < 0) {
            fail(key);
            return 0;
        }
        return static_cast<Integer>(**value);
    }

    const std::string& fault() const noexcept { return fault_; }

private:
    void fail(std::string_view key) {
        if (fault_.empty()) {
            fault_ = fmt::format("\"{}\" is missing or wrong", key);
        }
    }

    const json::object& object_;
    std::string fault_;
};

Error corrupt(std::string message) {
    return Error{ErrorCode::kCorrupt, std::move(message)};
}

// What both versions say of the image in the same members.
void read_image_facts(RecordReader& reader, DeploymentRecord& record) {
    record.image = reader.text("image");
    record.created_unix_s = reader.number<int64_t>("created_unix_s");
    record.architecture = reader.text("architecture");
    record.image_bytes = reader.number<uint64_t>("image_bytes");
    record.context_max = reader.number<uint32_t>("context_max");
}

Result<void> read_draft(const json::object& object, DeploymentRecord& record) {
    if (record.manifest.draft.empty()) {
        return {};
    }
    const json::value* draft = object.if_contains("draft");
    if (draft == nullptr || !draft->is_object() || record.manifest.draft_image().empty()) {
        return corrupt("the manifest names a draft, and the record has no facts of its image");
    }
    RecordReader reader(draft->get_object());
    record.draft.image_bytes = reader.number<uint64_t>("image_bytes");
    record.draft.kv_permille = reader.number<uint32_t>("kv_permille");
    if (reader.fault().empty() && record.draft.kv_permille >= 1000) {
        return corrupt("draft: \"kv_permille\" is not below 1000");
    }
    return reader.fault().empty() ? Result<void>() : corrupt("draft: " + reader.fault());
}

Result<DeploymentRecord> read_record(const json::value& value) {
    if (!value.is_object() || !value.get_object().contains("manifest")) {
        return corrupt("\"manifest\" is missing");
    }
    const json::object& object = value.get_object();
    auto manifest = api::parse_manifest(json::serialize(object.at("manifest")));
    if (!manifest) {
        return corrupt("manifest: " + manifest.error().message);
    }
    RecordReader reader(object);
    DeploymentRecord record;
    record.manifest = std::move(manifest).value();
    record.name = record.manifest.name;
    record.revision = reader.text("revision");
    record.source = reader.text("source");
    read_image_facts(reader, record);
    if (!reader.fault().empty()) {
        return corrupt(reader.fault());
    }
    if (const auto drafted = read_draft(object, record); !drafted) {
        return drafted.error();
    }
    if (record.manifest.image() != record.image) {
        return corrupt("manifest and record name different images");
    }
    return record;
}

// The text whose digest was the revision in version 1: kept, because bills name it.
std::string first_canonical_form(const json::object& record) {
    json::object object;
    for (const char* key : {"context", "currency", "idle_ms", "image", "name", "price_cached",
                            "price_input", "price_output"}) {
        const json::value* value = record.if_contains(key);
        object[key] = value == nullptr ? json::value(nullptr) : *value;
    }
    object["rekindle"] = 1;
    return json::serialize(object);
}

// A context beyond the model's own was silently the model's own.
json::object first_manifest(const json::object& record, RecordReader& reader) {
    constexpr int64_t kIdleMax = 999'999'999;  // Milliseconds that a manifest can say.
    const auto context = reader.number<uint32_t>("context");
    const auto context_max = reader.number<uint32_t>("context_max");
    json::object manifest{{"rekindle", 1}, {"name", reader.text("name")}};
    manifest["model"] = "rekindle://sha256:" + reader.text("image");
    if (context > 0) {
        manifest["runtime"] = json::object{{"context", std::min(context, context_max)}};
    }
    if (record.contains("idle_ms")) {
        const auto idle = std::chrono::milliseconds(reader.number<int64_t>("idle_ms"));
        const std::string text = api::canonical_duration(idle);
        const bool fits = text.size() <= std::to_string(kIdleMax).size() + 1;
        manifest["scale"] = json::object{{"idle", fits ? text : std::string("36500d")}};
    }
    manifest["price"] = json::object{{"currency", reader.text("currency")},
                                     {"per_mtok",
                                      {{"input", reader.text("price_input")},
                                       {"cached", reader.text("price_cached")},
                                       {"output", reader.text("price_output")}}}};
    return manifest;
}

Result<DeploymentEntry> read_first_version(const json::object& object) {
    RecordReader reader(object);
    const json::object manifest = first_manifest(object, reader);
    if (!reader.fault().empty()) {
        return corrupt(reader.fault());
    }
    auto parsed = api::parse_manifest(json::serialize(manifest));
    if (!parsed) {
        return corrupt(parsed.error().message);
    }
    DeploymentRecord record;
    record.manifest = std::move(parsed).value();
    record.name = record.manifest.name;
    record.revision = to_hex(sha256(as_bytes(first_canonical_form(object))));
    record.source = record.manifest.model;
    read_image_facts(reader, record);
    if (!reader.fault().empty()) {
        return corrupt(reader.fault());
    }
    return DeploymentEntry{.current = std::move(record), .history = {}};
}

Result<DeploymentEntry> read_second_version(const json::object& object) {
    const json::value* current = object.if_contains("current");
    const json::value* history = object.if_contains("history");
    if (current == nullptr || history == nullptr || !history->is_array()) {
        return corrupt("\"current\" or \"history\" is missing or wrong");
    }
    auto record = read_record(*current);
    if (!record) {
        return record.error().with_context("current");
    }
    DeploymentEntry entry{.current = std::move(record).value(), .history = {}};
    for (const json::value& element : history->get_array()) {
        auto earlier = read_record(element);
        if (!earlier || earlier->name != entry.current.name) {
            return earlier ? corrupt("history: a revision of another name")
                           : earlier.error().with_context("history");
        }
        entry.history.push_back(std::move(earlier).value());
    }
    return entry;
}

Result<json::object> parse_object(std::string_view text) {
    auto parsed = parse_json(text, JsonLimits{});
    if (!parsed) {
        return parsed.error();
    }
    if (!parsed->is_object()) {
        return corrupt("not a JSON object");
    }
    return std::move(parsed->get_object());
}

}  // namespace

std::string entry_text(const DeploymentEntry& entry) {
    json::array history;
    for (const DeploymentRecord& record : entry.history) {
        history.push_back(to_json(record));
    }
    const json::object object{{"rekindle_deployment", kVersion},
                              {"current", to_json(entry.current)},
                              {"history", std::move(history)}};
    return json::serialize(object);
}

Result<DeploymentEntry> parse_entry(std::string_view text) {
    const auto object = parse_object(text);
    if (!object) {
        return object.error();
    }
    const auto version = get_integer(*object, "rekindle_deployment");
    if (!version || !*version) {
        return corrupt("\"rekindle_deployment\" is missing or wrong");
    }
    if (**version == kFirstVersion) {
        return read_first_version(*object);
    }
    if (**version != kVersion) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("deployment record of version {}, this rekindled reads {} and {}",
                                 **version, kFirstVersion, kVersion)};
    }
    return read_second_version(*object);
}

std::string aliases_text(const AliasMap& aliases) {
    json::object map;
    for (const auto& [alias, name] : aliases) {
        map[alias] = name;
    }
    return json::serialize(
        json::object{{"rekindle_aliases", kAliasVersion}, {"aliases", std::move(map)}});
}

Result<AliasMap> parse_aliases(std::string_view text) {
    const auto object = parse_object(text);
    if (!object) {
        return object.error();
    }
    const auto version = get_integer(*object, "rekindle_aliases");
    const json::value* map = object->if_contains("aliases");
    if (!version || *version != kAliasVersion || map == nullptr || !map->is_object()) {
        return corrupt("no aliases of version 1");
    }
    AliasMap aliases;
    for (const auto& [alias, name] : map->get_object()) {
        if (!name.is_string() || !is_deployment_name(alias) ||
            !is_deployment_name(std::string_view(name.get_string()))) {
            return corrupt(fmt::format("the alias \"{}\" is wrong", std::string_view(alias)));
        }
        aliases.emplace(alias, name.get_string());
    }
    return aliases;
}

}  // namespace rekindle::daemon
