// Landlock by raw system calls: the C library and the kernel headers of Debian 12 know only the
// first versions of it.
#pragma once

namespace rekindle::daemon {

// Takes every right to files, TCP ports, abstract sockets and foreign signals that this kernel can
// take, for good. False when the kernel has no Landlock. Needs no_new_privs.
bool enter_landlock() noexcept;

}  // namespace rekindle::daemon
