#include "loader/remote/arriving_images.h"

#include "base/hash.h"
#include "base/units.h"
#include "loader/remote/detail/arrival.h"
#include "loader/remote/detail/arrival_files.h"
#include "tests/loader/temp_store.h"
#include "tests/remote/fault_server.h"

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

using namespace rekindle;          // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::remote;  // NOLINT(google-build-using-namespace): a test.
using test::FaultServer;
using test::Script;
using test::SeenRequest;

namespace {

const test::ImageShape kShape{.chunk_bytes = {64 * kKiB, 128 * kKiB, 4096, 256 * kKiB, 8192},
                              .compress_first = true};

std::string read_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

// Several chunks that somebody waits for.
class Waiting {
public:
    // Of how many chunks something is told.
    explicit Waiting(size_t chunks) : left_(chunks) {}

    loader::ArrivingImage::OnChunk callback() {
        return [this, done = done_](const loader::ImageChunk& chunk,
                                    Result<std::span<const std::byte>> bytes) {
            const bool right = bytes && sha256(*bytes) == chunk.id.digest;
            REKINDLE_CHECK(right || !bytes, "no wrong byte is ever handed over");
            right_ += right ? 1 : 0;
            if (!bytes) {
                const std::lock_guard lock(mutex_);
                errors_.push_back(bytes.error());
            }
            if (--left_ == 0) {
                done->set_value();  // `this` may be gone from here on.
            }
        };
    }

    void wait() { done_->get_future().wait(); }

    size_t right() const { return right_; }

    const std::vector<Error>& errors() const { return errors_; }

private:
    std::atomic<size_t> left_;
    std::atomic<size_t> right_{0};
    std::mutex mutex_;
    std::vector<Error> errors_;
    // Shared with what is still inside of set_value().
    std::shared_ptr<std::promise<void>> done_ = std::make_shared<std::promise<void>>();
};

// A place that has one image, and a node that has nothing.
struct Fixture {
    Fixture() {
        settings.connections = 2;
        settings.limits.retry = {.tries_max = 2,
                                 .pause_first = std::chrono::milliseconds(1),
                                 .pause_max = std::chrono::milliseconds(1)};
        const auto from = test::open_store(folder.path() + "/from");
        image = test::deploy_image(*from, kShape, 1);
        const RemotePlace place{"file://" + place_path(), context(), nullptr};
        const auto pushed = push_image(*from, {.image = image.digest, .name = "a", .manifest = {}},
                                       place, [](uint64_t, uint64_t) {});
        REQUIRE(pushed.ok());
        open();
    }

    SourceContext context() const { return {settings, environment, clock}; }

    std::string place_path() const { return folder.path() + "/place"; }

    std::string arriving_path() const { return folder.path() + "/arriving"; }

    void open() {
        arriving = ArrivingImages::open(
            {.store = *store, .folder = arriving_path(), .context = context(), .pauses = {}});
    }

    void add(const std::string& address) {
        const RemoteImage found{
            .digest = image.digest, .index_json = image.index_json, .manifest = {}};
        REQUIRE(arriving->add(found, address).ok());
    }

    // Without a limit of its own: CTest has one.
    void wait_until_here() const {
        while (arriving->progress(image.digest)) {
            std::this_thread::yield();
        }
    }

    Script show(const SeenRequest& request) const {
        const std::string path = place_path() + request.target;
        return std::filesystem::is_regular_file(path) ? test::answer(200, read_text(path))
                                                      : test::answer(404, "");
    }

    size_t files() const {
        if (!std::filesystem::exists(arriving_path())) {
            return 0;
        }
        return static_cast<size_t>(
            std::distance(std::filesystem::directory_iterator(arriving_path()), {}));
    }

    test::TempFolder folder;
    RemoteSettings settings;
    Environment environment = [](const char*) { return std::string(); };
    ManualClock clock;
    test::TestImage image;
    std::unique_ptr<loader::ChunkStore> store = test::open_store(folder.path() + "/to");
    std::unique_ptr<ArrivingImages> arriving;
};

}  // namespace

