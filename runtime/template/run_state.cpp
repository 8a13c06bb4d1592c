#include "runtime/template/run_state.h"

#include <algorithm>
#include <memory>

namespace rekindle::runtime::jinja {

Value RunState::fail(ErrorCode code, const std::string& what) {
    if (!error_) {
        error_ = Error{code, "chat template line " + std::to_string(line_) + ": " + what};
    }
    return {};
}

Value RunState::raise(std::string_view message) {
    if (!error_) {
        error_ = Error{ErrorCode::kInvalidArgument, std::string(message)};
    }
    return {};
}

bool RunState::charge(uint64_t steps) {
    if (failed()) {
        return false;
    }
    if (steps > steps_left()) {
        steps_ = limits_.steps_max;
        fail(ErrorCode::kTooLarge,
             "the template needs more than " + std::to_string(limits_.steps_max) + " steps");
        return false;
    }
    steps_ += steps;
    return true;
}

bool RunState::allocated(uint64_t bytes) {
    if (failed()) {
        return false;
    }
    const uint64_t bytes_max = limits_.output_bytes_max * kArenaOutputs;
    arena_bytes_ += bytes;
    if (arena_bytes_ > bytes_max) {
        fail(ErrorCode::kTooLarge,
             "the template's values need more than " + std::to_string(bytes_max) + " bytes");
        return false;
    }
    return true;
}

Value RunState::text(std::string_view text) {
    if (!allocated(text.size()) || !charge_bytes(text.size())) {
        return {};
    }
    auto* copy = static_cast<char*>(arena_.allocate(text.size() + 1, 1));
    std::copy(text.begin(), text.end(), copy);
    return Value::text({copy, text.size()});
}

Value RunState::list(std::span<const Value> elements) {
    if (!allocated(elements.size_bytes()) || !charge_bytes(elements.size_bytes())) {
        return {};
    }
    auto* copy = static_cast<Value*>(arena_.allocate(elements.size_bytes() + 1, alignof(Value)));
    std::uninitialized_copy(elements.begin(), elements.end(), copy);
    return Value::list({copy, elements.size()});
}

Value RunState::tuple(std::span<const Value> elements) {
    Value value = list(elements);
    value.kind = failed() ? Kind::kUndefined : Kind::kTuple;
    return value;
}

Value RunState::dict(std::span<const Entry> entries) {
    if (!allocated(entries.size_bytes()) || !charge_bytes(entries.size_bytes())) {
        return {};
    }
    auto* copy = static_cast<Entry*>(arena_.allocate(entries.size_bytes() + 1, alignof(Entry)));
    std::uninitialized_copy(entries.begin(), entries.end(), copy);
    return Value::dict({copy, entries.size()});
}

}  // namespace rekindle::runtime::jinja
