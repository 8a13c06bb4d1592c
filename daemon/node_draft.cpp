// The draft model that a manifest names: which image it is, and whether it can guess for the model.
#include "base/units.h"
#include "daemon/node_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr uint64_t kWhole = 1000;  // Per mille.

Error of_draft(ErrorCode code, const std::string& message) {
    return Error{code, "runtime.draft: " + message};
}

// So that both models have pages for as many tokens.
uint32_t kv_share(const ImageFacts& model, const ImageFacts& draft, kernels::KvType type) {
    const uint64_t own = draft.kv_page_bytes(type);
    const uint64_t both = own + model.kv_page_bytes(type);
    return static_cast<uint32_t>(
        std::clamp<uint64_t>((own * kWhole + both - 1) / both, 1, kWhole - 1));
}

}  // namespace

// What can be refused before a byte of the model is read.
Result<void> NodeImpl::resolve_draft(api::Manifest& manifest) const {
    if (manifest.draft.empty()) {
        return {};
    }
    if (!manifest.speculation) {
        return of_draft(ErrorCode::kInvalidArgument,
                        "nothing is guessed with runtime.speculation: false: leave one of them "
                        "out");
    }
    if (!manifest.draft_image().empty()) {
        return {};
    }
    const std::string_view name = catalog_.resolve(manifest.draft);
    const bool own = manifest.draft == manifest.name || name == manifest.name ||
                     std::ranges::find(manifest.aliases, manifest.draft) != manifest.aliases.end();
    if (own) {
        return of_draft(
            ErrorCode::kInvalidArgument,
            fmt::format("{} is the deployment itself: name a smaller model", manifest.draft));
    }
    const DeploymentEntry* entry = catalog_.find(name);
    if (entry == nullptr) {
        return of_draft(
            ErrorCode::kNotFound,
            fmt::format("no model named \"{}\" is deployed: deploy it first", manifest.draft));
    }
    manifest.set_draft_image(entry->current.image);
    return {};
}

Task<Result<DraftFacts>> NodeImpl::draft_facts(std::string digest, ImageFacts model,
                                               kernels::KvType type) {
    const auto draft = co_await facts_of_image(digest);
    if (!draft && draft.error().code == ErrorCode::kNotFound) {
        co_return of_draft(
            ErrorCode::kNotFound,
            fmt::format("this node has no image sha256:{}: deploy or pull it first", digest));
    }
    if (!draft) {
        co_return draft.error();
    }
    if (draft->bytes >= model.bytes) {
        co_return of_draft(ErrorCode::kInvalidArgument,
                           fmt::format("it has {} of weights, the model {}: a draft that is not "
                                       "smaller gains nothing",
                                       format_bytes(draft->bytes), format_bytes(model.bytes)));
    }
    co_return DraftFacts{.image_bytes = draft->bytes, .kv_permille = kv_share(model, *draft, type)};
}

Task<Result<uint64_t>> NodeImpl::planned_kv_bytes(const api::Manifest* manifest, ImageFacts model) {
    const uint64_t kv_bytes = kv_bytes_of(*manifest);
    if (manifest->draft.empty()) {
        co_return kv_bytes;
    }
    auto asking =
        draft_facts(std::string(manifest->draft_image()), std::move(model), kv_type_of(*manifest));
    const auto draft = co_await std::move(asking);
    if (!draft) {
        co_return draft.error();
    }
    co_return kv_bytes - draft_kv_bytes(kv_bytes, *draft);
}

Task<Result<void>> NodeImpl::add_draft_facts(DeploymentRecord* record) {
    const std::string digest(record->manifest.draft_image());
    if (digest.empty()) {
        co_return Result<void>();
    }
    if (digest == record->image) {
        co_return of_draft(ErrorCode::kInvalidArgument,
                           "it is the model's own image: name a smaller model");
    }
    auto model = co_await facts_of_image(record->image);
    if (!model) {
        co_return model.error();
    }
    auto asking = draft_facts(digest, std::move(model).value(), kv_type_of(record->manifest));
    const auto facts = co_await std::move(asking);
    if (!facts) {
        co_return facts.error();
    }
    record->draft = *facts;
    co_return Result<void>();
}

uint64_t NodeImpl::draft_kv_bytes(uint64_t kv_bytes, const DraftFacts& draft) noexcept {
    return kv_bytes / kWhole * draft.kv_permille / kPageBytes * kPageBytes;
}

}  // namespace rekindle::daemon
