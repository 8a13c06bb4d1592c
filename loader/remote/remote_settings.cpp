#include "loader/remote/remote_settings.h"

#include "base/unique_fd.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <utility>

namespace rekindle::remote {
namespace {

constexpr uint64_t kSecretFileBytesMax = 64ULL << 10;
constexpr size_t kBucketBytesMin = 3;
constexpr size_t kBucketBytesMax = 63;
constexpr size_t kKeyBytesMax = 1024;

Result<std::string> read_secret_file(const std::string& path, std::string_view option) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
        return errno_error(fmt::format("{}: {}", option, path), errno);
    }
    const auto bytes = file_bytes(fd.get());
    if (!bytes || *bytes > kSecretFileBytesMax) {
        return Error{ErrorCode::kInvalidArgument, fmt::format("{}: {} is longer than {} bytes",
                                                              option, path, kSecretFileBytesMax)};
    }
    std::string text(*bytes, '\0');
    const auto read = read_exact_at(fd.get(), std::as_writable_bytes(std::span(text)), 0);
    if (!read) {
        return read.error().with_context(option);
    }
    return text;
}

std::string_view trimmed(std::string_view text) noexcept {
    constexpr std::string_view kBlank = " \t\r\n";
    const size_t first = text.find_first_not_of(kBlank);
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// A secret goes into a header field: what could end the field early is refused.
bool is_field_text(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

// "aws_access_key_id = …" lines of the first section, as the AWS tools write them.
Result<S3Credentials> parse_credentials(std::string_view text, const std::string& path) {
    S3Credentials found;
    const std::pair<std::string_view, std::string*> keys[] = {
        {"aws_access_key_id", &found.access_key},
        {"aws_secret_access_key", &found.secret_key},
        {"aws_session_token", &found.session_token}};
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        const size_t equal = line.find('=');
        for (const auto& [key, value] : keys) {
            if (equal != std::string_view::npos && trimmed(line.substr(0, equal)) == key &&
                value->empty()) {
                *value = trimmed(line.substr(equal + 1));
            }
        }
    }
    const bool plain = is_field_text(found.access_key) && is_field_text(found.session_token);
    if (found.access_key.empty() || found.secret_key.empty() || !plain) {
        return Error{
            ErrorCode::kInvalidArgument,
            fmt::format("s3_credentials_file: {} must have the lines aws_access_key_id = … "
                        "and aws_secret_access_key = …",
                        path)};
    }
    return found;
}

std::string first_of(const Environment& environment, std::initializer_list<const char*> names) {
    for (const char* name : names) {
        if (std::string value = environment(name); !value.empty()) {
            return value;
        }
    }
    return {};
}

bool is_bucket(std::string_view text) noexcept {
    return text.size() >= kBucketBytesMin && text.size() <= kBucketBytesMax &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
           });
}

// Neither empty nor "." or ".." parts, nothing that does not print.
bool is_plain_path(std::string_view path) noexcept {
    const bool printable = std::all_of(path.begin(), path.end(), [](char c) {
        return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F && c != '\\';
    });
    while (printable && !path.empty() && !path.ends_with('/')) {
        const std::string_view part = path.substr(0, path.find('/'));
        if (part.empty() || part == "." || part == "..") {
            return false;
        }
        path.remove_prefix(std::min(path.size(), part.size() + 1));
        if (path.empty()) {
            return true;
        }
    }
    return false;
}

// hf://owner/name[@revision]/path/of/file.gguf
Result<FileSource> hub_source(std::string_view text, const SourceContext& context) {
    constexpr std::string_view kForm = "hf:// must be hf://OWNER/NAME[@REVISION]/FILE.gguf";
    const std::string_view whole = text;
    const size_t owner_end = text.find('/');
    const size_t name_end =
        owner_end == std::string_view::npos ? owner_end : text.find('/', owner_end + 1);
    if (name_end == std::string_view::npos || !is_plain_path(whole)) {
        return Error{ErrorCode::kInvalidArgument, std::string(kForm)};
    }
    const std::string_view name = text.substr(owner_end + 1, name_end - owner_end - 1);
    const size_t at = name.find('@');
    const std::string_view revision =
        at == std::string_view::npos ? std::string_view("main") : name.substr(at + 1);
    if (name.substr(0, at).empty() || revision.empty()) {
        return Error{ErrorCode::kInvalidArgument, std::string(kForm)};
    }
    const auto base = hub_base(context.settings, context.environment);
    if (!base) {
        return base.error();
    }
    auto url = parse_url(fmt::format(
        "{}/{}/{}/resolve/{}/{}", *base, percent_encode(text.substr(0, owner_end), false),
        percent_encode(name.substr(0, at), false), percent_encode(revision, false),
        percent_encode(text.substr(name_end + 1), true)));
    if (!url) {
        return url.error();
    }
    auto token = hub_token(context.settings, context.environment);
    if (!token) {
        return token.error();
    }
    FileSource source{.url = std::move(url).value(),
                      .hint =
                          "set HF_TOKEN or hub_token_file for rekindled to a token that may "
                          "read this model"};
    if (!token->empty()) {
        source.credentials = [token = *token](const HttpCall&) {
            return std::vector<HttpField>{{"Authorization", "Bearer " + token}};
        };
    }
    return source;
}

