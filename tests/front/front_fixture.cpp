#include "tests/front/front_fixture.h"

#include "base/async/spawn.h"
#include "base/check.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr timeval kPatience{.tv_sec = 30, .tv_usec = 0};

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

std::string error_member(const Answer& answer, const char* key) {
    const json::value value = answer.json();
    const json::value& member = value.at("error").at(key);
    return member.is_string() ? std::string(member.get_string()) : "null";
}

}  // namespace

std::string Answer::field(std::string_view name) const {
    const std::string wanted = "\r\n" + lower(name) + ": ";
    const size_t at = lower(head).find(wanted);
    if (at == std::string::npos) {
        return {};
    }
    const size_t begin = at + wanted.size();
    return head.substr(begin, head.find("\r\n", begin) - begin);
}

std::string Answer::error_code() const {
    return error_member(*this, "code");
}

std::string Answer::error_param() const {
    return error_member(*this, "param");
}

TestClient::TestClient(UniqueFd socket) : socket_(std::move(socket)) {
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
}

TestClient TestClient::tcp(uint16_t port) {
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int connected =
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    REKINDLE_CHECK(connected == 0, "the front listens");
    return TestClient(std::move(socket));
}

TestClient TestClient::unix_socket(const std::string& path) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REKINDLE_CHECK(path.size() < sizeof(address.sun_path), "a short path");
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int connected =
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    REKINDLE_CHECK(connected == 0, "the front listens");
    return TestClient(std::move(socket));
}

void TestClient::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) {
            return;  // The front may have closed already; the answer is what counts.
        }
        bytes.remove_prefix(static_cast<size_t>(sent));
    }
}

void TestClient::send_with_descriptor(std::string_view bytes, int descriptor) {
    char first = bytes.front();
    iovec part{&first, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    REKINDLE_CHECK(::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) == 1, "one byte is sent");
    send(bytes.substr(1));
}

bool TestClient::fill() {
    std::array<char, 65536> bytes{};
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (got <= 0) {
        return false;
    }
    buffer_.append(bytes.data(), static_cast<size_t>(got));
    return true;
}

Answer TestClient::read_head() {
    Answer answer;
    size_t end = std::string::npos;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
        if (!fill()) {
            return answer;
        }
    }
    answer.head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    answer.status = std::atoi(answer.head.c_str() + std::strlen("HTTP/1.1 "));
    answer.complete = true;
    return answer;
}

Answer TestClient::read_answer() {
    Answer answer = read_head();
    if (answer.status == 0 || answer.status == 100) {
        return answer;
    }
    if (answer.field("transfer-encoding") == "chunked") {
        answer.body = take_chunks(answer.complete);
        return answer;
    }
    const size_t length = static_cast<size_t>(std::atoll(answer.field("content-length").c_str()));
    while (buffer_.size() < length) {
        if (!fill()) {
            answer.complete = false;
            break;
        }
    }
    answer.body = buffer_.substr(0, length);
    buffer_.erase(0, std::min(length, buffer_.size()));
    return answer;
}

Answer TestClient::try_read_answer(std::chrono::milliseconds wait) {
    pollfd ready{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, static_cast<int>(wait.count())) == 1 ? read_answer() : Answer{};
}

std::string TestClient::take_chunks(bool& complete) {
    std::string body;
    while (true) {
        size_t line = std::string::npos;
        while ((line = buffer_.find("\r\n")) == std::string::npos) {
            if (!fill()) {
                complete = false;
                return body;
            }
        }
        const size_t bytes = std::strtoul(buffer_.c_str(), nullptr, 16);
        while (buffer_.size() < line + 2 + bytes + 2) {
            if (!fill()) {
                complete = false;
                return body + buffer_.substr(line + 2);
            }
        }
        body += buffer_.substr(line + 2, bytes);
        buffer_.erase(0, line + 2 + bytes + 2);
        if (bytes == 0) {
            return body;
        }
    }
}

