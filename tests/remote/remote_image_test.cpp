#include "loader/remote/remote_image.h"

#include "base/units.h"
#include "tests/loader/temp_store.h"
#include "tests/remote/fault_server.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::remote;  // NOLINT(google-build-using-namespace): a test.
using test::FaultServer;
using test::Script;
using test::SeenRequest;

namespace {

const test::ImageShape kShape{.chunk_bytes = {64 * kKiB, 128 * kKiB, 4096, 256 * kKiB, 8192},
                              .compress_first = true};

void quiet(uint64_t /*done*/, uint64_t /*total*/) {}

// Places for one test, with an environment and a clock of its own.
class Places {
public:
    Places() {
        settings_.connections = 3;
        settings_.limits.retry = {.tries_max = 2,
                                  .pause_first = std::chrono::milliseconds(1),
                                  .pause_max = std::chrono::milliseconds(1)};
    }

    RemotePlace at(const std::string& address) const {
        return RemotePlace{address, SourceContext{settings_, environment_, clock_}, nullptr};
    }

    RemotePlace folder() const { return at("file://" + folder_.path() + "/r"); }

    std::string path(const std::string& name) const { return folder_.path() + "/r/" + name; }

    RemoteSettings settings_;

private:
    test::TempFolder folder_;
    Environment environment_ = [](const char*) { return std::string(); };
    ManualClock clock_;
};

std::string read_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

// A web server that shows a folder.
Script show(const std::string& folder, const SeenRequest& request) {
    const std::string path = folder + request.target;
    return std::filesystem::is_regular_file(path) ? test::answer(200, read_text(path))
                                                  : test::answer(404, "");
}

std::string first_chunk(const std::string& folder) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file()) {
            return entry.path();
        }
    }
    return {};
}

struct Node {
    test::TempFolder folder;
    std::unique_ptr<loader::ChunkStore> store = test::open_store(folder.path());
};

}  // namespace

TEST_CASE("an image that was pushed can be pulled by another node") {
    const Places places;
    Node from;
    Node to;
    const auto image = test::deploy_image(*from.store, kShape, 1);
    const auto pushed = push_image(*from.store, {image.digest, "small", {{"name", "small"}}},
                                   places.folder(), quiet)
                            .value();
    CHECK(pushed.chunks_moved == 5);
    const auto found = find_image(places.folder(), "small").value();
    CHECK(found.digest == image.digest);
    CHECK(found.manifest.at("name") == "small");
    const auto pulled = pull_image(*to.store, found, places.folder(), quiet).value();
    CHECK(pulled.chunks_moved == 5);
    CHECK(test::readable(*to.store, image.digest));
    CHECK(find_image(places.folder(), "sha256:" + image.digest).value().manifest.empty());
}

TEST_CASE("only what is missing is moved") {
    const Places places;
    Node from;
    Node to;
    const auto image = test::deploy_image(*from.store, kShape, 1);
    REQUIRE(push_image(*from.store, {image.digest, "a", {}}, places.folder(), quiet).ok());
    CHECK(push_image(*from.store, {image.digest, "b", {}}, places.folder(), quiet)
              .value()
              .chunks_moved == 0);
    std::filesystem::remove(first_chunk(places.path("chunks")));
    CHECK(push_image(*from.store, {image.digest, "b", {}}, places.folder(), quiet)
              .value()
              .chunks_moved == 1);
    const auto found = find_image(places.folder(), "b").value();
    CHECK(pull_image(*to.store, found, places.folder(), quiet).value().chunks_moved == 5);
    CHECK(pull_image(*to.store, found, places.folder(), quiet).value().chunks_moved == 0);
}

TEST_CASE("a pull that broke off goes on with what is missing") {
    const Places places;
    Node from;
    Node to;
    const auto image = test::deploy_image(*from.store, kShape, 1);
    REQUIRE(push_image(*from.store, {image.digest, "a", {}}, places.folder(), quiet).ok());
    const auto found = find_image(places.folder(), "a").value();
    std::atomic<int> chunks{0};
    const FaultServer server([&](const SeenRequest& request) {
        const bool refused = request.target.starts_with("/chunks/") && ++chunks > 2;
        return refused ? test::answer(404, "") : show(places.path(""), request);
    });
    const auto broken = pull_image(*to.store, found, places.at(server.url()), quiet);
    REQUIRE_FALSE(broken.ok());
    CHECK(broken.error().code == ErrorCode::kNotFound);
    CHECK_FALSE(to.store->image_index(image.digest).ok());
    const auto rest = pull_image(*to.store, found, places.folder(), quiet).value();
    CHECK(rest.chunks_moved == 3);
    CHECK(test::readable(*to.store, image.digest));
}

