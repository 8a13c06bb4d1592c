// What rekindled knows about remote places: where hub and object store are, and how it is let in.
// Secrets are in here: never logged, never in a message. Read once at start; files of secrets are
// read anew for each transfer, so that they can be replaced while serving.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "loader/remote/http_fetch.h"
#include "loader/remote/sigv4.h"

#include <cstdint>
#include <functional>
#include <string>

namespace rekindle::remote {

inline constexpr uint32_t kConnectionsMax = 64;

struct RemoteSettings {
    std::string hub_url = "https://huggingface.co";
    std::string hub_token_file;  // Empty: HF_TOKEN of the environment, or none.
    std::string s3_endpoint;     // Empty: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or Amazon's own.
    std::string s3_region;       // Empty: AWS_REGION, AWS_DEFAULT_REGION, or us-east-1.
    std::string s3_credentials_file;  // Empty: AWS_ACCESS_KEY_ID and so on, or unsigned requests.
    uint32_t connections = 8;         // Of one transfer.
    FetchLimits limits;
};

// A variable of the environment; empty: it is not set.
using Environment = std::function<std::string(const char* name)>;
std::string process_environment(const char* name);

struct S3Access {
    std::string endpoint;  // Empty: Amazon's own.
    std::string region;
    S3Credentials credentials;
};

// kInvalidArgument, kNotFound name the option and the file, not what is in it.
Result<S3Access> s3_access(const RemoteSettings& settings, const Environment& environment);
// Empty: none is known.
Result<std::string> hub_token(const RemoteSettings& settings, const Environment& environment);
Result<std::string> hub_base(const RemoteSettings& settings, const Environment& environment);

// A file's address to fetch, with the way in: https://…, http://…, hf://owner/name[@rev]/file,
// s3://bucket/key. kInvalidArgument.
struct FileSource {
    Url url;
    Credentials credentials;
    std::string hint;  // When access is refused.
};

struct SourceContext {
    const RemoteSettings& settings;
    const Environment& environment;
    const Clock& clock;
};

Result<FileSource> resolve_source(std::string_view address, const SourceContext& context);
// Whether it is one of the above; says nothing about whether it is well-formed.
bool is_remote_source(std::string_view address) noexcept;

// The address of `key` (not encoded) in a bucket, signed.
Result<FileSource> s3_object(const std::string& bucket, const std::string& key,
                             const S3Access& access, const Clock& clock);

}  // namespace rekindle::remote
