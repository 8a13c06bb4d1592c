#include "tests/remote/fault_server.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cctype>
#include <netinet/in.h>
#include <optional>
#include <poll.h>
#include <span>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace rekindle::test {
namespace {

// False when the server ends first.
bool wait_readable(int fd, int stop) {
    std::array<pollfd, 2> waiting{{{fd, POLLIN, 0}, {stop, POLLIN, 0}}};
    while (::poll(waiting.data(), waiting.size(), -1) < 0) {
    }
    return waiting[1].revents == 0;
}

SeenRequest parse(const std::string& head) {
    SeenRequest request;
    const size_t first = head.find(' ');
    const size_t second = head.find(' ', first + 1);
    request.method = head.substr(0, first);
    request.target = head.substr(first + 1, second - first - 1);
    size_t at = head.find("\r\n") + 2;
    while (at < head.size()) {
        const size_t end = head.find("\r\n", at);
        const size_t colon = head.find(": ", at);
        if (colon < end) {
            std::string name = head.substr(at, colon - at);
            std::transform(name.begin(), name.end(), name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
            request.fields[name] = head.substr(colon + 2, end - colon - 2);
        }
        at = end + 2;
    }
    return request;
}

// The next request on a connection; nothing when it or the server ends.
std::optional<SeenRequest> read_request(int fd, int stop, std::string& input) {
    std::array<char, 65536> block{};
    size_t wanted = std::string::npos;
    std::optional<SeenRequest> request;
    while (true) {
        const size_t end = input.find("\r\n\r\n");
        if (!request && end != std::string::npos) {
            request = parse(input.substr(0, end + 2));
            const auto length = request->fields.find("content-length");
            wanted = end + 4 + (length == request->fields.end() ? 0 : std::stoul(length->second));
        }
        if (request && input.size() >= wanted) {
            request->body = input.substr(end + 4, wanted - end - 4);
            input.erase(0, wanted);
            return request;
        }
        if (!wait_readable(fd, stop)) {
            return std::nullopt;
        }
        const ssize_t got = ::read(fd, block.data(), block.size());
        if (got <= 0) {
            return std::nullopt;
        }
        input.append(block.data(), static_cast<size_t>(got));
    }
}

}  // namespace

Script answer(int status, const std::string& body, const std::string& fields) {
    return {.bytes = fmt::format("HTTP/1.1 {} Said\r\nContent-Length: {}\r\n{}\r\n{}", status,
                                 body.size(), fields, body)};
}

Script answer(int status, const std::string& body) {
    return answer(status, body, "");
}

FaultServer::FaultServer(Plan plan) : plan_(std::move(plan)) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    REKINDLE_CHECK(::bind(listener_.get(), plain, size) == 0, "bind");
    REKINDLE_CHECK(::listen(listener_.get(), 64) == 0, "listen");
    REKINDLE_CHECK(::getsockname(listener_.get(), plain, &size) == 0, "getsockname");
    port_ = ntohs(address.sin_port);
    acceptor_ = std::jthread([this] { accept_all(); });
}

FaultServer::~FaultServer() {
    REKINDLE_CHECK(::eventfd_write(stop_.get(), 1) == 0, "eventfd");
    acceptor_.join();
    threads_.clear();
}

std::string FaultServer::url() const {
    return fmt::format("http://127.0.0.1:{}", port_);
}

std::vector<SeenRequest> FaultServer::seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
}

void FaultServer::accept_all() {
    while (wait_readable(listener_.get(), stop_.get())) {
        const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) {
            ++connections_;
            threads_.emplace_back([this, fd] { serve(fd); });
        }
    }
}

void FaultServer::serve(int fd) {
    const UniqueFd owned(fd);
    std::string input;
    while (auto request = read_request(fd, stop_.get(), input)) {
        Script script;
        {
            const std::lock_guard lock(mutex_);
            seen_.push_back(*request);
            script = plan_(*request);
        }
        size_t sent = 0;
        while (sent < script.bytes.size()) {
            const ssize_t wrote =
                ::send(fd, script.bytes.data() + sent, script.bytes.size() - sent, MSG_NOSIGNAL);
            if (wrote <= 0) {
                return;
            }
            sent += static_cast<size_t>(wrote);
        }
        if (script.silent) {
            static_cast<void>(wait_readable(fd, stop_.get()));
            return;
        }
        if (script.close) {
            return;
        }
    }
}

}  // namespace rekindle::test
