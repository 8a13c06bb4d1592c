#include "daemon/catalog.h"

#include "base/hash.h"
#include "base/json.h"
#include "daemon/data_folder.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <unistd.h>

namespace rekindle::daemon {
namespace {

constexpr uint64_t kRecordBytesMax = 1ULL << 20;
constexpr int64_t kRecordVersion = 1;

std::string path_of(const std::string& folder, const std::string& name) {
    return folder + "/" + name + ".json";
}

json::object to_json(const DeploymentRecord& record) {
    json::object object;
    object["rekindle_deployment"] = kRecordVersion;
    object["name"] = record.name;
    object["image"] = record.image;
    object["price_input"] = record.price_input;
    object["price_output"] = record.price_output;
    object["price_cached"] = record.price_cached;
    object["currency"] = record.currency;
    if (record.idle_ms) {
        object["idle_ms"] = *record.idle_ms;
    }
    object["context"] = record.context;
    object["created_unix_s"] = record.created_unix_s;
    object["architecture"] = record.architecture;
    object["image_bytes"] = record.image_bytes;
    object["context_max"] = record.context_max;
    return object;
}

// Takes members out of one record and remembers the first fault.
class RecordReader {
public:
    explicit RecordReader(const json::object& object) : object_(object) {}

    void text(std::string_view key, std::string& out) {
        const auto value = get_string(object_, key);
        if (!value || !*value) {
            fail(key);
            return;
        }
        out = **value;
    }
    template <typename Integer>
    void number(std::string_view key, Integer& out) {
        const auto value = get_integer(object_, key);
        if (!value || !*value || **value < 0) {
            fail(key);
            return;
        }
        out = static_cast<Integer>(**value);
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

Result<DeploymentRecord> from_json(std::string_view text) {
    const auto parsed = parse_json(text, JsonLimits{});
    if (!parsed) {
        return parsed.error();
    }
    if (!parsed->is_object()) {
        return Error{ErrorCode::kCorrupt, "not a JSON object"};
    }
    RecordReader reader(parsed->get_object());
    int64_t version = 0;
    reader.number("rekindle_deployment", version);
    if (version != kRecordVersion) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("deployment record of version {}, this rekindled reads {}",
                                 version, kRecordVersion)};
    }
    DeploymentRecord record;
    reader.text("name", record.name);
    reader.text("image", record.image);
    reader.text("price_input", record.price_input);
    reader.text("price_output", record.price_output);
    reader.text("price_cached", record.price_cached);
    reader.text("currency", record.currency);
    if (parsed->get_object().contains("idle_ms")) {
        reader.number("idle_ms", record.idle_ms.emplace());
    }
    reader.number("context", record.context);
    reader.number("created_unix_s", record.created_unix_s);
    reader.text("architecture", record.architecture);
    reader.number("image_bytes", record.image_bytes);
    reader.number("context_max", record.context_max);
    if (!reader.fault().empty() || !is_deployment_name(record.name)) {
        return Error{ErrorCode::kCorrupt,
                     reader.fault().empty() ? std::string("\"name\" is wrong") : reader.fault()};
    }
    return record;
}

}  // namespace

std::string DeploymentRecord::canonical_manifest() const {
    // Keys in alphabetical order; Boost.JSON keeps the order of insertion.
    json::object object;
    object["context"] = context;
    object["currency"] = currency;
    object["idle_ms"] = idle_ms ? json::value(*idle_ms) : json::value(nullptr);
    object["image"] = image;
    object["name"] = name;
    object["price_cached"] = price_cached;
    object["price_input"] = price_input;
    object["price_output"] = price_output;
    object["rekindle"] = 1;
    return json::serialize(object);
}

std::string DeploymentRecord::revision() const {
    return to_hex(sha256(as_bytes(canonical_manifest())));
}

bool is_deployment_name(std::string_view name) noexcept {
    const auto letter_or_digit = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    };
    if (name.empty() || name.size() > 63 || !letter_or_digit(name.front())) {
        return false;
    }
    return std::all_of(name.begin(), name.end(), [&](char c) {
        return letter_or_digit(c) || c == '.' || c == '_' || c == '-';
    });
}

Result<Catalog> Catalog::open(const std::string& folder) {
    std::error_code ec;
    std::filesystem::create_directories(folder, ec);
    if (ec) {
        return Error{ErrorCode::kIo, folder + ": " + ec.message()};
    }
    Catalog catalog(folder);
    for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
        if (entry.path().extension() != ".json") {
            continue;  // A ".new" file that a crash left: never part of the catalog.
        }
        const auto text = read_small_file(entry.path().string(), kRecordBytesMax);
        if (!text) {
            return text.error();
        }
        auto record = from_json(*text);
        if (!record) {
            return record.error().with_context(entry.path().string());
        }
        catalog.records_.push_back(std::move(record).value());
    }
    if (ec) {
        return Error{ErrorCode::kIo, folder + ": " + ec.message()};
    }
    std::sort(catalog.records_.begin(), catalog.records_.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    return catalog;
}

Result<void> Catalog::put(const DeploymentRecord& record) {
    const auto written =
        write_file_durably(path_of(folder_, record.name), json::serialize(to_json(record)));
    if (!written) {
        return written;
    }
    const auto at = std::lower_bound(
        records_.begin(), records_.end(), record.name,
        [](const DeploymentRecord& held, const std::string& name) { return held.name < name; });
    if (at != records_.end() && at->name == record.name) {
        *at = record;
    } else {
        records_.insert(at, record);
    }
    return {};
}

Result<void> Catalog::remove(const std::string& name) {
    if (::unlink(path_of(folder_, name).c_str()) != 0 && errno != ENOENT) {
        return errno_error(path_of(folder_, name), errno);
    }
    std::erase_if(records_, [&](const DeploymentRecord& record) { return record.name == name; });
    return {};
}

bool Catalog::uses_image(std::string_view digest) const noexcept {
    return std::any_of(records_.begin(), records_.end(),
                       [&](const DeploymentRecord& record) { return record.image == digest; });
}

}  // namespace rekindle::daemon
