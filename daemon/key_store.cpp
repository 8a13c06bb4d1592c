#include "daemon/key_store.h"

#include "base/log.h"
#include "daemon/data_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <span>
#include <sys/stat.h>
#include <system_error>
#include <utility>

namespace rekindle::daemon {
namespace {

Error bad_name(std::string_view what, size_t bytes_max, std::string_view rule) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}: must be 1 to {} of {}", what, bytes_max, rule)};
}

Result<void> check_names(const KeySpec& spec) {
    constexpr std::string_view kTenantRule =
        "a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or digit";
    if (!is_tenant_name(spec.project)) {
        return bad_name("project", kTenantNameBytesMax, kTenantRule);
    }
    if (!is_tenant_name(spec.organization)) {
        return bad_name("organization", kTenantNameBytesMax, kTenantRule);
    }
    if (!is_key_name(spec.name)) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("name: must be UTF-8 of at most {} bytes without control "
                                 "characters",
                                 kKeyNameBytesMax)};
    }
    if (spec.lifetime && (spec.lifetime->count() <= 0 || *spec.lifetime > kKeyLifetimeMax)) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("expires: must be 1 second to {} days from now",
                                 kKeyLifetimeMax / std::chrono::hours(24))};
    }
    return {};
}

}  // namespace

KeyStore::KeyStore(std::string folder, const Clock& clock, Entropy& entropy)
    : folder_(std::move(folder)), clock_(&clock), entropy_(&entropy) {}

Result<KeyStore> KeyStore::open(std::string folder, const Clock& clock, Entropy& entropy) {
    KeyStore store(std::move(folder), clock, entropy);
    auto read = store.read();
    if (!read) {
        return read.error().with_context("API keys");
    }
    return store;
}

Result<void> KeyStore::read() {
    const std::string path = folder_ + "/keys.json";
    const auto text = read_small_file(path, kKeyFileBytesMax);
    if (!text) {
        return text.error().code == ErrorCode::kNotFound ? Result<void>() : text.error();
    }
    auto kept = parse_key_file(*text);
    if (!kept) {
        return kept.error().with_context(path);
    }
    for (KeyRecord& record : *kept) {
        std::string id = record.facts.id;
        records_.emplace(std::move(id), Record{std::move(record), next_order_++});
    }
    return records_.empty() ? Result<void>() : read_pepper();
}

Result<void> KeyStore::read_pepper() {
    const std::string path = folder_ + "/pepper";
    struct stat facts{};
    if (::stat(path.c_str(), &facts) != 0) {
        return errno == ENOENT
                   ? Error{ErrorCode::kCorrupt,
                           path +
                               " is missing and no key can be checked without it: restore it "
                               "from a backup, or remove keys.json and make new keys"}
                   : errno_error(path, errno);
    }
    if ((facts.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return Error{ErrorCode::kForbidden,
                     path +
                         " can be read by others than its owner: chmod 600 it, and make new "
                         "keys if others had access"};
    }
    const auto text = read_small_file(path, sizeof(Sha256Digest));
    if (!text) {
        return text.error();
    }
    Sha256Digest pepper{};
    if (text->size() != pepper.size()) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("{}: {} bytes instead of {}", path, text->size(), pepper.size())};
    }
    std::copy_n(as_bytes(*text).begin(), pepper.size(), pepper.begin());
    pepper_ = pepper;
    return {};
}

// Before the first key; a pepper that a crash left alone belongs to no key and is replaced.
Result<void> KeyStore::ensure_pepper() {
    if (pepper_) {
        return {};
    }
    std::error_code ec;
    std::filesystem::create_directories(folder_, ec);
    if (!ec) {
        std::filesystem::permissions(folder_, std::filesystem::perms::owner_all, ec);
    }
    if (ec) {
        return Error{ErrorCode::kIo, folder_ + ": " + ec.message()};
    }
    Sha256Digest pepper{};
    entropy_->fill(pepper);
    const auto written = write_file_durably(folder_ + "/pepper", as_text(pepper));
    if (!written) {
        return written;
    }
    pepper_ = pepper;
    return {};
}

Result<void> KeyStore::make_place() {
    if (records_.size() < kKeysMax) {
        return {};
    }
    const int64_t now = now_unix_s();
    for (const Record* record : in_order()) {
        if (!record->kept.facts.active_at(now)) {
            const std::string id = record->kept.facts.id;
            records_.erase(id);
            return {};
        }
    }
    return Error{ErrorCode::kResourceExhausted,
                 fmt::format("{} keys are active, which is the limit: revoke one that is not used",
                             kKeysMax)};
}

