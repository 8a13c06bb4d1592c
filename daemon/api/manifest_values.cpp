#include "daemon/api/manifest_values.h"

#include "base/decimal.h"
#include "base/units.h"
#include "daemon/api/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

namespace rekindle::daemon::api {
namespace {

using Value = Result<json::value>;

Error must_be(std::string_view wanted) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("must be {}", wanted)};
}

// A string, however the text writes one.
std::optional<std::string_view> text_of(const ManifestNode& node) {
    const bool text = node.kind == NodeKind::kText || node.kind == NodeKind::kPlain;
    return text ? std::optional<std::string_view>(node.text) : std::nullopt;
}

template <typename T>
std::optional<T> number_of(const ManifestNode& node) {
    if (node.kind != NodeKind::kNumber && node.kind != NodeKind::kPlain) {
        return std::nullopt;
    }
    T value{};
    const char* const end = node.text.data() + node.text.size();
    const auto parsed = std::from_chars(node.text.data(), end, value);
    const bool whole = parsed.ec == std::errc() && parsed.ptr == end;
    return whole ? std::optional<T>(value) : std::nullopt;
}

std::optional<int64_t> integer_of(const ManifestNode& node) {
    if (const auto integer = number_of<int64_t>(node)) {
        return integer;
    }
    constexpr double kExactMax = 9007199254740992.0;  // 2^53: 1.0 and 1e3 are whole numbers, too.
    const auto number = number_of<double>(node);
    const bool whole = number && std::trunc(*number) == *number && std::fabs(*number) <= kExactMax;
    return whole ? std::optional(static_cast<int64_t>(*number)) : std::nullopt;
}

Value integer_value(const ManifestField& field, const ManifestNode& node) {
    const auto number = integer_of(node);
    if (number && *number >= field.low && *number <= field.high) {
        return json::value(*number);
    }
    if (field.low == field.high) {
        return must_be(fmt::format("{} (more is not supported yet)", field.low));
    }
    return must_be(fmt::format("a whole number from {} to {}", field.low, field.high));
}

Value number_value(const ManifestField& field, const ManifestNode& node) {
    const auto number = number_of<double>(node);
    const bool above = field.kind == FieldKind::kShare;
    const auto low = static_cast<double>(field.low);
    const auto high = static_cast<double>(field.high);
    if (number && *number <= high && (above ? *number > low : *number >= low)) {
        return json::value(*number == 0 ? 0.0 : *number);  // There is no -0 in a manifest.
    }
    return must_be(fmt::format("a number {} {}{} to {}", above ? "above" : "from", field.low,
                               above ? ", up" : "", field.high));
}

Value name_value(const ManifestNode& node) {
    const auto text = text_of(node);
    if (text && is_deployment_name(*text)) {
        return json::value(*text);
    }
    return must_be("up to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit");
}

template <typename Check>
Value list_value(const ManifestNode& node, size_t size_max, std::string_view wanted,
                 const Check& check) {
    if (node.kind != NodeKind::kList || node.elements.size() > size_max) {
        return must_be(wanted);
    }
    json::array list;
    for (const ManifestNode& element : node.elements) {
        auto value = check(element);
        if (!value) {
            return value.error().with_context("each element");
        }
        if (std::find(list.begin(), list.end(), *value) != list.end()) {
            return Error{
                ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" stands in it twice", std::string_view(value->get_string()))};
        }
        list.push_back(std::move(value).value());
    }
    return json::value(std::move(list));
}

// As above, but the order of the elements means nothing.
template <typename Check>
Value set_value(const ManifestNode& node, size_t size_max, std::string_view wanted,
                const Check& check) {
    auto value = list_value(node, size_max, wanted, check);
    if (value) {
        json::array& list = value->get_array();
        std::sort(list.begin(), list.end(), [](const json::value& a, const json::value& b) {
            return a.get_string() < b.get_string();
        });
    }
    return value;
}

