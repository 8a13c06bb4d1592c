#include "daemon/catalog.h"

#include "daemon/catalog_format.h"
#include "daemon/data_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr uint64_t kRecordBytesMax = 4ULL << 20;  // Six manifests at their limit, and their facts.
constexpr std::string_view kAliasFile = "/.aliases";  // No deployment's name begins with a dot.

std::string path_of(const std::string& folder, const std::string& name) {
    return folder + "/" + name + ".json";
}

bool has_alias(const DeploymentRecord& record, std::string_view alias) {
    const auto& aliases = record.manifest.aliases;
    return std::find(aliases.begin(), aliases.end(), alias) != aliases.end();
}

Error taken(std::string_view alias, std::string_view owner) {
    return Error{ErrorCode::kConflict,
                 fmt::format("\"{}\" is an alias of {}: choose another name, or remove it there",
                             alias, owner)};
}

}  // namespace

Result<DeploymentRecord> make_record(const api::Manifest& manifest, const std::string& image) {
    auto stored = api::parse_manifest(api::canonical_manifest(manifest, image));
    if (!stored) {
        return stored.error();
    }
    DeploymentRecord record;
    record.name = manifest.name;
    record.revision = api::manifest_revision(manifest, image);
    record.image = image;
    record.source = manifest.model;
    record.manifest = std::move(stored).value();
    return record;
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
        auto parsed = parse_entry(*text);
        if (!parsed) {
            return parsed.error().with_context(entry.path().string());
        }
        catalog.entries_.push_back(std::move(parsed).value());
    }
    if (ec) {
        return Error{ErrorCode::kIo, folder + ": " + ec.message()};
    }
    std::sort(catalog.entries_.begin(), catalog.entries_.end(),
              [](const auto& a, const auto& b) { return a.current.name < b.current.name; });
    const std::string alias_path = folder + std::string(kAliasFile);
    const auto text = read_small_file(alias_path, kRecordBytesMax);
    if (!text) {
        return text.error().code == ErrorCode::kNotFound ? Result<Catalog>(std::move(catalog))
                                                         : text.error();
    }
    auto aliases = parse_aliases(*text);
    if (!aliases) {
        return aliases.error().with_context(alias_path);
    }
    catalog.hand_aliases_ = std::move(aliases).value();
    return catalog;
}

const DeploymentEntry* Catalog::find(std::string_view name) const noexcept {
    const auto at = std::lower_bound(entries_.begin(), entries_.end(), name,
                                     [](const DeploymentEntry& held, std::string_view wanted) {
                                         return held.current.name < wanted;
                                     });
    return at != entries_.end() && at->current.name == name ? &*at : nullptr;
}

std::string_view Catalog::owner_by_manifest(std::string_view alias) const noexcept {
    for (const DeploymentEntry& entry : entries_) {
        if (has_alias(entry.current, alias)) {
            return entry.current.name;
        }
    }
    return {};
}

std::string_view Catalog::resolve(std::string_view model) const noexcept {
    if (const DeploymentEntry* entry = find(model)) {
        return entry->current.name;
    }
    const std::string_view owner = owner_by_manifest(model);
    if (!owner.empty()) {
        return owner;
    }
    const auto by_hand = hand_aliases_.find(model);
    return by_hand == hand_aliases_.end() ? std::string_view{} : by_hand->second;
}

Result<void> Catalog::check_names(const DeploymentRecord& record) const {
    const std::string_view owner = resolve(record.name);
    if (!owner.empty() && owner != record.name) {
        return taken(record.name, owner);
    }
    for (const std::string& alias : record.manifest.aliases) {
        if (find(alias) != nullptr) {
            return Error{ErrorCode::kConflict,
                         fmt::format("aliases: \"{}\" is deployed itself: an alias never takes a "
                                     "deployment's name",
                                     alias)};
        }
        const std::string_view holder = resolve(alias);
        if (!holder.empty() && holder != record.name) {
            return taken(alias, holder).with_context("aliases");
        }
    }
    return {};
}

