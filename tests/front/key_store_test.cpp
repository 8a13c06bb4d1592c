#include "daemon/key_store.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/stat.h>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.
using std::chrono::seconds;

namespace {

class StoreFixture {
public:
    StoreFixture() {
        char name[] = "/tmp/rekindle_keys_XXXXXX";
        root = ::mkdtemp(name);
        folder = root + "/keys";
    }

    ~StoreFixture() {
        std::error_code ignored;
        std::filesystem::remove_all(root, ignored);
    }

    StoreFixture(const StoreFixture&) = delete;
    StoreFixture& operator=(const StoreFixture&) = delete;

    Result<KeyStore> open() { return KeyStore::open(folder, clock, entropy); }

    KeyStore opened() {
        auto store = open();
        REQUIRE(store);
        return std::move(store).value();
    }

    std::string file() const { return read(folder + "/keys.json"); }

    static std::string read(const std::string& path) {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    void write(const std::string& text) const {
        std::ofstream(folder + "/keys.json", std::ios::binary) << text;
    }

    // As open() says it, with the file's text changed.
    ErrorCode refusal(std::string text, std::string_view what, std::string_view by) {
        const size_t at = text.find(what);
        REQUIRE(at != std::string::npos);
        write(text.replace(at, what.size(), by));
        const auto store = open();
        REQUIRE_FALSE(store);
        CHECK(store.error().message.find("keys.json") != std::string::npos);
        return store.error().code;
    }

    ManualClock clock;
    SeededEntropy entropy{1};
    std::string root;
    std::string folder;
};

NewKey made(KeyStore& store, const KeySpec& spec) {
    auto key = store.create(spec);
    REQUIRE(key);
    return std::move(key).value();
}

}  // namespace

TEST_CASE("a key is known by its text, and again after a restart") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    CHECK_FALSE(store.any());
    const NewKey key = made(store, {.role = KeyRole::kAdmin,
                                    .organization = "org",
                                    .project = "proj",
                                    .name = "Zoë's laptop"});
    CHECK(store.any());
    KeyStore again = fixture.opened();
    for (KeyStore* one : {&store, &again}) {
        const auto facts = one->authenticate(key.text);
        REQUIRE(facts);
        CHECK(facts->id == key.facts.id);
        CHECK(facts->role == KeyRole::kAdmin);
        CHECK(facts->organization == "org");
        CHECK(facts->project == "proj");
        CHECK(facts->name == "Zoë's laptop");
    }
}

TEST_CASE("neither file holds the secret, and both are their owner's alone") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    const NewKey key = made(store, {.project = "p"});
    const std::string secret = key.text.substr(key.text.rfind('_') + 1, kKeySecretChars);
    CHECK(fixture.file().find(secret) == std::string::npos);
    const auto parsed = parse_key(key.text);
    REQUIRE(parsed);
    CHECK(fixture.file().find(to_hex(parsed->secret)) == std::string::npos);
    for (const char* name : {"/keys.json", "/pepper"}) {
        struct stat facts{};
        REQUIRE(::stat((fixture.folder + name).c_str(), &facts) == 0);
        CHECK((facts.st_mode & 0777) == 0600);
    }
    CHECK(StoreFixture::read(fixture.folder + "/pepper").size() == 32);
}

TEST_CASE("a key of a known id with another secret is refused as an unknown one is") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    const NewKey key = made(store, {.project = "p"});
    ApiKey forged = parse_key(key.text).value();
    forged.secret[0] ^= std::byte{1};
    ApiKey unknown = forged;
    unknown.id = "aaaaaaaaaa";
    const auto wrong_secret = store.authenticate(format_key(forged));
    const auto wrong_id = store.authenticate(format_key(unknown));
    REQUIRE_FALSE(wrong_secret);
    REQUIRE_FALSE(wrong_id);
    CHECK(wrong_secret.error().code == ErrorCode::kUnauthorized);
    CHECK(wrong_secret.error().message == wrong_id.error().message);
}

TEST_CASE("a project has as many keys as it wants, and each is revoked alone") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    const NewKey old = made(store, {.project = "p"});
    const NewKey next = made(store, {.project = "p"});
    CHECK(store.authenticate(old.text));
    CHECK(store.authenticate(next.text));
    const auto revoked = store.revoke(old.facts.id);
    REQUIRE(revoked);
    CHECK(revoked->revoked_unix_s == store.now_unix_s());
    const auto refused = store.authenticate(old.text);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("revoked") != std::string::npos);
    CHECK(store.authenticate(next.text));
    CHECK_FALSE(fixture.opened().authenticate(old.text));
    CHECK(store.revoke("aaaaaaaaaa").error().code == ErrorCode::kNotFound);
    fixture.clock.advance(seconds(5));
    CHECK(store.revoke(old.facts.id)->revoked_unix_s == revoked->revoked_unix_s);
}

TEST_CASE("a node whose every key was revoked still has keys") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    const NewKey key = made(store, {.project = "p"});
    REQUIRE(store.revoke(key.facts.id));
    CHECK(store.any());
    CHECK(fixture.opened().any());
}

TEST_CASE("a key expires at its time, not a second earlier") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    const NewKey key = made(store, {.project = "p", .lifetime = seconds(60)});
    fixture.clock.advance(seconds(59));
    CHECK(store.authenticate(key.text));
    fixture.clock.advance(seconds(1));
    const auto refused = store.authenticate(key.text);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("expired") != std::string::npos);
}