bool is_hex_digest(std::string_view text) {
    constexpr size_t kDigits = 64;
    return text.size() == kDigits && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

Value digest_value(const ManifestNode& node) {
    constexpr std::string_view kPrefix = "sha256:";
    const auto text = text_of(node);
    if (text && text->starts_with(kPrefix) && is_hex_digest(text->substr(kPrefix.size()))) {
        return json::value(*text);
    }
    return must_be("sha256: and 64 digits of 0-9 and a-f");
}

bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

// What follows the scheme is read strictly by who fetches it.
bool is_plain_address(std::string_view text) {
    for (const std::string_view scheme : {"https://", "http://", "hf://", "s3://"}) {
        if (text.starts_with(scheme)) {
            const std::string_view rest = text.substr(scheme.size());
            return !rest.empty() && std::all_of(rest.begin(), rest.end(), [](char c) {
                return c > 0x20 && c < 0x7F && c != '#' && c != '"' && c != '\\';
            });
        }
    }
    return false;
}

constexpr std::string_view kImage = "rekindle://sha256:";

bool is_image(std::string_view text) {
    return text.starts_with(kImage) && is_hex_digest(text.substr(kImage.size()));
}

Value draft_value(const ManifestNode& node) {
    const auto text = text_of(node);
    if (text && (is_deployment_name(*text) || is_image(*text))) {
        return json::value(*text);
    }
    return must_be(
        "the name of a deployment on the node, or rekindle://sha256: and 64 digits of 0-9 and a-f "
        "for an image there");
}

// A path has no colon in its first part: what has one names another kind of place.
Value model_value(const ManifestNode& node) {
    constexpr std::string_view kFile = "file:";
    const auto text = text_of(node);
    if (!text || text->empty() || text->size() > kModelTextBytesMax || has_control(*text)) {
        return must_be(
            "a path or an address of a GGUF file, or rekindle://sha256:… for an image on "
            "the node");
    }
    const std::string_view first = text->substr(0, text->find('/'));
    const size_t colon = first.find(':');
    const bool file = text->starts_with(kFile) && text->size() > kFile.size();
    if (colon == std::string_view::npos || file || is_image(*text)) {
        return json::value(*text);
    }
    if (is_plain_address(*text)) {
        return json::value(*text);
    }
    return must_be(
        "a path of a GGUF file (./ before a name with a colon), an https://, http://, hf:// or "
        "s3:// address without spaces and without #, or rekindle://sha256: and 64 digits of 0-9 "
        "and a-f for an image on the node");
}

Value choice_value(const ManifestField& field, const ManifestNode& node) {
    const std::string_view only = field.fallback.substr(1, field.fallback.size() - 2);
    const auto text = text_of(node);
    if (text && *text == only) {
        return json::value(only);
    }
    return must_be(fmt::format("{} (other values are not supported yet)", only));
}

Value kv_type_value(const ManifestNode& node) {
    const auto known = kv_types();
    const auto text = text_of(node);
    if (text && std::find(known.begin(), known.end(), *text) != known.end()) {
        return json::value(*text);
    }
    return must_be("f16, bf16 or q8_0");
}

Value boolean_value(const ManifestNode& node) {
    const bool typed = node.kind == NodeKind::kBool || node.kind == NodeKind::kPlain;
    if (typed && (node.text == "true" || node.text == "false")) {
        return json::value(node.text == "true");
    }
    return must_be("true or false");
}

struct Unit {
    std::string_view name;
    int64_t factor;
};

// One to `digits_max` digits and one of `units`.
template <size_t N>
std::optional<int64_t> quantity_of(std::string_view text, size_t digits_max,
                                   const std::array<Unit, N>& units) {
    const size_t digits = text.find_first_not_of("0123456789");
    if (digits == 0 || digits == std::string_view::npos || digits > digits_max) {
        return std::nullopt;
    }
    int64_t number = 0;
    std::from_chars(text.data(), text.data() + digits, number);
    for (const Unit& unit : units) {
        if (text.substr(digits) == unit.name) {
            return number * unit.factor;
        }
    }
    return std::nullopt;
}

constexpr int64_t kKi = static_cast<int64_t>(kKiB);
constexpr int64_t kMi = static_cast<int64_t>(kMiB);
constexpr int64_t kGi = static_cast<int64_t>(kGiB);
constexpr std::array<Unit, 9> kByteUnits{{{"GiB", kGi},
                                          {"MiB", kMi},
                                          {"KiB", kKi},
                                          {"GB", kGi},
                                          {"MB", kMi},
                                          {"KB", kKi},
                                          {"G", kGi},
                                          {"M", kMi},
                                          {"K", kKi}}};
constexpr std::array<Unit, 5> kTimeUnits{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

// In the first, largest unit that leaves nothing over.
template <size_t N>
std::string in_largest_unit(int64_t value, size_t units_used, const std::array<Unit, N>& units) {
    for (size_t i = 0; i < units_used; ++i) {
        if (value % units[i].factor == 0) {
            return fmt::format("{}{}", value / units[i].factor, units[i].name);
        }
    }
    return {};
}

Value bytes_value(const ManifestNode& node) {
    constexpr size_t kDigitsMax = 7;
    constexpr size_t kCanonicalUnits = 3;
    const auto text = text_of(node);
    if (text && *text == "auto") {
        return json::value("auto");
    }
    const auto bytes = text ? quantity_of(*text, kDigitsMax, kByteUnits) : std::nullopt;
    if (!bytes || text->front() == '0') {
        return must_be("auto, or a size with its unit such as 512MiB or 4GiB");
    }
    return json::value(in_largest_unit(*bytes, kCanonicalUnits, kByteUnits));
}

Value duration_value(const ManifestField& field, const ManifestNode& node) {
    constexpr size_t kDigitsMax = 9;
    const bool may_be_auto = field.kind == FieldKind::kDuration;
    const auto text = text_of(node);
    if (may_be_auto && text && *text == "auto") {
        return json::value("auto");
    }
    const auto ms = text ? quantity_of(*text, kDigitsMax, kTimeUnits) : std::nullopt;
    if (!ms) {
        return must_be(fmt::format("{}a duration with its unit such as 250ms, 30s, 5m, 24h or 7d",
                                   may_be_auto ? "auto, or " : ""));
    }
    return json::value(canonical_duration(std::chrono::milliseconds(*ms)));
}

Value money_value(const ManifestNode& node) {
    constexpr std::string_view kWanted =
        "a decimal in quotes such as \"0.05\", not negative, with at most 6 decimals";
    const auto price = node.kind == NodeKind::kText ? parse_price_per_million(node.text)
                                                    : Result<PicoPerToken>(must_be(kWanted));
    if (!price) {
        return must_be(kWanted);
    }
    return json::value(format_price_per_million(*price));
}

Value currency_value(const ManifestNode& node) {
    const auto text = text_of(node);
    const bool letters =
        text && text->size() == 3 &&
        std::all_of(text->begin(), text->end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    if (letters) {
        return json::value(*text);
    }
    return must_be("a code of three capital letters such as USD");
}

Value stop_value(const ManifestNode& node) {
    const auto text = text_of(node);
    if (text && !text->empty() && text->size() <= kManifestStopBytesMax) {
        return json::value(*text);
    }
    return must_be(fmt::format("a string of 1 to {} bytes", kManifestStopBytesMax));
}

Value stops_value(const ManifestNode& node) {
    if (node.is_scalar()) {
        auto only = stop_value(node);
        return only ? Value(json::value(json::array{std::move(only).value()})) : only;
    }
    return list_value(node, kManifestStopsMax,
                      fmt::format("a string or a list of at most {}", kManifestStopsMax),
                      stop_value);
}

Value request_field_value(const ManifestNode& node) {
    const auto known = strippable_request_fields();
    const auto text = text_of(node);
    if (text && std::find(known.begin(), known.end(), *text) != known.end()) {
        return json::value(*text);
    }
    return must_be("a request field that can be left out, such as logit_bias");
}

bool is_tag_key(std::string_view key) {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    return !key.empty() && key.size() <= kTagKeyBytesMax && plain(key.front()) &&
           std::all_of(key.begin(), key.end(), [&plain](char c) {
               return plain(c) || c == '.' || c == '_' || c == '-' || c == '/';
           });
}

Value tags_value(const ManifestNode& node) {
    if (node.kind != NodeKind::kMap || node.members.size() > kTagsMax) {
        return must_be(fmt::format("a map of at most {} strings", kTagsMax));
    }
    json::object tags;
    for (const auto& [key, value] : node.members) {
        if (!key.is_scalar() || !is_tag_key(key.text)) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("the key \"{}\" must be up to {} of letters, digits, '.', "
                                     "'_', '-' and '/', beginning with a letter or digit",
                                     key.text.substr(0, kTagKeyBytesMax), kTagKeyBytesMax)};
        }
        const auto text = text_of(value);
        if (!text || text->size() > kTagValueBytesMax || has_control(*text)) {
            return must_be(fmt::format("a map of strings of at most {} bytes (\"{}\" is not)",
                                       kTagValueBytesMax, key.text));
        }
        if (!tags.emplace(key.text, *text).second) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("the key \"{}\" stands in it twice", key.text)};
        }
    }
    return json::value(std::move(tags));
}

}  // namespace

