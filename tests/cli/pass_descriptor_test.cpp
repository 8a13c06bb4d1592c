#include "cli/pass_descriptor.h"

#include "cli/interrupts.h"
#include "cli/model_file.h"

#include <doctest/doctest.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rekindle::cli {

namespace {

class TempFolder {
public:
    TempFolder() {
        std::string pattern = std::filesystem::temp_directory_path() / "rekindle_cli_XXXXXX";
        path_ = mkdtemp(pattern.data());
    }

    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;

    ~TempFolder() { std::filesystem::remove_all(path_); }

    std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

// One byte and the descriptor that came with it.
UniqueFd receive_descriptor(int socket, char& byte) {
    iovec bytes{&byte, 1};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    REQUIRE(recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1);
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    REQUIRE(header != nullptr);
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
    return UniqueFd(descriptor);
}

}  // namespace

TEST_CASE("the model file's descriptor arrives with the first byte of the request") {
    const TempFolder folder;
    std::ofstream(folder.file("model")) << "GGUF";
    const auto model = open_model_file(folder.file("model"));
    REQUIRE(model);
    std::array<int, 2> ends{};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    const UniqueFd client(ends[0]);
    const UniqueFd server(ends[1]);

    REQUIRE(send_with_descriptor(client.get(), 'P', model->fd.get()));

    char first = 0;
    const UniqueFd received = receive_descriptor(server.get(), first);
    CHECK(first == 'P');
    std::array<char, 4> content{};
    CHECK(pread(received.get(), content.data(), content.size(), 0) == 4);
    CHECK(std::string(content.begin(), content.end()) == "GGUF");
}

TEST_CASE("a descriptor cannot be passed to one who left") {
    std::array<int, 2> ends{};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    const UniqueFd client(ends[0]);
    UniqueFd(ends[1]).reset();
    const auto passed = send_with_descriptor(client.get(), 'P', STDIN_FILENO);
    REQUIRE_FALSE(passed);
    CHECK(passed.error().code == ErrorCode::kIo);
}

TEST_CASE("a model file is a regular file that can be read") {
    const TempFolder folder;
    CHECK(open_model_file(folder.file("none")).error().code == ErrorCode::kNotFound);
    CHECK(open_model_file(folder.file("")).error().message.find("folder") != std::string::npos);
    REQUIRE(mkfifo(folder.file("pipe").c_str(), 0600) == 0);
    CHECK(open_model_file(folder.file("pipe")).error().message.find("regular") !=
          std::string::npos);
    std::ofstream(folder.file("model")) << "12345";
    const auto model = open_model_file(folder.file("model"));
    REQUIRE(model);
    CHECK(model->bytes == 5);
}

TEST_CASE("Ctrl-C is taken once and does not end the program") {
    auto interrupts = Interrupts::open();
    REQUIRE(interrupts);
    CHECK_FALSE(interrupts->take());
    raise(SIGINT);
    CHECK(interrupts->take());
    CHECK_FALSE(interrupts->take());
}

}  // namespace rekindle::cli