TEST_CASE("an image arrives behind, and is then one of the store's") {
    Fixture f;
    f.add("file://" + f.place_path());
    f.wait_until_here();
    CHECK(test::readable(*f.store, f.image.digest));
    CHECK(f.arriving->find(f.image.digest) == nullptr);
    CHECK(f.files() == 0);
    f.add("file:///nowhere");  // It is here already.
    CHECK(f.arriving->find(f.image.digest) == nullptr);
}

TEST_CASE("who waits for chunks gets their bytes, also when the image has arrived meanwhile") {
    Fixture f;
    f.add("file://" + f.place_path());
    const auto image = f.arriving->find(f.image.digest);
    REQUIRE(image != nullptr);
    CHECK(image->index_json() == f.image.index_json);
    for (int round = 0; round < 2; ++round) {
        Waiting waiting(f.image.chunks.size());
        image->want(f.image.chunks, waiting.callback());
        waiting.wait();
        CHECK(waiting.right() == f.image.chunks.size());
        f.wait_until_here();
    }
}

TEST_CASE("after a chunk that can't be had everybody is told why, and the next try goes on") {
    Fixture f;
    f.settings.connections = 1;  // A second one may still fail when the next try has begun.
    std::atomic<bool> refusing{true};
    std::atomic<int> chunks{0};
    const FaultServer server([&](const SeenRequest& request) {
        const bool refused = refusing && ++chunks > 2;
        return refused ? test::answer(404, "") : f.show(request);
    });
    f.add(server.url());
    const auto image = f.arriving->find(f.image.digest);
    {
        Waiting waiting(f.image.chunks.size());
        image->want(f.image.chunks, waiting.callback());
        waiting.wait();
        REQUIRE(waiting.errors().size() >= 3);
        CHECK(waiting.errors().front().code == ErrorCode::kNotFound);
        CHECK(waiting.errors().front().message.find(server.url()) != std::string::npos);
    }
    const auto progress = f.arriving->progress(f.image.digest);
    REQUIRE(progress.has_value());
    CHECK(progress->remote == server.url());
    CHECK(progress->problem.find("no such object") != std::string::npos);
    refusing = false;
    Waiting again(f.image.chunks.size());
    image->want(f.image.chunks, again.callback());
    again.wait();
    CHECK(again.right() == f.image.chunks.size());
    f.wait_until_here();
    CHECK(test::readable(*f.store, f.image.digest));
}

TEST_CASE("bytes that are not the chunk's reach neither who waits nor the store") {
    Fixture f;
    const FaultServer server([&](const SeenRequest& request) {
        Script script = f.show(request);
        script.bytes.back() = static_cast<char>(script.bytes.back() ^ 1);
        return script;
    });
    f.add(server.url());
    Waiting waiting(f.image.chunks.size());
    f.arriving->find(f.image.digest)->want(f.image.chunks, waiting.callback());
    waiting.wait();
    CHECK(waiting.right() == 0);
    CHECK(waiting.errors().front().code == ErrorCode::kCorrupt);
    CHECK(f.store->stored_bytes() == 0);
    CHECK_FALSE(f.store->image_index(f.image.digest).ok());
}

TEST_CASE("the next process goes on with what is missing") {
    Fixture f;
    std::atomic<bool> refusing{true};
    std::atomic<int> chunks{0};
    std::atomic<int> given{0};
    const FaultServer server([&](const SeenRequest& request) {
        const bool refused = refusing && ++chunks > 2;
        given += refused ? 0 : 1;
        return refused ? test::answer(404, "") : f.show(request);
    });
    f.add(server.url());
    Waiting waiting(f.image.chunks.size());
    f.arriving->find(f.image.digest)->want(f.image.chunks, waiting.callback());
    waiting.wait();
    f.arriving->stop();
    f.arriving.reset();
    CHECK(f.files() == 1);
    refusing = false;
    f.open();
    f.wait_until_here();
    CHECK(given == 5);  // None twice.
    CHECK(test::readable(*f.store, f.image.digest));
    CHECK(f.files() == 0);
}

