#include "runtime/template/builtins.h"

#include <algorithm>

namespace rekindle::runtime::jinja {

BoundArguments::BoundArguments(RunState& state, const Arguments& arguments, std::string_view callee,
                               std::initializer_list<std::string_view> parameters)
    : state_(state), callee_(callee) {
    const std::span<const Value> positional = arguments.positional();
    if (positional.size() > parameters.size()) {
        state.bad_argument(std::string(callee) + " takes at most " +
                           std::to_string(parameters.size()) + " arguments");
        return;
    }
    for (size_t i = 0; i < positional.size(); ++i) {
        values_[i] = &positional[i];
    }
    for (size_t i = 0; i < arguments.names.size(); ++i) {
        const auto* found = std::find(parameters.begin(), parameters.end(), arguments.names[i]);
        const auto index = static_cast<size_t>(found - parameters.begin());
        if (found == parameters.end() || values_[index] != nullptr) {
            state.bad_argument(std::string(callee) + " cannot take the argument " +
                               std::string(arguments.names[i]));
            return;
        }
        values_[index] = &arguments.values[positional.size() + i];
    }
}

std::string_view BoundArguments::text_or(size_t index, std::string_view otherwise) const {
    if (!has(index)) {
        return otherwise;
    }
    if (!values_[index]->is_string()) {
        state_.bad_argument(std::string(callee_) + " takes a text, not a " +
                            std::string(type_name(*values_[index])));
        return otherwise;
    }
    return values_[index]->view();
}

int64_t BoundArguments::integer_or(size_t index, int64_t otherwise) const {
    if (!has(index)) {
        return otherwise;
    }
    if (!values_[index]->is_integral()) {
        state_.bad_argument(std::string(callee_) + " takes an integer, not a " +
                            std::string(type_name(*values_[index])));
        return otherwise;
    }
    return values_[index]->as_integer();
}

bool BoundArguments::truth_or(size_t index, bool otherwise) const noexcept {
    return values_[index] == nullptr ? otherwise : values_[index]->truthy();
}

}  // namespace rekindle::runtime::jinja