TEST_CASE("the last use is remembered until the end of the process") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    const NewKey key = made(store, {.project = "p"});
    CHECK_FALSE(store.list().at(0).last_used_unix_s);
    REQUIRE(store.authenticate(key.text));
    CHECK(store.list().at(0).last_used_unix_s == store.now_unix_s());
    CHECK_FALSE(fixture.opened().list().at(0).last_used_unix_s);
}

TEST_CASE("names and times have limits") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    const auto taken = [&store](const KeySpec& spec) { return store.create(spec).ok(); };
    CHECK(taken({.project = std::string(kTenantNameBytesMax, 'p')}));
    CHECK_FALSE(taken({.project = std::string(kTenantNameBytesMax + 1, 'p')}));
    CHECK_FALSE(taken({.project = ""}));
    CHECK_FALSE(taken({.project = "a/b"}));
    CHECK_FALSE(taken({.project = "-a"}));
    CHECK_FALSE(taken({.organization = "", .project = "p"}));
    CHECK(taken({.project = "p", .name = std::string(kKeyNameBytesMax, 'n')}));
    CHECK_FALSE(taken({.project = "p", .name = std::string(kKeyNameBytesMax + 1, 'n')}));
    CHECK_FALSE(taken({.project = "p", .name = "a\nb"}));
    CHECK_FALSE(taken({.project = "p", .name = "\xff"}));
    CHECK(taken({.project = "p", .lifetime = kKeyLifetimeMax}));
    CHECK_FALSE(taken({.project = "p", .lifetime = kKeyLifetimeMax + seconds(1)}));
    CHECK_FALSE(taken({.project = "p", .lifetime = seconds(0)}));
    CHECK(store.list().size() == 3);
}

TEST_CASE("at the limit of keys a new one takes the place of the oldest that is not active") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    // Written at once: making 4,096 keys writes the file as often.
    std::vector<KeyRecord> records;
    SeededEntropy entropy(9);
    for (size_t i = 0; i < kKeysMax; ++i) {
        records.push_back({.facts = {.id = make_key(entropy).id,
                                     .organization = std::string(kTenantNameBytesMax, 'o'),
                                     .project = std::string(kTenantNameBytesMax, 'p'),
                                     .name = std::string(kKeyNameBytesMax, '"'),
                                     .created_unix_s = 1'700'000'000}});
    }
    made(store, {.project = "first"});  // Makes the pepper.
    CHECK(key_file_text(records).size() < kKeyFileBytesMax);
    fixture.write(key_file_text(records));
    KeyStore full = fixture.opened();
    const auto refused = full.create({.project = "p"});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kResourceExhausted);
    const std::string third = records[2].facts.id;
    REQUIRE(full.revoke(third));
    REQUIRE(full.create({.project = "p"}));
    CHECK(full.list().size() == kKeysMax);
    CHECK(full.revoke(third).error().code == ErrorCode::kNotFound);
    records.push_back(records.front());
    records.back().facts.id = "aaaaaaaaaa";
    CHECK_FALSE(parse_key_file(key_file_text(records)));
}

TEST_CASE("a file that can't be read whole stops the start and names itself") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    made(store, {.project = "p"});
    const std::string good = fixture.file();
    CHECK(fixture.refusal(good, R"("rekindle_keys":1)", R"("rekindle_keys":2)") ==
          ErrorCode::kUnsupported);
    for (const auto& [what, by] : std::vector<std::pair<std::string, std::string>>{
             {R"("role":"user")", R"("role":"root")"},
             {R"("project":"p")", R"("project":"")"},
             {R"("project":"p")", R"("project":7)"},
             {R"("digest":")", R"("digest":"00)"},
             {R"("created_unix_s":)", R"("created_unix_s":-)"},
             {R"("id":")", R"("id":"../)"},
             {R"("keys":[)", R"("keys":[7,)"},
             {R"("keys":)", R"("kees":)"},
             {"}]}", "}]"}}) {
        CAPTURE(by);
        CHECK(fixture.refusal(good, what, by) == ErrorCode::kCorrupt);
    }
    const std::string key = good.substr(good.find("[{") + 1);
    CHECK(fixture.refusal(good, "]}", "," + key.substr(0, key.rfind("]}")) + "]}") ==
          ErrorCode::kCorrupt);
    fixture.write(good);
    CHECK(fixture.open());
}

TEST_CASE("keys without their pepper, or with one that others can read, stop the start") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    made(store, {.project = "p"});
    const std::string pepper = fixture.folder + "/pepper";
    REQUIRE(::chmod(pepper.c_str(), 0640) == 0);
    CHECK(fixture.open().error().code == ErrorCode::kForbidden);
    REQUIRE(::chmod(pepper.c_str(), 0600) == 0);
    CHECK(fixture.open());
    std::filesystem::resize_file(pepper, 31);
    CHECK(fixture.open().error().code == ErrorCode::kCorrupt);
    std::filesystem::remove(pepper);
    CHECK(fixture.open().error().code == ErrorCode::kCorrupt);
}

TEST_CASE("a key that can't be written does not exist, a revocation holds all the same") {
    StoreFixture fixture;
    KeyStore store = fixture.opened();
    const NewKey key = made(store, {.project = "p"});
    std::filesystem::create_directory(fixture.folder + "/keys.json.new");  // No file can be made.
    CHECK_FALSE(store.create({.project = "p"}));
    CHECK(store.list().size() == 1);
    CHECK_FALSE(store.revoke(key.facts.id));
    CHECK_FALSE(store.authenticate(key.text));
}
