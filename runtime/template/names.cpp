#include "runtime/template/names.h"

#include <array>

namespace rekindle::runtime::jinja {
namespace {

template <typename Id>
struct Named {
    std::string_view name;
    Id id;
};

// Several names may mean one thing; the first one is its printed name.
constexpr auto kFilters = std::to_array<Named<Filter>>({
    {"abs", Filter::kAbs},
    {"capitalize", Filter::kCapitalize},
    {"default", Filter::kDefault},
    {"d", Filter::kDefault},
    {"dictsort", Filter::kDictsort},
    {"first", Filter::kFirst},
    {"float", Filter::kFloat},
    {"indent", Filter::kIndent},
    {"int", Filter::kInt},
    {"items", Filter::kItems},
    {"join", Filter::kJoin},
    {"last", Filter::kLast},
    {"length", Filter::kLength},
    {"count", Filter::kLength},
    {"list", Filter::kList},
    {"lower", Filter::kLower},
    {"map", Filter::kMap},
    {"max", Filter::kMax},
    {"min", Filter::kMin},
    {"reject", Filter::kReject},
    {"rejectattr", Filter::kRejectattr},
    {"replace", Filter::kReplace},
    {"reverse", Filter::kReverse},
    {"round", Filter::kRound},
    {"safe", Filter::kSafe},
    {"select", Filter::kSelect},
    {"selectattr", Filter::kSelectattr},
    {"sort", Filter::kSort},
    {"string", Filter::kString},
    {"sum", Filter::kSum},
    {"title", Filter::kTitle},
    {"tojson", Filter::kTojson},
    {"trim", Filter::kTrim},
    {"unique", Filter::kUnique},
    {"upper", Filter::kUpper},
});

constexpr auto kTests = std::to_array<Named<Test>>({
    {"boolean", Test::kBoolean},
    {"callable", Test::kCallable},
    {"defined", Test::kDefined},
    {"divisibleby", Test::kDivisibleby},
    {"eq", Test::kEqual},
    {"equalto", Test::kEqual},
    {"==", Test::kEqual},
    {"even", Test::kEven},
    {"false", Test::kFalse},
    {"float", Test::kFloat},
    {"gt", Test::kGreater},
    {"greaterthan", Test::kGreater},
    {">", Test::kGreater},
    {"ge", Test::kGreaterEqual},
    {">=", Test::kGreaterEqual},
    {"in", Test::kIn},
    {"integer", Test::kInteger},
    {"iterable", Test::kIterable},
    {"lt", Test::kLess},
    {"lessthan", Test::kLess},
    {"<", Test::kLess},
    {"le", Test::kLessEqual},
    {"<=", Test::kLessEqual},
    {"lower", Test::kLower},
    {"mapping", Test::kMapping},
    {"none", Test::kNone},
    {"ne", Test::kNotEqual},
    {"!=", Test::kNotEqual},
    {"number", Test::kNumber},
    {"odd", Test::kOdd},
    {"sameas", Test::kSameas},
    {"sequence", Test::kSequence},
    {"string", Test::kString},
    {"true", Test::kTrue},
    {"undefined", Test::kUndefined},
    {"upper", Test::kUpper},
});

constexpr auto kMethods = std::to_array<Named<Method>>({
    {"capitalize", Method::kCapitalize},
    {"count", Method::kCount},
    {"endswith", Method::kEndswith},
    {"find", Method::kFind},
    {"get", Method::kGet},
    {"index", Method::kIndex},
    {"isdigit", Method::kIsdigit},
    {"islower", Method::kIslower},
    {"isspace", Method::kIsspace},
    {"isupper", Method::kIsupper},
    {"items", Method::kItems},
    {"join", Method::kJoin},
    {"keys", Method::kKeys},
    {"lower", Method::kLower},
    {"lstrip", Method::kLstrip},
    {"partition", Method::kPartition},
    {"removeprefix", Method::kRemoveprefix},
    {"removesuffix", Method::kRemovesuffix},
    {"replace", Method::kReplace},
    {"rfind", Method::kRfind},
    {"rpartition", Method::kRpartition},
    {"rsplit", Method::kRsplit},
    {"rstrip", Method::kRstrip},
    {"split", Method::kSplit},
    {"splitlines", Method::kSplitlines},
    {"startswith", Method::kStartswith},
    {"strip", Method::kStrip},
    {"title", Method::kTitle},
    {"upper", Method::kUpper},
    {"values", Method::kValues},
    {"cycle", Method::kCycle},
});

constexpr auto kFunctions = std::to_array<Named<Function>>({
    {"dict", Function::kDict},
    {"namespace", Function::kNamespace},
    {"raise_exception", Function::kRaiseException},
    {"range", Function::kRange},
    {"strftime_now", Function::kStrftimeNow},
});

template <typename Id, size_t kCount>
std::optional<Id> find(const std::array<Named<Id>, kCount>& table, std::string_view name) noexcept {
    for (const Named<Id>& entry : table) {
        if (entry.name == name) {
            return entry.id;
        }
    }
    return std::nullopt;
}

template <typename Id, size_t kCount>
std::string_view name_of(const std::array<Named<Id>, kCount>& table, Id id) noexcept {
    for (const Named<Id>& entry : table) {
        if (entry.id == id) {
            return entry.name;
        }
    }
    return "?";
}

}  // namespace

std::optional<Filter> find_filter(std::string_view name) noexcept {
    return find(kFilters, name);
}

std::optional<Test> find_test(std::string_view name) noexcept {
    return find(kTests, name);
}

std::optional<Method> find_method(std::string_view name) noexcept {
    return find(kMethods, name);
}

std::optional<Function> find_function(std::string_view name) noexcept {
    return find(kFunctions, name);
}

std::string_view filter_name(Filter filter) noexcept {
    return name_of(kFilters, filter);
}

std::string_view test_name(Test test) noexcept {
    return name_of(kTests, test);
}

std::string_view method_name(Method method) noexcept {
    return name_of(kMethods, method);
}

}  // namespace rekindle::runtime::jinja
