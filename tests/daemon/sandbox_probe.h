// What sandbox_test and the process that it starts agree on.
#pragma once

namespace rekindle::test {

inline constexpr int kProbeSocketFd = 3;  // Kept: a socket, or the importer's source.
inline constexpr int kProbeStrayFd = 7;   // Not kept.

inline constexpr int kAllowed = 10;
inline constexpr int kDenied = 11;
inline constexpr int kRefused = 12;
inline constexpr int kUnknown = 13;

}  // namespace rekindle::test
