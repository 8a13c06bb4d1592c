#include "runtime/template/value.h"

namespace rekindle::runtime::jinja {

bool Value::truthy() const noexcept {
    switch (kind) {
        case Kind::kUndefined:
        case Kind::kNone:
            return false;
        case Kind::kBool:
            return boolean;
        case Kind::kInt:
            return integer != 0;
        case Kind::kFloat:
            return real != 0;
        case Kind::kString:
        case Kind::kList:
        case Kind::kTuple:
        case Kind::kDict:
            return size != 0;
        default:
            return true;
    }
}

std::string_view type_name(const Value& value) noexcept {
    switch (value.kind) {
        case Kind::kUndefined:
            return "Undefined";
        case Kind::kNone:
            return "NoneType";
        case Kind::kBool:
            return "bool";
        case Kind::kInt:
            return "int";
        case Kind::kFloat:
            return "float";
        case Kind::kString:
            return "str";
        case Kind::kList:
            return "list";
        case Kind::kTuple:
            return "tuple";
        case Kind::kDict:
            return "dict";
        case Kind::kNamespace:
            return "namespace";
        case Kind::kMacro:
            return "macro";
        case Kind::kFunction:
            return "function";
        case Kind::kMethod:
            return "method";
        case Kind::kLoop:
            return "loop";
    }
    return "?";
}

const Value* find_entry(std::span<const Entry> entries, std::string_view key) noexcept {
    for (const Entry& entry : entries) {
        if (entry.key == key) {
            return &entry.value;
        }
    }
    return nullptr;
}

}  // namespace rekindle::runtime::jinja
