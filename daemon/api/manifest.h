// A deployment manifest: what a person chose for one model, parsed from YAML or JSON, and its
// canonical form, whose digest is the revision that stands on every bill line. Used by rekindled
// and by the command line. docs/manifest.md is the text.
// Invariant: parsing the canonical form gives the same manifest; fields with their default are left
// out of it, so a field that a later version adds changes no revision.
// Pure; threading: none.
#pragma once
#include "base/json.h"
#include "base/result.h"
#include "daemon/api/manifest_fields.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rekindle::daemon::api {

// What a deployment does to the bodies of its requests, in this order: drop fields, fill in what is
// missing, put what is forced in place.
struct RequestRules {
    std::vector<std::string> strip;
    json::object defaults;
    json::object force;
    uint32_t tokens_max = 0;  // Of an answer; 0: up to the context's end.
};

struct Manifest {
    std::string name;
    std::vector<std::string> aliases;
    std::string model;   // As written: a path, an address, or rekindle://sha256:…
    std::string digest;  // 64 digits; empty: anything is taken.
    // runtime
    uint32_t context = 0;  // 0: the model's own.
    uint32_t max_batch = 0;
    std::optional<uint64_t> kv_bytes;  // Nothing: what the node gives.
    std::string kv_type;               // One of kv_types().
    bool speculation = true;
    std::string draft;  // As written: a deployment's name, or rekindle://sha256:…; empty: none.
    bool verify_on_restore = false;
    // scale
    bool min_warm = false;
    std::optional<std::chrono::milliseconds> idle;  // Nothing: the node's.
    bool preload = false;
    std::vector<std::string> wakes;
    // admission
    std::optional<uint32_t> queue;  // Nothing: the node's limit.
    std::optional<std::chrono::milliseconds> max_wait;
    RequestRules rules;
    // price, a million tokens each
    std::string currency;
    std::string price_input;
    std::string price_cached;
    std::string price_output;
    std::vector<std::pair<std::string, std::string>> tags;

    // All fields that are not at their default, in the table's order; `model` and `digest` as
    // written.
    json::object fields;

    // The digest of the image that `model` names; else empty.
    std::string_view image() const noexcept;
    // The digest of the image that `draft` names; else empty.
    std::string_view draft_image() const noexcept;
    // The image in place of the deployment's name, so that the revision stands for it.
    void set_draft_image(std::string_view image_digest);
    // The path that `model` names, without "file:"; else empty.
    std::string_view file() const noexcept;
    // The address of a file that rekindled fetches (https, http, hf, s3); else empty.
    std::string_view address() const noexcept;
    // `fields` with the image in place of the file, and without the pin.
    json::object with_image(std::string_view image_digest) const;
};

// Whether `text` begins as an address of a file that rekindled fetches.
bool is_file_address(std::string_view text) noexcept;

// YAML or JSON. The error is one sentence that names the line (of YAML), the field and what it must
// be; an unknown key names the nearest one.
Result<Manifest> parse_manifest(std::string_view text);

// The whole number of the largest unit that says it exactly: "5m", "90s", "1500ms".
std::string canonical_duration(std::chrono::milliseconds duration);

// The text that is digested: the manifest with its image, keys sorted.
std::string canonical_manifest(const Manifest& manifest, std::string_view image_digest);
// SHA-256 of it, in hexadecimal.
std::string manifest_revision(const Manifest& manifest, std::string_view image_digest);

}  // namespace rekindle::daemon::api