Result<FileSource> s3_source(std::string_view text, const SourceContext& context) {
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
        return Error{ErrorCode::kInvalidArgument, "s3:// must be s3://BUCKET/KEY"};
    }
    const auto access = s3_access(context.settings, context.environment);
    if (!access) {
        return access.error();
    }
    return s3_object(std::string(text.substr(0, slash)), std::string(text.substr(slash + 1)),
                     *access, context.clock);
}

}  // namespace

std::string process_environment(const char* name) {
    const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): never set here.
    return value == nullptr ? "" : value;
}

Result<S3Access> s3_access(const RemoteSettings& settings, const Environment& environment) {
    S3Access access;
    access.endpoint = !settings.s3_endpoint.empty()
                          ? settings.s3_endpoint
                          : first_of(environment, {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"});
    while (access.endpoint.ends_with('/')) {
        access.endpoint.pop_back();
    }
    access.region = !settings.s3_region.empty()
                        ? settings.s3_region
                        : first_of(environment, {"AWS_REGION", "AWS_DEFAULT_REGION"});
    if (access.region.empty()) {
        access.region = "us-east-1";
    }
    if (!is_field_text(access.region) || access.region.find('/') != std::string::npos) {
        return Error{ErrorCode::kInvalidArgument, "s3_region: it is no region's name"};
    }
    if (settings.s3_credentials_file.empty()) {
        access.credentials = {.access_key = environment("AWS_ACCESS_KEY_ID"),
                              .secret_key = environment("AWS_SECRET_ACCESS_KEY"),
                              .session_token = environment("AWS_SESSION_TOKEN")};
        if (!is_field_text(access.credentials.access_key + access.credentials.session_token)) {
            return Error{ErrorCode::kInvalidArgument,
                         "AWS_ACCESS_KEY_ID, AWS_SESSION_TOKEN: they must be plain text"};
        }
        return access;
    }
    const auto text = read_secret_file(settings.s3_credentials_file, "s3_credentials_file");
    if (!text) {
        return text.error();
    }
    auto credentials = parse_credentials(*text, settings.s3_credentials_file);
    if (!credentials) {
        return std::move(credentials).error();
    }
    access.credentials = std::move(credentials).value();
    return access;
}

Result<std::string> hub_token(const RemoteSettings& settings, const Environment& environment) {
    std::string token = environment("HF_TOKEN");
    if (!settings.hub_token_file.empty()) {
        const auto text = read_secret_file(settings.hub_token_file, "hub_token_file");
        if (!text) {
            return text.error();
        }
        token = trimmed(*text);
    }
    if (!is_field_text(token)) {
        return Error{ErrorCode::kInvalidArgument, "the hub's token must be plain text in one line"};
    }
    return token;
}

Result<std::string> hub_base(const RemoteSettings& settings, const Environment& environment) {
    std::string base = environment("HF_ENDPOINT");
    if (base.empty() || settings.hub_url != RemoteSettings{}.hub_url) {
        base = settings.hub_url;
    }
    while (base.ends_with('/')) {
        base.pop_back();
    }
    const auto url = parse_url(base);
    if (!url || base.find('?') != std::string::npos) {
        return Error{ErrorCode::kInvalidArgument, "hub_url: it must be an http or https address"};
    }
    return base;
}

bool is_remote_source(std::string_view address) noexcept {
    return address.starts_with("https://") || address.starts_with("http://") ||
           address.starts_with("hf://") || address.starts_with("s3://");
}

Result<FileSource> resolve_source(std::string_view address, const SourceContext& context) {
    if (address.starts_with("hf://")) {
        return hub_source(address.substr(5), context);
    }
    if (address.starts_with("s3://")) {
        return s3_source(address.substr(5), context);
    }
    auto url = parse_url(address);
    if (!url) {
        return std::move(url).error();
    }
    return FileSource{.url = std::move(url).value(),
                      .credentials = nullptr,
                      .hint =
                          "the server wants to know who asks; only hf:// and s3:// take "
                          "credentials"};
}

Result<FileSource> s3_object(const std::string& bucket, const std::string& key,
                             const S3Access& access, const Clock& clock) {
    if (!is_bucket(bucket) || key.size() > kKeyBytesMax || !is_plain_path(key)) {
        return Error{ErrorCode::kInvalidArgument,
                     "s3:// must be s3://BUCKET/KEY, without empty, \".\" or \"..\" parts"};
    }
    // Amazon's own names each bucket as a host, others mostly as the first part of the path. A dot
    // in the name fits no certificate.
    const std::string path = percent_encode(key, true);
    const bool by_host = access.endpoint.empty() && bucket.find('.') == std::string::npos;
    const std::string amazon = fmt::format("s3.{}.amazonaws.com", access.region);
    auto url = parse_url(
        by_host ? fmt::format("https://{}.{}/{}", bucket, amazon, path)
                : fmt::format("{}/{}/{}",
                              access.endpoint.empty() ? "https://" + amazon : access.endpoint,
                              bucket, path));
    if (!url) {
        return std::move(url).with_context("s3_endpoint").error();
    }
    FileSource source{.url = std::move(url).value(),
                      .hint =
                          "check the bucket's name and region, and set AWS_ACCESS_KEY_ID and "
                          "AWS_SECRET_ACCESS_KEY or s3_credentials_file for rekindled"};
    if (!access.credentials.access_key.empty()) {
        source.credentials = [&clock, access](const HttpCall& call) {
            return sign_request(access.credentials,
                                SigningScope{access.region, "s3", amz_time(clock.wall())}, call);
        };
    }
    return source;
}

}  // namespace rekindle::remote
