// What expressions give: small, copied freely, pointing into the run's arena, the compiled table or
// the caller's variables, none of which change during a run. Lists and dicts never change either;
// only a namespace does.
// Threading: one thread. Lifetime: the Arena's.
#pragma once
#include "runtime/template/names.h"

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>
#include <vector>

namespace rekindle::runtime::jinja {

struct Entry;
struct Namespace;
struct MacroValue;
struct LoopState;

enum class Kind : uint8_t {
    kUndefined,  // text: the name that was looked up, for error messages.
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,  // UTF-8.
    kList,
    kTuple,
    kDict,  // Entries in order of insertion; keys are distinct strings.
    kNamespace,
    kMacro,
    kFunction,
    kMethod,  // A method that was named but not called: defined, true, good for nothing else.
    kLoop,
};

struct Value {
    Kind kind = Kind::kUndefined;
    uint32_t size = 0;  // Bytes of text, or elements.

    union {
        int64_t integer = 0;
        bool boolean;
        double real;
        const char* characters;
        const Value* elements;
        const Entry* entries;
        Namespace* space;
        const MacroValue* macro;
        LoopState* loop;
        Function function;
    };

    static Value undefined(std::string_view name) noexcept {
        return with_text(Kind::kUndefined, name);
    }

    static Value none() noexcept {
        Value value;
        value.kind = Kind::kNone;
        return value;
    }

    static Value of(bool boolean) noexcept {
        Value value;
        value.kind = Kind::kBool;
        value.boolean = boolean;
        return value;
    }

    static Value of(int64_t integer) noexcept {
        Value value;
        value.kind = Kind::kInt;
        value.integer = integer;
        return value;
    }

    static Value of(double real) noexcept {
        Value value;
        value.kind = Kind::kFloat;
        value.real = real;
        return value;
    }

    static Value of(Function function) noexcept {
        Value value;
        value.kind = Kind::kFunction;
        value.function = function;
        return value;
    }

    // The characters must outlive the run.
    static Value text(std::string_view text) noexcept { return with_text(Kind::kString, text); }

    static Value method(std::string_view name) noexcept { return with_text(Kind::kMethod, name); }

    static Value list(std::span<const Value> elements) noexcept {
        return with_elements(Kind::kList, elements);
    }

    static Value tuple(std::span<const Value> elements) noexcept {
        return with_elements(Kind::kTuple, elements);
    }

    static Value dict(std::span<const Entry> entries) noexcept;

    bool is_string() const noexcept { return kind == Kind::kString; }

    bool is_undefined() const noexcept { return kind == Kind::kUndefined; }

    bool is_sequence() const noexcept { return kind == Kind::kList || kind == Kind::kTuple; }

    bool is_dict() const noexcept { return kind == Kind::kDict; }

    // bool, int or float; as_integer is for the first two.
    bool is_number() const noexcept {
        return kind == Kind::kBool || kind == Kind::kInt || kind == Kind::kFloat;
    }

    bool is_integral() const noexcept { return kind == Kind::kBool || kind == Kind::kInt; }

    int64_t as_integer() const noexcept { return kind == Kind::kBool ? int64_t{boolean} : integer; }

    double as_real() const noexcept {
        return kind == Kind::kFloat ? real : static_cast<double>(as_integer());
    }

    // Of kString, kUndefined and kMethod.
    std::string_view view() const noexcept { return {characters, size}; }

    // Of a list or tuple.
    std::span<const Value> items() const noexcept { return {elements, size}; }

    std::span<const Entry> pairs() const noexcept;

    bool truthy() const noexcept;

private:
    static Value with_text(Kind kind, std::string_view text) noexcept {
        Value value;
        value.kind = kind;
        value.size = static_cast<uint32_t>(text.size());
        value.characters = text.data();
        return value;
    }

    static Value with_elements(Kind kind, std::span<const Value> elements) noexcept {
        Value value;
        value.kind = kind;
        value.size = static_cast<uint32_t>(elements.size());
        value.elements = elements.data();
        return value;
    }
};

struct Entry {
    std::string_view key;
    Value value;
};

inline Value Value::dict(std::span<const Entry> entries) noexcept {
    Value value;
    value.kind = Kind::kDict;
    value.size = static_cast<uint32_t>(entries.size());
    value.entries = entries.data();
    return value;
}

inline std::span<const Entry> Value::pairs() const noexcept {
    return {entries, size};
}

struct Namespace {
    std::pmr::vector<Entry> attributes;
};

struct LoopState {
    std::span<const Value> items;
    size_t index;
};

// "int", "str", … as error messages have it.
std::string_view type_name(const Value& value) noexcept;
// The value of a key; null when absent.
const Value* find_entry(std::span<const Entry> entries, std::string_view key) noexcept;

}  // namespace rekindle::runtime::jinja
