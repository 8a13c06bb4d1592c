// The node's API keys, in a folder of their own: keys.json (docs/formats/keys.md) and the pepper.
// Of a key's secret only HMAC-SHA-256 under the pepper is kept. Invariant: once a key was made the
// node is keyed for good; a key that was revoked or has expired still counts as one that exists.
// Threading: the io thread; the file is small. Ownership: clock and entropy outlive the store.
#pragma once
#include "base/clock.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/result.h"
#include "daemon/key_file.h"
#include "daemon/key_text.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rekindle::daemon {

struct KeySpec {
    KeyRole role = KeyRole::kUser;
    std::string organization = "default";
    std::string project;
    std::string name;                              // For people; may be empty.
    std::optional<std::chrono::seconds> lifetime;  // Nothing: until it is revoked.
};

struct NewKey {
    KeyFacts facts;
    std::string text;  // Nowhere else, and never again.
};

class KeyStore {
public:
    // Reads what is in `folder`, which need not exist. kCorrupt or kUnsupported for a file that
    // can't be read whole, kForbidden when others may read the pepper.
    static Result<KeyStore> open(std::string folder, const Clock& clock, Entropy& entropy);

    bool any() const noexcept { return !records_.empty(); }

    // Durable on return. kInvalidArgument names what is wrong; kResourceExhausted when kKeysMax
    // keys are active (one that is not makes place).
    Result<NewKey> create(const KeySpec& spec);
    // At once, also when the file can't be written (the error says that a restart would undo it).
    // kNotFound; a second time is no error and keeps the first time.
    Result<KeyFacts> revoke(std::string_view id);
    // In the order in which they were made.
    std::vector<KeyFacts> list() const;
    // kUnauthorized. The work is the same whether or not the id is known.
    Result<KeyFacts> authenticate(std::string_view text);

    int64_t now_unix_s() const noexcept;

private:
    struct Record {
        KeyRecord kept;
        uint64_t order = 0;
    };

    KeyStore(std::string folder, const Clock& clock, Entropy& entropy);
    Result<void> read();
    Result<void> read_pepper();
    Result<void> ensure_pepper();
    Result<void> make_place();
    Result<void> save() const;
    std::vector<const Record*> in_order() const;
    Sha256Digest digest_of(const ApiKey& key) const;

    std::string folder_;
    const Clock* clock_;
    Entropy* entropy_;
    std::optional<Sha256Digest> pepper_;  // 32 random bytes; nothing before the first key.
    std::unordered_map<std::string, Record> records_;
    uint64_t next_order_ = 0;
};

}  // namespace rekindle::daemon
