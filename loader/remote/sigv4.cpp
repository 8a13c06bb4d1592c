#include "loader/remote/sigv4.h"

#include "base/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>

namespace rekindle::remote {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr size_t kDateDigits = 8;

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return out;
}

std::string hash_of(std::string_view text) {
    return to_hex(sha256(as_bytes(text)));
}

// "a=1&b=2", sorted; parameters are percent-encoded already.
std::string canonical_query(std::string_view target) {
    const size_t mark = target.find('?');
    if (mark == std::string_view::npos) {
        return {};
    }
    std::vector<std::string> parameters;
    std::string_view rest = target.substr(mark + 1);
    while (!rest.empty()) {
        const std::string_view one = rest.substr(0, rest.find('&'));
        parameters.push_back(one.find('=') == std::string_view::npos ? std::string(one) + "="
                                                                     : std::string(one));
        rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    }
    std::sort(parameters.begin(), parameters.end());
    return fmt::format("{}", fmt::join(parameters, "&"));
}

// Names in lower case, sorted.
using SignedFields = std::map<std::string, std::string>;

std::string names_of(const SignedFields& fields) {
    std::string names;
    for (const auto& [name, value] : fields) {
        names += (names.empty() ? "" : ";") + name;
    }
    return names;
}

std::string canonical_request(const HttpCall& call, const SignedFields& fields,
                              std::string_view payload) {
    std::string out =
        fmt::format("{}\n{}\n{}\n", call.method, call.url.path(), canonical_query(call.url.target));
    for (const auto& [name, value] : fields) {
        out += fmt::format("{}:{}\n", name, value);
    }
    return out + fmt::format("\n{}\n{}", names_of(fields), payload);
}

Sha256Digest signing_key(const std::string& secret, const SigningScope& scope) {
    const std::string start = "AWS4" + secret;
    Sha256Digest key =
        hmac_sha256(as_bytes(start), as_bytes(std::string_view(scope.time).substr(0, kDateDigits)));
    key = hmac_sha256(key, as_bytes(scope.region));
    key = hmac_sha256(key, as_bytes(scope.service));
    return hmac_sha256(key, as_bytes(std::string_view("aws4_request")));
}

}  // namespace

std::string amz_time(Nanoseconds wall) {
    const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(wall).count();
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    const size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts);
    return {text.data(), size};
}

std::vector<HttpField> sign_request(const S3Credentials& credentials, const SigningScope& scope,
                                    const HttpCall& call) {
    const std::string payload = to_hex(sha256(call.body));
    std::vector<HttpField> added{{"x-amz-content-sha256", payload}, {"x-amz-date", scope.time}};
    if (!credentials.session_token.empty()) {
        added.emplace_back("x-amz-security-token", credentials.session_token);
    }
    SignedFields fields{{"host", call.url.authority()}};
    const auto cover = [&fields](const std::vector<HttpField>& list) {
        for (const auto& [name, value] : list) {
            fields[lower(name)] = value;
        }
    };
    cover(call.fields);
    cover(added);
    const std::string day = fmt::format("{}/{}/{}/aws4_request", scope.time.substr(0, kDateDigits),
                                        scope.region, scope.service);
    const std::string text = fmt::format("{}\n{}\n{}\n{}", kAlgorithm, scope.time, day,
                                         hash_of(canonical_request(call, fields, payload)));
    const Sha256Digest signature =
        hmac_sha256(signing_key(credentials.secret_key, scope), as_bytes(text));
    added.emplace_back(
        "Authorization",
        fmt::format("{} Credential={}/{},SignedHeaders={},Signature={}", kAlgorithm,
                    credentials.access_key, day, names_of(fields), to_hex(signature)));
    return added;
}

}  // namespace rekindle::remote