Result<void> Catalog::put(const DeploymentRecord& record) {
    auto free = check_names(record);
    if (!free) {
        return free;
    }
    const DeploymentEntry* held = find(record.name);
    DeploymentEntry next{.current = record, .history = {}};
    if (held != nullptr) {
        next.history = held->history;
        next.history.insert(next.history.begin(), held->current);
        std::erase_if(next.history, [&record](const DeploymentRecord& earlier) {
            return earlier.revision == record.revision;
        });
        next.history.resize(std::min(next.history.size(), kHistoryMax));
    }
    auto written = write_file_durably(path_of(folder_, record.name), entry_text(next));
    if (!written) {
        return written;
    }
    if (held != nullptr) {
        entries_[static_cast<size_t>(held - entries_.data())] = std::move(next);
        return {};
    }
    const auto at = std::lower_bound(entries_.begin(), entries_.end(), record.name,
                                     [](const DeploymentEntry& other, const std::string& name) {
                                         return other.current.name < name;
                                     });
    entries_.insert(at, std::move(next));
    return {};
}

// Aliases go first: one that names nothing would come back with the next deployment of that name.
Result<void> Catalog::remove(const std::string& name) {
    AliasMap kept = hand_aliases_;
    std::erase_if(kept, [&name](const auto& entry) { return entry.second == name; });
    if (kept.size() != hand_aliases_.size()) {
        auto written = write_aliases(std::move(kept));
        if (!written) {
            return written;
        }
    }
    auto removed = remove_file_durably(path_of(folder_, name));
    if (!removed) {
        return removed;
    }
    std::erase_if(entries_,
                  [&](const DeploymentEntry& entry) { return entry.current.name == name; });
    return {};
}

bool Catalog::uses_image(std::string_view digest) const noexcept {
    const auto names = [digest](const DeploymentRecord& record) {
        return record.names_image(digest);
    };
    return std::any_of(entries_.begin(), entries_.end(), [&names](const DeploymentEntry& entry) {
        return names(entry.current) ||
               std::any_of(entry.history.begin(), entry.history.end(), names);
    });
}

std::vector<AliasEntry> Catalog::aliases() const {
    std::vector<AliasEntry> all;
    for (const DeploymentEntry& entry : entries_) {
        for (const std::string& alias : entry.current.manifest.aliases) {
            all.push_back({.alias = alias, .name = entry.current.name, .by_manifest = true});
        }
    }
    for (const auto& [alias, name] : hand_aliases_) {
        if (owner_by_manifest(alias).empty()) {
            all.push_back({.alias = alias, .name = name, .by_manifest = false});
        }
    }
    std::sort(all.begin(), all.end(),
              [](const AliasEntry& a, const AliasEntry& b) { return a.alias < b.alias; });
    return all;
}

Result<void> Catalog::write_aliases(AliasMap aliases) {
    auto written = write_file_durably(folder_ + std::string(kAliasFile), aliases_text(aliases));
    if (written) {
        hand_aliases_ = std::move(aliases);
    }
    return written;
}

Result<void> Catalog::set_alias(const std::string& alias, const std::string& name) {
    if (!is_deployment_name(alias)) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("alias \"{}\": use up to 63 of a-z, 0-9, '.', '_' and '-', "
                                 "beginning with a letter or digit",
                                 alias)};
    }
    if (find(name) == nullptr) {
        return Error{ErrorCode::kNotFound, fmt::format("no model named \"{}\" is deployed", name)};
    }
    if (find(alias) != nullptr) {
        return Error{ErrorCode::kConflict,
                     fmt::format("\"{}\" is deployed itself: an alias never takes a deployment's "
                                 "name",
                                 alias)};
    }
    const std::string_view owner = owner_by_manifest(alias);
    if (!owner.empty() && owner != name) {
        return taken(alias, owner);
    }
    if (hand_aliases_.size() >= kHandAliasesMax && !hand_aliases_.contains(alias)) {
        return Error{
            ErrorCode::kTooLarge,
            fmt::format("{} aliases are set, the limit: remove one first", hand_aliases_.size())};
    }
    AliasMap next = hand_aliases_;
    next[alias] = name;
    return write_aliases(std::move(next));
}

Result<void> Catalog::remove_alias(const std::string& alias) {
    AliasMap next = hand_aliases_;
    const bool by_hand = next.erase(alias) > 0;
    const std::string_view owner = owner_by_manifest(alias);
    if (!by_hand && !owner.empty()) {
        return Error{ErrorCode::kConflict,
                     fmt::format("\"{}\" stands in the manifest of {}: take it out there and "
                                 "deploy again",
                                 alias, owner)};
    }
    if (!by_hand) {
        return Error{ErrorCode::kNotFound, fmt::format("there is no alias \"{}\"", alias)};
    }
    return write_aliases(std::move(next));
}

}  // namespace rekindle::daemon
