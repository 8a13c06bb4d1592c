#include "base/version.h"

namespace rekindle {

std::string_view version() noexcept {
    return REKINDLE_VERSION;
}

}  // namespace rekindle