TEST_CASE("a chunk that is not what its name says never reaches the store") {
    const Places places;
    Node from;
    const auto image = test::deploy_image(*from.store, kShape, 1);
    REQUIRE(push_image(*from.store, {image.digest, "a", {}}, places.folder(), quiet).ok());
    const std::string path = first_chunk(places.path("chunks"));
    const std::string whole = read_text(path);
    std::string flipped = whole;
    flipped[whole.size() / 2] = static_cast<char>(whole[whole.size() / 2] ^ 1);
    for (const std::string& bad : {flipped, whole.substr(0, whole.size() - 1), std::string("x"),
                                   std::string(), whole + whole}) {
        Node to;
        std::ofstream(path, std::ios::binary | std::ios::trunc) << bad;
        const auto found = find_image(places.folder(), "a").value();
        const auto pulled = pull_image(*to.store, found, places.folder(), quiet);
        REQUIRE_FALSE(pulled.ok());
        CHECK(pulled.error().code == ErrorCode::kCorrupt);
        CHECK(pulled.error().message.find("push the image again") != std::string::npos);
        CHECK_FALSE(to.store->image_index(image.digest).ok());
    }
}

TEST_CASE("an index that is not the image's is refused") {
    const Places places;
    Node from;
    const auto image = test::deploy_image(*from.store, kShape, 1);
    const auto other = test::deploy_image(*from.store, kShape, 2);
    REQUIRE(push_image(*from.store, {image.digest, "a", {}}, places.folder(), quiet).ok());
    for (const std::string& bad : {other.index_json, std::string("{"), std::string()}) {
        std::ofstream(places.path("images/" + image.digest + ".json"), std::ios::trunc) << bad;
        const auto found = find_image(places.folder(), "a");
        REQUIRE_FALSE(found.ok());
        CHECK(found.error().code == ErrorCode::kCorrupt);
    }
}

TEST_CASE("pulling again repairs a chunk that was damaged here") {
    const Places places;
    Node node;
    const auto image = test::deploy_image(*node.store, kShape, 1);
    REQUIRE(push_image(*node.store, {image.digest, "a", {}}, places.folder(), quiet).ok());
    const auto index = loader::ImageIndex::parse(image.index_json).value();
    const auto place = node.store->locate(index.chunks[1].id).value();
    {
        std::fstream pack(node.folder.path() + "/packs/000001.pack",
                          std::ios::binary | std::ios::in | std::ios::out);
        pack.seekp(static_cast<std::streamoff>(place.offset + 100));
        pack.write("damage", 6);
    }
    REQUIRE_FALSE(test::readable(*node.store, image.digest));
    const auto found = find_image(places.folder(), "a").value();
    CHECK(pull_image(*node.store, found, places.folder(), quiet).value().chunks_moved == 1);
    CHECK(test::readable(*node.store, image.digest));
}

TEST_CASE("a web server is pulled from through cuts and failures, and not pushed to") {
    const Places places;
    Node from;
    Node to;
    const auto image = test::deploy_image(*from.store, kShape, 1);
    REQUIRE(push_image(*from.store, {image.digest, "a", {}}, places.folder(), quiet).ok());
    std::atomic<int> calls{0};
    const FaultServer server([&](const SeenRequest& request) {
        Script script = show(places.path(""), request);
        switch (calls++ % 3) {
            case 0:
                return test::answer(503, "");
            case 1:
                return script;
            default:
                script.bytes.resize(script.bytes.size() - 1);
                script.close = true;
                return script;
        }
    });
    Places patient;
    patient.settings_.limits.retry.tries_max = 20;
    const RemotePlace place = patient.at(server.url() + "/");
    const auto found = find_image(place, "a").value();
    CHECK(pull_image(*to.store, found, place, quiet).value().chunks_moved == 5);
    CHECK(test::readable(*to.store, image.digest));
    const auto pushed = push_image(*to.store, {image.digest, "b", {}}, place, quiet);
    REQUIRE_FALSE(pushed.ok());
}

