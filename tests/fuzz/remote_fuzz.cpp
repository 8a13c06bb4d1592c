// What a remote place can make rekindled parse beside image indexes: addresses, redirects and name
// records, over arbitrary bytes.
#include "base/check.h"
#include "loader/remote/remote_image.h"
#include "loader/remote/url.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

using namespace rekindle;  // NOLINT(google-build-using-namespace): a fuzz target.

void check_url(std::string_view text) {
    const auto url = remote::parse_url(text);
    if (!url) {
        return;
    }
    REKINDLE_CHECK(url->port != 0 && !url->host.empty(), "an address leads to a host");
    REKINDLE_CHECK(url->target.starts_with('/'), "a target begins with a slash");
    REKINDLE_CHECK(url->target.find_first_of("\r\n #") == std::string::npos,
                   "a target stays on its line");
    const auto again = remote::parse_url(url->origin() + url->target);
    REKINDLE_CHECK(again.ok() && again->same_origin(*url) && again->target == url->target,
                   "an address written out is the same address");
}

void check_redirect(std::string_view location) {
    const remote::Url from = remote::parse_url("https://host.test/a/b?q").value();
    const auto url = remote::resolve_redirect(from, location);
    REKINDLE_CHECK(!url || url->secure, "https never becomes http");
}

void check_name(std::string_view text) {
    const auto record = remote::parse_name_record(text);
    if (!record) {
        return;
    }
    const remote::PushOrder order{
        .image = record->digest, .name = {}, .manifest = record->manifest};
    const auto again = remote::parse_name_record(remote::name_record(order));
    REKINDLE_CHECK(again.ok() && again->digest == record->digest, "a record written is read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
    const std::string_view text(reinterpret_cast<const char*>(data), bytes);
    check_url(text);
    check_redirect(text);
    check_name(text);
    return 0;
}
