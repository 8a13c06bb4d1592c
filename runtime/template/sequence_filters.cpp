#include "runtime/template/builtins.h"
#include "runtime/template/operations.h"

#include <algorithm>

namespace rekindle::runtime::jinja {
namespace {

Value filter_join(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "join", {"d", "attribute"});
    const std::string_view separator = bound.text_or(0, "");
    std::string out;
    bool first = true;
    for (const Value& item : iterate(state, input)) {
        if (!state.charge(1 + separator.size() / kBytesPerStep)) {
            return {};
        }
        out += first ? std::string_view{} : separator;
        first = false;
        append_str(state, out, bound.has(1) ? attribute_path(state, item, *bound[1]) : item);
    }
    return state.text(out);
}

// map(attribute="a") or map("filter", …).
Value filter_map(RunState& state, const Value& input, const Arguments& arguments) {
    std::vector<Value> out;
    if (!input.truthy()) {
        return state.list(out);  // Python asks `if value` first: none is as good as empty.
    }
    if (arguments.positional().empty()) {
        const BoundArguments bound(state, arguments, "map", {"attribute", "default"});
        if (!bound.has(0)) {
            return state.bad_argument("map takes an attribute or a filter's name");
        }
        for (const Value& item : iterate(state, input)) {
            const Value value = attribute_path(state, item, *bound[0]);
            out.push_back(value.is_undefined() && bound[1] != nullptr ? *bound[1] : value);
        }
        return state.list(out);
    }
    const Value& name = arguments.values[0];
    const std::optional<Filter> filter = name.is_string() ? find_filter(name.view()) : std::nullopt;
    if (!filter || *filter == Filter::kMap) {
        return state.bad_argument("map: there is no such filter");
    }
    const Arguments rest{arguments.values.subspan(1), arguments.names};
    for (const Value& item : iterate(state, input)) {
        if (!state.step()) {
            return {};
        }
        out.push_back(apply_filter(state, *filter, item, rest));
    }
    return state.list(out);
}

// select, reject (by a test of the item), selectattr, rejectattr (by a test of its attribute).
Value filter_select(RunState& state, const Value& input, const Arguments& arguments,
                    bool by_attribute, bool wanted) {
    if (!input.truthy()) {
        return state.list({});
    }
    std::span<const Value> rest = arguments.positional();
    const Value* path = nullptr;
    if (by_attribute) {
        if (rest.empty()) {
            return state.bad_argument("selectattr and rejectattr take an attribute's name");
        }
        path = &rest[0];
        rest = rest.subspan(1);
    }
    std::optional<Test> test;
    if (!rest.empty()) {
        test = rest[0].is_string() ? find_test(rest[0].view()) : std::nullopt;
        if (!test) {
            return state.bad_argument("select: there is no such test");
        }
        rest = rest.subspan(1);
    }
    std::vector<Value> out;
    for (const Value& item : iterate(state, input)) {
        if (!state.step()) {
            return {};
        }
        const Value value = path == nullptr ? item : attribute_path(state, item, *path);
        const bool passed = test ? apply_test(state, *test, value, {rest, {}}) : value.truthy();
        if (passed == wanted) {
            out.push_back(item);
        }
    }
    return state.list(out);
}

// The value that items are ordered by: texts without case unless asked otherwise.
Value sort_key(RunState& state, const Value& item, const Value* path, bool case_sensitive) {
    const Value value = path == nullptr ? item : attribute_path(state, item, *path);
    return value.is_string() && !case_sensitive
               ? change_case(state, value.view(), CaseChange::kLower)
               : value;
}

struct Keyed {
    Value key;
    Value item;
};

// A bottom-up merge sort: stable, and safe under the comparisons that NaN or a failed run make
// inconsistent, which the standard library's sorts are not.
Value sorted(RunState& state, std::vector<Keyed> keyed, bool reverse) {
    const auto before = [&](const Keyed& a, const Keyed& b) {
        return reverse ? less(state, b.key, a.key) : less(state, a.key, b.key);
    };
    std::vector<Keyed> merged(keyed.size());
    for (size_t width = 1; width < keyed.size() && !state.failed(); width *= 2) {
        for (size_t begin = 0; begin < keyed.size(); begin += 2 * width) {
            const size_t middle = std::min(begin + width, keyed.size());
            const size_t end = std::min(middle + width, keyed.size());
            size_t left = begin;
            size_t right = middle;
            for (size_t out = begin; out < end; ++out) {
                const bool takes_right =
                    left == middle || (right < end && before(keyed[right], keyed[left]));
                merged[out] = keyed[takes_right ? right++ : left++];
            }
        }
        keyed.swap(merged);
    }
    std::vector<Value> out;
    out.reserve(keyed.size());
    for (const Keyed& entry : keyed) {
        out.push_back(entry.item);
    }
    return state.list(out);
}

Value filter_sort(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "sort",
                               {"reverse", "case_sensitive", "attribute"});
    std::vector<Keyed> keyed;
    for (const Value& item : iterate(state, input)) {
        keyed.push_back(
            {sort_key(state, item, bound.has(2) ? bound[2] : nullptr, bound.truth_or(1, false)),
             item});
    }
    return sorted(state, std::move(keyed), bound.truth_or(0, false));
}