std::string TestClient::read_until(std::string_view text) {
    while (buffer_.find(text) == std::string::npos) {
        if (!fill()) {
            break;
        }
    }
    return std::exchange(buffer_, {});
}

std::string TestClient::read_all() {
    while (fill()) {
    }
    return std::exchange(buffer_, {});
}

void TestClient::shut_write() {
    ::shutdown(socket_.get(), SHUT_WR);
}

void TestClient::reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    socket_.reset();
}

HttpLimits patient_limits() {
    HttpLimits limits;
    limits.heartbeat = std::chrono::minutes(10);
    limits.linger = std::chrono::seconds(5);
    return limits;
}

struct FrontFixture::Stopping {
    explicit Stopping(asio::io_context& context) : gate(context) {}

    Gate gate;
    std::promise<void> done;
    std::shared_future<void> ended = done.get_future().share();
};

namespace {

Task<> stop_front(HttpFront* front, std::chrono::milliseconds deadline, std::promise<void>* done) {
    co_await front->stop(deadline);
    done->set_value();
}

}  // namespace

FrontFixture::FrontFixture(const HttpLimits& limits, std::string listen) {
    char name[] = "/tmp/rekindle_front_XXXXXX";
    folder = ::mkdtemp(name);
    unix_path = folder + "/admin.sock";
    node = std::make_unique<FakeNode>(io.context());
    auto opened = KeyStore::open(folder + "/keys", clock, entropy);
    REKINDLE_CHECK(opened.ok(), "a folder without keys opens");
    keys = std::make_unique<KeyStore>(std::move(opened).value());
    FrontOptions options{.keys = *keys,
                         .listen = std::move(listen),
                         .unix_path = unix_path,
                         .backup = [](BackupOptions) -> Result<std::unique_ptr<BackupStream>> {
                             return Error{ErrorCode::kUnsupported, "there is nothing to save"};
                         },
                         .upkeep = &upkeep,
                         .limits = limits,
                         .logs = &logs};
    front = std::make_unique<HttpFront>(io.context(), *node, clock, entropy, std::move(options));
    std::promise<Result<uint16_t>> started;
    asio::post(io.context(), [&] { started.set_value(front->start()); });
    auto bound = started.get_future().get();
    REKINDLE_CHECK(bound.ok(), "a free port is found");
    port = *bound;
}

FrontFixture::~FrontFixture() {
    stop(std::chrono::milliseconds(0));
    io.request_stop();
    io.join();
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
}

std::string FrontFixture::make_key(const KeySpec& spec) {
    std::promise<std::string> made;
    asio::post(io.context(), [&] {
        auto key = keys->create(spec);
        made.set_value(key ? key->text : key.error().message);
    });
    return made.get_future().get();
}

void FrontFixture::begin_stop(std::chrono::milliseconds deadline) {
    if (stopping_ != nullptr) {
        return;
    }
    stopping_ = std::make_shared<Stopping>(io.context());
    asio::post(io.context(), [this, deadline] {
        auto stopping = stop_front(front.get(), deadline, &stopping_->done);
        static_cast<void>(spawn(io.context(), "stop", stopping_->gate, std::move(stopping)));
    });
}

void FrontFixture::stop(std::chrono::milliseconds deadline) {
    begin_stop(deadline);
    stopping_->ended.wait();
}

std::string get_request(const std::string& path) {
    return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
}

std::string post_request(const std::string& path, const std::string& body) {
    return fmt::format(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\n\r\n{}",
        path, body.size(), body);
}

Answer FrontFixture::get(const std::string& path) {
    TestClient one = client();
    one.send(get_request(path));
    return one.read_answer();
}

Answer FrontFixture::post(const std::string& path, const std::string& body) {
    TestClient one = client();
    one.send(post_request(path, body));
    return one.read_answer();
}

}  // namespace rekindle::daemon
