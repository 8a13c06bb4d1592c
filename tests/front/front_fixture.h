// A front on free ports with a fake node behind it, and a blocking client that sends exact bytes.
#pragma once
#include "base/async/io_thread.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log_ring.h"
#include "base/random.h"
#include "base/unique_fd.h"
#include "daemon/http_front.h"
#include "daemon/key_store.h"
#include "tests/front/fake_node.h"
#include "tests/front/fake_upkeep.h"

#include <boost/json/parse.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::daemon {

struct Answer {
    int status = 0;  // 0: the connection ended without an answer.
    std::string head;
    std::string body;  // Chunks joined.
    bool complete = false;

    // Value of a header field, empty when there is none.
    std::string field(std::string_view name) const;

    json::value json() const { return json::parse(body); }

    // error.code of an error body.
    std::string error_code() const;
    std::string error_param() const;
};

class TestClient {
public:
    static TestClient tcp(uint16_t port);
    static TestClient unix_socket(const std::string& path);

    void send(std::string_view bytes);
    // With the descriptor on the first byte.
    void send_with_descriptor(std::string_view bytes, int descriptor);
    Answer read_answer();
    // As above, but status 0 when nothing has come after a while.
    Answer try_read_answer(std::chrono::milliseconds wait);
    // Of an answer to HEAD.
    Answer read_head();
    // Until the stream holds `text`; what was read, or everything at the connection's end.
    std::string read_until(std::string_view text);
    // Everything up to the connection's end.
    std::string read_all();
    void shut_write();

    void close() { socket_.reset(); }

    // Closes so that the other side sees a reset.
    void reset();

private:
    explicit TestClient(UniqueFd socket);
    bool fill();
    std::string take_chunks(bool& complete);

    UniqueFd socket_;
    std::string buffer_;
};

// Limits that tests of time-outs need; all others stay long.
HttpLimits patient_limits();

class FrontFixture {
public:
    explicit FrontFixture(const HttpLimits& limits = patient_limits(),
                          std::string listen = "127.0.0.1:0");
    ~FrontFixture();
    FrontFixture(const FrontFixture&) = delete;
    FrontFixture& operator=(const FrontFixture&) = delete;

    TestClient client() const { return TestClient::tcp(port); }

    TestClient admin() const { return TestClient::unix_socket(unix_path); }

    // A key's text, made on the front's thread.
    std::string make_key(const KeySpec& spec);
    // One request on a connection of its own.
    Answer get(const std::string& path);
    Answer post(const std::string& path, const std::string& body);
    // Ends the front and waits for it; of several calls the first one's deadline counts.
    void stop(std::chrono::milliseconds deadline);
    // stop() is under way when this returns.
    void begin_stop(std::chrono::milliseconds deadline);

    IoThread io{"front_test"};
    ManualClock clock;
    SeededEntropy entropy{7};
    std::unique_ptr<KeyStore> keys;
    LogRing logs{clock};
    std::unique_ptr<FakeNode> node;
    FakeUpkeep upkeep;
    std::unique_ptr<HttpFront> front;
    std::string folder;
    std::string unix_path;
    uint16_t port = 0;

private:
    struct Stopping;
    std::shared_ptr<Stopping> stopping_;
};

std::string get_request(const std::string& path);
std::string post_request(const std::string& path, const std::string& body);

inline constexpr const char* kChatBody =
    R"({"model":"smol","messages":[{"role":"user","content":"hi"}]})";
inline constexpr const char* kChatStreamBody =
    R"({"model":"smol","messages":[{"role":"user","content":"hi"}],"stream":true})";

}  // namespace rekindle::daemon