std::string canonical_duration(std::chrono::milliseconds duration) {
    return duration.count() == 0 ? "0s"
                                 : in_largest_unit(duration.count(), kTimeUnits.size(), kTimeUnits);
}

Result<json::value> canonical_value(const ManifestField& field, const ManifestNode& node) {
    switch (field.kind) {
        case FieldKind::kVersion:
            if (integer_of(node) == 1) {
                return json::value(1);
            }
            return must_be("1, the only version that this program knows");
        case FieldKind::kName:
            return name_value(node);
        case FieldKind::kNames:
            return set_value(node, kAliasesMax,
                             fmt::format("a list of at most {} names", kAliasesMax), name_value);
        case FieldKind::kModel:
            return model_value(node);
        case FieldKind::kDigest:
            return digest_value(node);
        case FieldKind::kChoice:
            return choice_value(field, node);
        case FieldKind::kKvType:
            return kv_type_value(node);
        case FieldKind::kDraft:
            return draft_value(node);
        case FieldKind::kInteger:
            return integer_value(field, node);
        case FieldKind::kNumber:
        case FieldKind::kShare:
            return number_value(field, node);
        case FieldKind::kBoolean:
            return boolean_value(node);
        case FieldKind::kBytes:
            return bytes_value(node);
        case FieldKind::kDuration:
        case FieldKind::kTime:
            return duration_value(field, node);
        case FieldKind::kMoney:
            return money_value(node);
        case FieldKind::kCurrency:
            return currency_value(node);
        case FieldKind::kStops:
            return stops_value(node);
        case FieldKind::kRequestFields:
            return set_value(node, strippable_request_fields().size(), "a list of request fields",
                             request_field_value);
        case FieldKind::kTags:
            return tags_value(node);
        case FieldKind::kGroup:
        case FieldKind::kLater:
            break;
    }
    return Error{ErrorCode::kUnsupported, "is not supported yet"};
}

}  // namespace rekindle::daemon::api
