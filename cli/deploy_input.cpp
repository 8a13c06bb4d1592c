#include "cli/deploy_input.h"

#include "base/decimal.h"
#include "base/hash.h"
#include "base/units.h"
#include "cli/values.h"
#include "daemon/api/canonical_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <span>
#include <utility>

namespace rekindle::cli {

namespace {

namespace api = daemon::api;

// Wrong values end here, with the option's name.
Result<void> check_flags(const DeployFlags& flags) {
    const std::pair<const char*, const std::string&> prices[] = {
        {"--price-input", flags.price_input},
        {"--price-output", flags.price_output},
        {"--price-cached", flags.price_cached}};
    for (const auto& [option, text] : prices) {
        if (text.empty()) {
            continue;
        }
        if (const auto price = parse_price_per_million(text); !price) {
            return Error{ErrorCode::kInvalidArgument, price.error().message}.with_context(option);
        }
    }
    return check_model_name(flags.name);
}

Result<std::string> idle_text(const std::string& flag) {
    const auto idle = parse_duration(flag);
    if (!idle) {
        return Error{ErrorCode::kInvalidArgument, idle.error().message}.with_context("--idle");
    }
    return api::canonical_duration(*idle);
}

struct PinnedAddress {
    std::string address;
    std::string digest;  // "sha256:…"; empty: none.
};

// "https://…/m.gguf#sha256=…"
Result<PinnedAddress> split_address(const std::string& text) {
    constexpr std::string_view kPin = "sha256=";
    const size_t mark = text.find('#');
    if (mark == std::string::npos) {
        return PinnedAddress{.address = text, .digest = {}};
    }
    const std::string pin = text.substr(mark + 1);
    const auto digest = parse_sha256(pin.starts_with(kPin) ? pin.substr(kPin.size()) : "");
    if (!digest) {
        return Error{ErrorCode::kInvalidArgument,
                     "what follows # in an address must be sha256= and 64 hexadecimal digits"};
    }
    return PinnedAddress{.address = text.substr(0, mark), .digest = "sha256:" + to_hex(*digest)};
}

// The manifest that says what the flags say.
Result<std::string> manifest_of(const DeployFlags& flags) {
    auto checked = check_flags(flags);
    if (!checked) {
        return checked.error();
    }
    json::object manifest{{"rekindle", 1}, {"name", flags.name}};
    if (api::is_file_address(flags.file)) {
        auto pinned = split_address(flags.file);
        if (!pinned) {
            return pinned.error();
        }
        manifest["model"] = pinned->address;
        if (!pinned->digest.empty()) {
            manifest["digest"] = pinned->digest;
        }
    } else {
        manifest["model"] = "file:" + flags.file;
    }
    if (flags.context) {
        manifest["runtime"] = json::object{{"context", *flags.context}};
    }
    if (!flags.idle.empty()) {
        auto idle = idle_text(flags.idle);
        if (!idle) {
            return idle.error();
        }
        manifest["scale"] = json::object{{"idle", *idle}};
    }
    json::object per_mtok;
    const std::pair<const char*, const std::string&> prices[] = {{"input", flags.price_input},
                                                                 {"cached", flags.price_cached},
                                                                 {"output", flags.price_output}};
    for (const auto& [key, text] : prices) {
        if (!text.empty()) {
            per_mtok[key] = text;
        }
    }
    json::object price{{"per_mtok", std::move(per_mtok)}};
    if (!flags.currency.empty()) {
        price["currency"] = flags.currency;
    }
    manifest["price"] = std::move(price);
    return api::canonical_json(manifest);
}

Result<std::string> read_manifest_file(const std::string& path) {
    auto file = open_model_file(path);
    if (!file) {
        return Error{file.error().code,
                     fmt::format("manifest {}: it can't be read: {}", path, file.error().message)};
    }
    if (file->bytes > api::kManifestBytesMax) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("{}: {} bytes are too long for a manifest, the limit is {}", path,
                                 file->bytes, api::kManifestBytesMax)};
    }
    std::string text(file->bytes, '\0');
    const auto read =
        read_exact_at(file->fd.get(), std::as_writable_bytes(std::span(text)), /*offset=*/0);
    if (!read) {
        return read.error().with_context(path);
    }
    return text;
}

// A flag beside a manifest would be a second place for the same thing.
Result<void> refuse_flags(const DeployFlags& flags) {
    const std::pair<const char*, bool> given[] = {{"--name", !flags.name.empty()},
                                                  {"--price-input", !flags.price_input.empty()},
                                                  {"--price-output", !flags.price_output.empty()},
                                                  {"--price-cached", !flags.price_cached.empty()},
                                                  {"--currency", !flags.currency.empty()},
                                                  {"--idle", !flags.idle.empty()},
                                                  {"--context", flags.context.has_value()}};
    for (const auto& [option, set] : given) {
        if (set) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("{} stands in the manifest, not beside it: write it into {}",
                                     option, flags.file)};
        }
    }
    return {};
}

std::string path_of_model(const api::Manifest& manifest, const std::string& manifest_path) {
    const std::string file(manifest.file());
    const size_t slash = manifest_path.find_last_of('/');
    if (file.starts_with('/') || slash == std::string::npos) {
        return file;
    }
    return manifest_path.substr(0, slash + 1) + file;
}

}  // namespace

bool is_manifest_path(const std::string& path) noexcept {
    constexpr std::array<std::string_view, 3> kSuffixes{".yaml", ".yml", ".json"};
    return !api::is_file_address(path) &&
           std::any_of(kSuffixes.begin(), kSuffixes.end(),
                       [&path](std::string_view suffix) { return path.ends_with(suffix); });
}

Result<DeployInput> read_deploy_input(const DeployFlags& flags) {
    const bool by_manifest = is_manifest_path(flags.file);
    const auto allowed = by_manifest ? refuse_flags(flags) : Result<void>();
    if (!allowed) {
        return allowed.error();
    }
    const auto text = by_manifest ? read_manifest_file(flags.file) : manifest_of(flags);
    if (!text) {
        return text.error();
    }
    auto manifest = api::parse_manifest(*text);
    if (!manifest) {
        const std::string& message = manifest.error().message;
        return Error{ErrorCode::kInvalidArgument,
                     by_manifest ? fmt::format("{}: {}", flags.file, message) : message};
    }
    DeployInput input{.manifest = std::move(manifest).value(), .model = std::nullopt};
    if (!input.manifest.file().empty()) {
        const std::string path =
            by_manifest ? path_of_model(input.manifest, flags.file) : flags.file;
        auto model = open_model_file(path);
        if (!model) {
            return model.error();
        }
        input.model = std::move(model).value();
    }
    return input;
}

}  // namespace rekindle::cli