TEST_CASE("a transfer that is cancelled ends and leaves no image") {
    const Places places;
    Node from;
    Node to;
    const auto image = test::deploy_image(*from.store, kShape, 1);
    REQUIRE(push_image(*from.store, {image.digest, "a", {}}, places.folder(), quiet).ok());
    const auto found = find_image(places.folder(), "a").value();
    std::atomic<bool> asked{false};
    const FaultServer server([&](const SeenRequest&) {
        asked = true;
        return Script{.silent = true};
    });
    RemotePlace place = places.at(server.url());
    place.cancelled = [&] { return asked.load(); };
    const auto pulled = pull_image(*to.store, found, place, quiet);
    REQUIRE_FALSE(pulled.ok());
    CHECK(pulled.error().code == ErrorCode::kCancelled);
    CHECK_FALSE(to.store->image_index(image.digest).ok());
}

TEST_CASE("names and addresses of another form are refused") {
    const Places places;
    for (const char* what : {"", "../x", "A", "sha256:12", ".hidden", "a/b"}) {
        CAPTURE(what);
        CHECK(find_image(places.folder(), what).error().code == ErrorCode::kInvalidArgument);
    }
    for (const char* address : {"", "file://relative", "ftp://h/", "s3://", "s3://UPPER/x",
                                "s3://bucket/../x", "/folder", "http://h/?q"}) {
        CAPTURE(address);
        CHECK_FALSE(Objects::open(places.at(address)).ok());
    }
    CHECK(find_image(places.folder(), "absent").error().code == ErrorCode::kNotFound);
}

TEST_CASE("a bucket's requests are signed, and without keys they are not") {
    const FaultServer server([](const SeenRequest&) { return test::answer(404, ""); });
    Places places;
    places.settings_.s3_endpoint = server.url();
    REQUIRE_FALSE(find_image(places.at("s3://bucket/pre/fix"), "small").ok());
    CHECK(server.seen().back().target == "/bucket/pre/fix/names/small.json");
    CHECK(server.seen().back().fields.count("authorization") == 0);
    const RemotePlace keyless = places.at("s3://bucket");
    const Environment keys = [](const char* name) {
        return std::string_view(name).starts_with("AWS_") ? std::string("key") : std::string();
    };
    RemoteSettings settings = places.settings_;
    const RemotePlace signing{"s3://bucket", SourceContext{settings, keys, keyless.context.clock},
                              nullptr};
    REQUIRE_FALSE(find_image(signing, "small").ok());
    CHECK(server.seen().back().fields.at("authorization").starts_with("AWS4-HMAC-SHA256 "));
}

TEST_CASE("hub addresses become those of the hub, with its token") {
    RemoteSettings settings;
    settings.hub_url = "http://hub.test/base/";
    const Environment environment = [](const char* name) {
        return std::string_view(name) == "HF_TOKEN" ? std::string("hf_secret") : std::string();
    };
    const ManualClock clock;
    const SourceContext context{settings, environment, clock};
    const auto source = resolve_source("hf://org/model@v1.0/q4/m.gguf", context).value();
    CHECK(source.url.shown() == "http://hub.test/base/org/model/resolve/v1.0/q4/m.gguf");
    CHECK(source.credentials({}).front().second == "Bearer hf_secret");
    CHECK(resolve_source("hf://org/model/m.gguf", context).value().url.target ==
          "/base/org/model/resolve/main/m.gguf");
    for (const char* bad : {"hf://", "hf://org", "hf://org/model", "hf://org/model/", "hf://org//m",
                            "hf://org/model@/m.gguf", "hf://org/../m", "hf:///a/b"}) {
        CAPTURE(bad);
        CHECK_FALSE(resolve_source(bad, context).ok());
    }
}

TEST_CASE("keys of a file are read anew, and what is no key is named without being shown") {
    const test::TempFolder folder;
    const std::string path = folder.path() + "/credentials";
    RemoteSettings settings;
    settings.s3_credentials_file = path;
    const Environment nothing = [](const char*) { return std::string(); };
    CHECK(s3_access(settings, nothing).error().code == ErrorCode::kNotFound);
    std::ofstream(path) << "[default]\naws_access_key_id = AK\naws_secret_access_key=SE/+\n";
    const auto access = s3_access(settings, nothing).value();
    CHECK(access.credentials.access_key == "AK");
    CHECK(access.credentials.secret_key == "SE/+");
    CHECK(access.region == "us-east-1");
    std::ofstream(path) << "aws_secret_access_key=hidden\n";
    const auto refused = s3_access(settings, nothing);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message.find("hidden") == std::string::npos);
}
