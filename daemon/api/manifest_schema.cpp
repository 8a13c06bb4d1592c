#include "daemon/api/manifest_schema.h"

#include "daemon/api/canonical_json.h"
#include "daemon/api/manifest_fields.h"

#include <boost/json/parse.hpp>

#include <string_view>

namespace rekindle::daemon::api {
namespace {

constexpr std::string_view kNamePattern = "^[a-z0-9][a-z0-9._-]{0,62}$";
constexpr std::string_view kDraftPattern =
    "^([a-z0-9][a-z0-9._-]{0,62}|rekindle://sha256:[0-9a-f]{64})$";
constexpr std::string_view kModelPattern =
    "^(rekindle://sha256:[0-9a-f]{64}|(https?|hf|s3)://[!$-\\[\\]-~]+|file:[^\\u0000-\\u001f]+|"
    "[^:/\\u0000-\\u001f]+(/[^\\u0000-\\u001f]*)?|/[^\\u0000-\\u001f]*)$";
constexpr std::string_view kDurationPattern = "[0-9]{1,9}(ms|s|m|h|d)";

json::object pattern(std::string_view text) {
    return {{"type", "string"}, {"pattern", text}};
}

json::object list_of(json::object items, size_t size_max) {
    return {{"type", "array"},
            {"items", std::move(items)},
            {"maxItems", size_max},
            {"uniqueItems", true}};
}

json::object tags_schema() {
    const json::object value{
        {"type", "string"}, {"maxLength", kTagValueBytesMax}, {"pattern", "^[^\\u0000-\\u001f]*$"}};
    return {{"type", "object"},
            {"maxProperties", kTagsMax},
            {"propertyNames", pattern("^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")},
            {"additionalProperties", value}};
}

json::object number_schema(const ManifestField& field) {
    const bool above = field.kind == FieldKind::kShare;
    return {{"type", "number"},
            {above ? "exclusiveMinimum" : "minimum", field.low},
            {"maximum", field.high}};
}

json::object stops_schema() {
    const json::object one{
        {"type", "string"}, {"minLength", 1}, {"maxLength", kManifestStopBytesMax}};
    return {{"anyOf", json::array{one, list_of(one, kManifestStopsMax)}}};
}

json::object one_of(std::span<const std::string_view> names) {
    json::array list;
    for (const std::string_view name : names) {
        list.emplace_back(name);
    }
    return {{"enum", std::move(list)}};
}

json::object strip_schema() {
    return list_of(one_of(strippable_request_fields()), strippable_request_fields().size());
}

json::object value_schema(const ManifestField& field) {
    switch (field.kind) {
        case FieldKind::kVersion:
            return {{"const", 1}};
        case FieldKind::kName:
            return pattern(kNamePattern);
        case FieldKind::kNames:
            return list_of(pattern(kNamePattern), kAliasesMax);
        case FieldKind::kModel: {
            json::object model = pattern(kModelPattern);
            model["maxLength"] = kModelTextBytesMax;
            return model;
        }
        case FieldKind::kDigest:
            return pattern("^sha256:[0-9a-f]{64}$");
        case FieldKind::kChoice:
            return {{"const", json::parse(field.fallback)}};
        case FieldKind::kKvType:
            return one_of(kv_types());
        case FieldKind::kDraft:
            return pattern(kDraftPattern);
        case FieldKind::kInteger:
            return {{"type", "integer"}, {"minimum", field.low}, {"maximum", field.high}};
        case FieldKind::kNumber:
        case FieldKind::kShare:
            return number_schema(field);
        case FieldKind::kBoolean:
            return {{"type", "boolean"}};
        case FieldKind::kBytes:
            return pattern("^(auto|[1-9][0-9]{0,6}(KiB|MiB|GiB|KB|MB|GB|K|M|G))$");
        case FieldKind::kDuration:
            return pattern("^(auto|" + std::string(kDurationPattern) + ")$");
        case FieldKind::kTime:
            return pattern("^" + std::string(kDurationPattern) + "$");
        case FieldKind::kMoney:
            return pattern("^[0-9]{1,9}(\\.[0-9]{1,6})?$");
        case FieldKind::kCurrency:
            return pattern("^[A-Z]{3}$");
        case FieldKind::kStops:
            return stops_schema();
        case FieldKind::kRequestFields:
            return strip_schema();
        case FieldKind::kTags:
            return tags_schema();
        case FieldKind::kGroup:
        case FieldKind::kLater:
            break;
    }
    return {};
}

json::object field_schema(const ManifestField& field);

// The fields right below `group`.
json::object properties_of(std::string_view group) {
    json::object properties;
    for (const ManifestField& field : manifest_fields()) {
        if (field.group() == group && field.kind != FieldKind::kLater) {
            properties[field.leaf()] = field_schema(field);
        }
    }
    return properties;
}

json::object field_schema(const ManifestField& field) {
    json::object schema;
    schema["description"] = field.help;
    if (field.kind == FieldKind::kGroup) {
        schema["type"] = "object";
        schema["properties"] = properties_of(field.path);
        schema["additionalProperties"] = false;
        return schema;
    }
    for (const auto& [key, value] : value_schema(field)) {
        schema[key] = value;
    }
    if (!field.fallback.empty()) {
        schema["default"] = json::parse(field.fallback);
    }
    return schema;
}

// Indented by two, objects and lists of objects one member a line.
void append_pretty(std::string& out, const json::value& value, size_t depth) {
    const json::object* object = value.if_object();
    if (object == nullptr || object->empty()) {
        out += canonical_json(value);
        return;
    }
    out += "{\n";
    bool first = true;
    for (const auto& [key, member] : *object) {
        out += first ? "" : ",\n";
        first = false;
        out.append(2 * (depth + 1), ' ');
        out += canonical_json(json::value(key)) + ": ";
        append_pretty(out, member, depth + 1);
    }
    out += '\n';
    out.append(2 * depth, ' ');
    out += '}';
}

}  // namespace

json::object manifest_schema() {
    json::object schema;
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
    schema["title"] = "Rekindle deployment manifest, version 1";
    schema["type"] = "object";
    schema["required"] = json::array{"rekindle", "name", "model"};
    schema["properties"] = properties_of("");
    schema["additionalProperties"] = false;
    return schema;
}

std::string manifest_schema_text() {
    std::string out;
    append_pretty(out, json::value(manifest_schema()), 0);
    out += '\n';
    return out;
}

}  // namespace rekindle::daemon::api
