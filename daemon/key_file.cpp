#include "daemon/key_file.h"

#include "base/json.h"
#include "base/utf8.h"
#include "daemon/key_text.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr int64_t kFileVersion = 1;
constexpr std::string_view kVersionMember = "rekindle_keys";

struct RoleName {
    KeyRole role;
    std::string_view name;
};

constexpr std::array kRoleNames{RoleName{KeyRole::kUser, "user"},
                                RoleName{KeyRole::kMetrics, "metrics"},
                                RoleName{KeyRole::kAdmin, "admin"}};

json::value or_null(const std::optional<int64_t>& value) {
    return value ? json::value(*value) : json::value(nullptr);
}

json::object to_json(const KeyFacts& facts, const Sha256Digest& digest) {
    json::object object;
    object["id"] = facts.id;
    object["digest"] = to_hex(digest);
    object["role"] = role_name(facts.role);
    object["organization"] = facts.organization;
    object["project"] = facts.project;
    object["name"] = facts.name;
    object["created_unix_s"] = facts.created_unix_s;
    object["expires_unix_s"] = or_null(facts.expires_unix_s);
    object["revoked_unix_s"] = or_null(facts.revoked_unix_s);
    return object;
}

// Members of one record; the first fault is remembered.
class RecordReader {
public:
    explicit RecordReader(const json::value& value)
        : object_(value.if_object()), fault_(object_ == nullptr ? "not an object" : "") {}

    std::string text(std::string_view key) {
        const auto value = object_ == nullptr ? Result<std::optional<std::string>>(std::nullopt)
                                              : get_string(*object_, key);
        if (!value || !*value) {
            fail(key);
            return {};
        }
        return **value;
    }

    std::optional<int64_t> time_or_null(std::string_view key) {
        const auto value = object_ == nullptr ? Result<std::optional<int64_t>>(std::nullopt)
                                              : get_integer(*object_, key);
        if (!value || (*value && **value < 0)) {
            fail(key);
            return std::nullopt;
        }
        return *value;
    }

    void fail(std::string_view key) {
        if (fault_.empty()) {
            fault_ = fmt::format("\"{}\" is missing or wrong", key);
        }
    }

    const std::string& fault() const noexcept { return fault_; }

private:
    const json::object* object_;
    std::string fault_;
};

// kCorrupt names the member at fault.
Result<KeyRecord> read_record(const json::value& value) {
    RecordReader reader(value);
    KeyRecord record;
    KeyFacts& facts = record.facts;
    facts.id = reader.text("id");
    facts.organization = reader.text("organization");
    facts.project = reader.text("project");
    facts.name = reader.text("name");
    const auto role = parse_role(reader.text("role"));
    const auto digest = parse_sha256(reader.text("digest"));
    const auto created = reader.time_or_null("created_unix_s");
    facts.expires_unix_s = reader.time_or_null("expires_unix_s");
    facts.revoked_unix_s = reader.time_or_null("revoked_unix_s");
    const std::array<std::pair<std::string_view, bool>, 6> checks{
        std::pair{"id", is_key_id(facts.id)},
        {"organization", is_tenant_name(facts.organization)},
        {"project", is_tenant_name(facts.project)},
        {"name", is_key_name(facts.name)},
        {"role", role.has_value()},
        {"digest", digest.ok()}};
    for (const auto& [key, good] : checks) {
        if (!good) {
            reader.fail(key);
        }
    }
    if (!created) {
        reader.fail("created_unix_s");
    }
    if (!reader.fault().empty()) {
        return Error{ErrorCode::kCorrupt, reader.fault()};
    }
    facts.role = *role;
    facts.created_unix_s = *created;
    record.digest = *digest;
    return record;
}

// The array of records; kUnsupported for another version.
Result<json::array> read_array(std::string_view text) {
    auto parsed = parse_json(text, JsonLimits{.bytes_max = kKeyFileBytesMax});
    if (!parsed || !parsed->is_object()) {
        return Error{ErrorCode::kCorrupt, parsed ? "not a JSON object" : parsed.error().message};
    }
    json::object& object = parsed->get_object();
    const auto version = get_integer(object, kVersionMember);
    if (!version || !*version) {
        return Error{ErrorCode::kCorrupt, fmt::format("\"{}\" is missing", kVersionMember)};
    }
    if (**version != kFileVersion) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("format version {}, this rekindled reads {}: use the rekindled "
                                 "that wrote it or a newer one",
                                 **version, kFileVersion)};
    }
    json::value* keys = object.if_contains("keys");
    if (keys == nullptr || !keys->is_array() || keys->get_array().size() > kKeysMax) {
        return Error{ErrorCode::kCorrupt, "\"keys\" is no list of at most 4096 keys"};
    }
    return std::move(keys->get_array());
}
}  // namespace

std::string_view role_name(KeyRole role) noexcept {
    return kRoleNames[static_cast<size_t>(role)].name;
}

std::optional<KeyRole> parse_role(std::string_view name) noexcept {
    for (const RoleName& row : kRoleNames) {
        if (row.name == name) {
            return row.role;
        }
    }
    return std::nullopt;
}

bool is_tenant_name(std::string_view name) noexcept {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    return !name.empty() && name.size() <= kTenantNameBytesMax && plain(name.front()) &&
           std::all_of(name.begin(), name.end(),
                       [plain](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; });
}

bool is_key_name(std::string_view name) noexcept {
    const auto control = [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; };
    return name.size() <= kKeyNameBytesMax && is_valid_utf8(name) &&
           std::none_of(name.begin(), name.end(), control);
}

std::string key_file_text(const std::vector<KeyRecord>& records) {
    json::array keys;
    for (const KeyRecord& record : records) {
        keys.push_back(to_json(record.facts, record.digest));
    }
    json::object file;
    file[kVersionMember] = kFileVersion;
    file["keys"] = std::move(keys);
    return json::serialize(file);
}

Result<std::vector<KeyRecord>> parse_key_file(std::string_view text) {
    const auto values = read_array(text);
    if (!values) {
        return values.error();
    }
    std::vector<KeyRecord> records;
    std::set<std::string> ids;
    for (const json::value& value : *values) {
        auto record = read_record(value);
        if (!record) {
            return record.error().with_context(fmt::format("key {}", records.size()));
        }
        if (!ids.insert(record->facts.id).second) {
            return Error{ErrorCode::kCorrupt, "the id " + record->facts.id + " stands twice"};
        }
        records.push_back(std::move(record).value());
    }
    return records;
}

}  // namespace rekindle::daemon
