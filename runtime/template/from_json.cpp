#include "runtime/template/interpreter.h"

namespace rekindle::runtime::jinja {
namespace {

Value from_array(RunState& state, const json::array& array) {
    std::vector<Value> items;
    items.reserve(array.size());
    for (const json::value& item : array) {
        items.push_back(from_json(state, item));
        if (state.failed()) {
            return {};
        }
    }
    return state.list(items);
}

Value from_object(RunState& state, const json::object& object) {
    std::vector<Entry> entries;
    entries.reserve(object.size());
    for (const auto& [key, value] : object) {
        entries.push_back({std::string_view(key.data(), key.size()), from_json(state, value)});
        if (state.failed()) {
            return {};
        }
    }
    return state.dict(entries);
}

}  // namespace

Value from_json(RunState& state, const json::value& value) {
    const RunState::Descent descent(state);
    if (!descent) {
        return {};
    }
    switch (value.kind()) {
        case json::kind::null:
            return Value::none();
        case json::kind::bool_:
            return Value::of(value.get_bool());
        case json::kind::int64:
            return Value::of(int64_t{value.get_int64()});
        case json::kind::uint64:
            return Value::of(static_cast<double>(value.get_uint64()));
        case json::kind::double_:
            return Value::of(value.get_double());
        case json::kind::string:
            return Value::text({value.get_string().data(), value.get_string().size()});
        case json::kind::array:
            return from_array(state, value.get_array());
        case json::kind::object:
            return from_object(state, value.get_object());
    }
    return {};
}

}  // namespace rekindle::runtime::jinja
