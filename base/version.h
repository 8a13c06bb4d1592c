// The version that --version, /v1/models and image records show.
#pragma once
#include <string_view>

namespace rekindle {

std::string_view version() noexcept;

}  // namespace rekindle
