#include "cli/pass_descriptor.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <sys/uio.h>

namespace rekindle::cli {

Result<UniqueFd> connect_and_pass(const sockaddr& address, socklen_t address_bytes, char first,
                                  int descriptor) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.valid()) {
        return errno_error("socket", errno);
    }
    if (connect(socket.get(), &address, address_bytes) != 0) {
        return Error{ErrorCode::kUnavailable,
                     errno_error("connect to the daemon's Unix socket", errno).message};
    }
    iovec bytes{&first, 1};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    if (sendmsg(socket.get(), &message, MSG_NOSIGNAL) != 1) {
        return errno_error("pass the model file to the daemon", errno);
    }
    return socket;
}

}  // namespace rekindle::cli
