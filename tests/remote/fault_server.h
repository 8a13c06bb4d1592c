// A web server on a free loopback port that answers as a test tells it: whole, cut, silent, or with
// garbage. Threading: `answer` is called on the server's threads, one at a time.
#pragma once
#include "base/unique_fd.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace rekindle::test {

struct SeenRequest {
    std::string method;
    std::string target;
    std::map<std::string, std::string> fields;  // Names in lower case.
    std::string body;
};

struct Script {
    std::string bytes;    // Sent as they are.
    bool close = false;   // After them.
    bool silent = false;  // After them nothing comes, until the client leaves.
};

// A whole answer; `fields` are lines with their ends.
Script answer(int status, const std::string& body, const std::string& fields);
Script answer(int status, const std::string& body);

class FaultServer {
public:
    using Plan = std::function<Script(const SeenRequest& request)>;

    explicit FaultServer(Plan plan);
    FaultServer(const FaultServer&) = delete;
    FaultServer& operator=(const FaultServer&) = delete;
    ~FaultServer();

    std::string url() const;
    uint16_t port() const noexcept { return port_; }
    std::vector<SeenRequest> seen() const;
    size_t connections() const noexcept { return connections_; }

private:
    void accept_all();
    void serve(int fd);

    Plan plan_;
    UniqueFd listener_;
    UniqueFd stop_;  // An eventfd: readable when the server ends.
    uint16_t port_ = 0;
    std::atomic<size_t> connections_{0};
    mutable std::mutex mutex_;
    std::vector<SeenRequest> seen_;
    std::list<std::jthread> threads_;
    std::jthread acceptor_;
};

}  // namespace rekindle::test
