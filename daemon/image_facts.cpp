#include "daemon/image_facts.h"

#include "base/json.h"

#include <fmt/format.h>

namespace rekindle::daemon {
namespace {

constexpr uint64_t kBytesMax = 1ULL << 40;  // Of an image: docs/formats/image.md.
constexpr uint64_t kLayersMax = 1024;
constexpr uint64_t kHeadsMax = 1ULL << 12;
constexpr uint64_t kHeadDimMax = 1ULL << 12;
constexpr uint64_t kContextMax = 1ULL << 24;
constexpr uint64_t kKeysAndValues = 2;

// Reads members that must be there; keeps the first fault.
class Members {
public:
    explicit Members(const json::value* value)
        : object_(value == nullptr ? nullptr : value->if_object()) {}

    uint64_t number(std::string_view key, uint64_t high) {
        const json::value* value = object_ == nullptr ? nullptr : object_->if_contains(key);
        boost::system::error_code ec;
        const uint64_t number =
            value != nullptr && value->is_number() ? value->to_number<uint64_t>(ec) : 0;
        if (number == 0 || ec || number > high) {
            fault_ = fault_.empty() ? std::string(key) : fault_;
            return 0;
        }
        return number;
    }

    const std::string& fault() const noexcept { return fault_; }

private:
    const json::object* object_;
    std::string fault_;
};

}  // namespace

uint64_t ImageFacts::kv_page_bytes(kernels::KvType type) const noexcept {
    return kv_rows_per_position * kernels::kv_head_bytes(type, head_dim);
}

// Below 2^61 at the limits of all numbers.
uint64_t ImageFacts::kv_bytes(uint64_t positions, kernels::KvType type) const noexcept {
    const uint64_t pages = (positions + kernels::kPageTokens - 1) / kernels::kPageTokens;
    return pages * kv_page_bytes(type);
}

Result<ImageFacts> parse_image_facts(std::string_view text) {
    const auto parsed = parse_json(text, JsonLimits{.bytes_max = 64ULL << 20});
    if (!parsed) {
        return parsed.error();
    }
    const json::object* object = parsed->if_object();
    const json::value* tensors = object == nullptr ? nullptr : object->if_contains("tensors");
    const json::value* name = object == nullptr ? nullptr : object->if_contains("architecture");
    if (tensors == nullptr || !tensors->is_array() || name == nullptr || !name->is_string()) {
        return Error{ErrorCode::kCorrupt, "image index: tensors or architecture are missing"};
    }
    Members top(&*parsed);
    Members model(object->if_contains("hyperparameters"));
    ImageFacts facts;
    facts.architecture = std::string(name->get_string());
    facts.tensors = tensors->get_array().size();
    facts.bytes = top.number("bytes", kBytesMax);
    facts.context = static_cast<uint32_t>(model.number("context", kContextMax));
    facts.kv_rows_per_position =
        model.number("layers", kLayersMax) * model.number("kv_heads", kHeadsMax) * kKeysAndValues;
    facts.head_dim = static_cast<uint32_t>(model.number("head_dim", kHeadDimMax));
    const std::string& fault = top.fault().empty() ? model.fault() : top.fault();
    if (!fault.empty()) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("image index: \"{}\" is missing or out of range", fault)};
    }
    return facts;
}

}  // namespace rekindle::daemon