Value filter_dictsort(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "dictsort", {"case_sensitive", "by", "reverse"});
    if (!input.is_dict()) {
        return state.bad_argument("dictsort takes a mapping");
    }
    const bool by_value = bound.text_or(1, "key") == "value";
    const Value items = dict_items(state, input);
    std::vector<Keyed> keyed;
    for (const Value& item : iterate(state, items)) {
        const Value position = Value::of(int64_t{by_value ? 1 : 0});
        keyed.push_back({sort_key(state, item, &position, bound.truth_or(0, false)), item});
    }
    return sorted(state, std::move(keyed), bound.truth_or(2, false));
}

Value filter_unique(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "unique", {"case_sensitive", "attribute"});
    std::vector<Value> keys;
    std::vector<Value> out;
    for (const Value& item : iterate(state, input)) {
        const Value key =
            sort_key(state, item, bound.has(1) ? bound[1] : nullptr, bound.truth_or(0, false));
        const bool seen = std::any_of(keys.begin(), keys.end(), [&](const Value& other) {
            return equals(state, other, key);
        });
        if (!seen) {
            keys.push_back(key);
            out.push_back(item);
        }
    }
    return state.list(out);
}

Value filter_extreme(RunState& state, const Value& input, const Arguments& arguments, bool max) {
    const BoundArguments bound(state, arguments, max ? "max" : "min",
                               {"case_sensitive", "attribute"});
    const std::span<const Value> items = iterate(state, input);
    if (items.empty()) {
        return Value::undefined("the extreme of an empty sequence");
    }
    const auto key = [&](const Value& item) {
        return sort_key(state, item, bound.has(1) ? bound[1] : nullptr, bound.truth_or(0, false));
    };
    Value best = items[0];
    Value best_key = key(best);
    for (const Value& item : items.subspan(1)) {
        const Value item_key = key(item);
        if (max ? less(state, best_key, item_key) : less(state, item_key, best_key)) {
            best = item;
            best_key = item_key;
        }
    }
    return best;
}

Value filter_sum(RunState& state, const Value& input, const Arguments& arguments) {
    const BoundArguments bound(state, arguments, "sum", {"attribute", "start"});
    Value total = bound[1] == nullptr ? Value::of(int64_t{0}) : *bound[1];
    for (const Value& item : iterate(state, input)) {
        if (!state.step()) {
            return {};
        }
        total = add(state, total, bound.has(0) ? attribute_path(state, item, *bound[0]) : item);
    }
    return total;
}

}  // namespace

Value apply_sequence_filter(RunState& state, Filter filter, const Value& input,
                            const Arguments& arguments) {
    switch (filter) {
        case Filter::kJoin:
            return filter_join(state, input, arguments);
        case Filter::kMap:
            return filter_map(state, input, arguments);
        case Filter::kSelect:
        case Filter::kReject:
            return filter_select(state, input, arguments, false, filter == Filter::kSelect);
        case Filter::kSelectattr:
        case Filter::kRejectattr:
            return filter_select(state, input, arguments, true, filter == Filter::kSelectattr);
        case Filter::kSort:
            return filter_sort(state, input, arguments);
        case Filter::kDictsort:
            return filter_dictsort(state, input, arguments);
        case Filter::kUnique:
            return filter_unique(state, input, arguments);
        case Filter::kMin:
        case Filter::kMax:
            return filter_extreme(state, input, arguments, filter == Filter::kMax);
        case Filter::kSum:
            return filter_sum(state, input, arguments);
        default:
            return state.fail(
                ErrorCode::kUnsupported,
                "the filter |" + std::string(filter_name(filter)) + " is not supported here");
    }
}

}  // namespace rekindle::runtime::jinja