TEST_CASE("chunks of an image on its way are kept from a collection") {
    Fixture f;
    const FaultServer server([](const SeenRequest&) { return Script{.silent = true}; });
    f.add(server.url());
    REQUIRE(f.store
                ->put(f.image.bytes.size() > 0
                          ? std::span<const std::byte>(f.image.bytes).first(f.image.chunks[0].bytes)
                          : std::span<const std::byte>(),
                      true)
                .ok());
    const auto other =
        test::deploy_image(*f.store, kShape, 2);  // What was put last is kept anyway.
    const loader::ChunkId first = f.image.chunks[0].id;
    REQUIRE(f.store->collect().ok());
    CHECK(f.store->locate(first).ok());
    CHECK(f.store->garbage({}).value().chunks == 0);
    CHECK(f.arriving->forget(f.image.digest));
    CHECK(f.store->garbage({}).value().chunks == 1);
    REQUIRE(f.store->collect().ok());
    CHECK_FALSE(f.store->locate(first).ok());
}

TEST_CASE("who waits for an image that is forgotten, or for a node that stops, is told") {
    for (const bool stops : {false, true}) {
        Fixture f;
        std::promise<void> asked;
        std::atomic<bool> first{true};
        const FaultServer server([&](const SeenRequest&) {
            if (first.exchange(false)) {
                asked.set_value();
            }
            return Script{.silent = true};
        });
        f.add(server.url());
        Waiting waiting(f.image.chunks.size());
        f.arriving->find(f.image.digest)->want(f.image.chunks, waiting.callback());
        asked.get_future().wait();
        if (stops) {
            f.arriving->stop();
        } else {
            CHECK(f.arriving->forget(f.image.digest));
            CHECK_FALSE(f.arriving->forget(f.image.digest));
        }
        waiting.wait();
        CHECK(waiting.errors().size() == f.image.chunks.size());
        CHECK(waiting.errors().front().code == ErrorCode::kCancelled);
        CHECK(f.files() == (stops ? 1 : 0));
    }
}

TEST_CASE("a file of what is on its way that is damaged is left alone") {
    Fixture f;
    std::filesystem::create_directories(f.arriving_path());
    const ArrivalRecord record{
        .digest = f.image.digest, .remote = "file:///x", .index_json = f.image.index_json};
    const auto again = parse_arrival(arrival_text(record));
    REQUIRE(again.ok());
    CHECK(again->digest == record.digest);
    CHECK(again->index_json == record.index_json);
    for (const char* bad :
         {"", "{}", "{\"rekindle_arrival\":2,\"index\":\"{}\",\"remote\":\"x\"}"}) {
        CHECK_FALSE(parse_arrival(bad).ok());
    }
    std::ofstream(f.arriving_path() + "/" + std::string(64, '0') + ".json") << arrival_text(record);
    std::ofstream(f.arriving_path() + "/half.json.new") << "{";
    f.open();
    CHECK(f.arriving->find(f.image.digest) == nullptr);
    CHECK(f.files() == 1);
}

TEST_CASE("what somebody waits for is taken before the rest, each chunk by one") {
    std::vector<loader::ImageChunk> chunks(4);
    for (size_t i = 0; i < chunks.size(); ++i) {
        chunks[i].id.digest[0] = static_cast<std::byte>(i);
        chunks[i].bytes = 10;
    }
    Arrival arrival(chunks);
    const auto nobody = [](const loader::ImageChunk&, const Result<std::span<const std::byte>>&) {};
    CHECK_FALSE(arrival.take_wanted());
    CHECK(arrival.take_missing() == 0);
    arrival.want({chunks[3], chunks[2]}, nobody);
    arrival.want({chunks[2]}, nobody);
    CHECK(arrival.take_wanted() == 2);
    CHECK(arrival.take_wanted() == 3);
    CHECK_FALSE(arrival.take_wanted());
    CHECK(arrival.take_missing() == 1);
    CHECK_FALSE(arrival.take_missing());
    CHECK(arrival.take_waiters(2).size() == 2);
    arrival.put_back(2, true);
    CHECK(arrival.wanted());
    CHECK(arrival.take_all_waiters(3).size() == 1);
    CHECK_FALSE(arrival.wanted());
    arrival.put_back(3, false);
    CHECK(arrival.take_missing() == 3);
    CHECK(arrival.bytes_here() == 10);
    CHECK(arrival.bytes() == 40);
    CHECK_FALSE(arrival.complete());
}