Result<NewKey> KeyStore::create(const KeySpec& spec) {
    if (auto checked = check_names(spec); !checked) {
        return checked.error();
    }
    if (auto ready = ensure_pepper(); !ready) {
        return ready.error();
    }
    if (auto place = make_place(); !place) {
        return place.error();
    }
    ApiKey key = make_key(*entropy_);
    while (records_.contains(key.id)) {
        key = make_key(*entropy_);
    }
    NewKey made{.facts = {.id = key.id,
                          .role = spec.role,
                          .organization = spec.organization,
                          .project = spec.project,
                          .name = spec.name,
                          .created_unix_s = now_unix_s()},
                .text = format_key(key)};
    if (spec.lifetime) {
        made.facts.expires_unix_s = made.facts.created_unix_s + spec.lifetime->count();
    }
    records_.emplace(key.id, Record{{made.facts, digest_of(key)}, next_order_++});
    if (auto saved = save(); !saved) {
        records_.erase(key.id);
        return saved.error();
    }
    log_info("key_created", {{"key", made.facts.id},
                             {"project", made.facts.project},
                             {"role", role_name(made.facts.role)}});
    return made;
}

Result<KeyFacts> KeyStore::revoke(std::string_view id) {
    const auto found = records_.find(std::string(id));
    if (found == records_.end()) {
        return Error{ErrorCode::kNotFound, "no key has this id: `rekindle keys list` shows all"};
    }
    KeyFacts& facts = found->second.kept.facts;
    if (facts.revoked_unix_s) {
        return facts;
    }
    facts.revoked_unix_s = now_unix_s();
    log_info("key_revoked", {{"key", facts.id}, {"project", facts.project}});
    if (auto saved = save(); !saved) {
        return saved.error().with_context(
            "the key is revoked until rekindled is started again, but that can't be written");
    }
    return facts;
}

std::vector<KeyFacts> KeyStore::list() const {
    std::vector<KeyFacts> all;
    for (const Record* record : in_order()) {
        all.push_back(record->kept.facts);
    }
    return all;
}

Result<KeyFacts> KeyStore::authenticate(std::string_view text) {
    const auto key = parse_key(text);
    if (!key) {
        return key.error();
    }
    const auto found = records_.find(key->id);
    const bool known = found != records_.end();
    const Sha256Digest wanted = known ? found->second.kept.digest : Sha256Digest{};
    const bool equal = equal_constant_time(digest_of(*key), wanted);
    if (!known || !equal) {
        return Error{ErrorCode::kUnauthorized,
                     "Incorrect API key provided: this node has no such key."};
    }
    // From here on the sender has shown the secret, and may know what became of its key.
    KeyFacts& facts = found->second.kept.facts;
    const int64_t now = now_unix_s();
    if (!facts.active_at(now)) {
        return Error{ErrorCode::kUnauthorized,
                     fmt::format("The API key {} {}: ask this node's operator for another.",
                                 facts.id, facts.revoked_unix_s ? "was revoked" : "has expired")};
    }
    facts.last_used_unix_s = now;
    return facts;
}

int64_t KeyStore::now_unix_s() const noexcept {
    return std::chrono::duration_cast<std::chrono::seconds>(clock_->wall()).count();
}

Result<void> KeyStore::save() const {
    std::vector<KeyRecord> kept;
    for (const Record* record : in_order()) {
        kept.push_back(record->kept);
    }
    return write_file_durably(folder_ + "/keys.json", key_file_text(kept));
}

std::vector<const KeyStore::Record*> KeyStore::in_order() const {
    std::vector<const Record*> all;
    all.reserve(records_.size());
    for (const auto& [id, record] : records_) {
        all.push_back(&record);
    }
    std::sort(all.begin(), all.end(),
              [](const Record* a, const Record* b) { return a->order < b->order; });
    return all;
}

// The id is hashed with the secret, so that no record can be moved to another key's place.
Sha256Digest KeyStore::digest_of(const ApiKey& key) const {
    std::string message = key.id;
    message += as_text(key.secret);
    return hmac_sha256(pepper_.value_or(Sha256Digest{}), as_bytes(message));
}

}  // namespace rekindle::daemon
