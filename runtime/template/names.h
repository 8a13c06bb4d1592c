// The filters, tests, methods and functions that templates may call. Their numbers stand in
// compiled tables: new ones are appended. Threading: pure functions.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace rekindle::runtime::jinja {

enum class Filter : uint8_t {
    kAbs,
    kCapitalize,
    kDefault,
    kDictsort,
    kFirst,
    kFloat,
    kIndent,
    kInt,
    kItems,
    kJoin,
    kLast,
    kLength,
    kList,
    kLower,
    kMap,
    kMax,
    kMin,
    kReject,
    kRejectattr,
    kReplace,
    kReverse,
    kRound,
    kSafe,
    kSelect,
    kSelectattr,
    kSort,
    kString,
    kSum,
    kTitle,
    kTojson,
    kTrim,
    kUnique,
    kUpper,
    kEnd,
};

enum class Test : uint8_t {
    kBoolean,
    kCallable,
    kDefined,
    kDivisibleby,
    kEqual,
    kEven,
    kFalse,
    kFloat,
    kGreater,
    kGreaterEqual,
    kIn,
    kInteger,
    kIterable,
    kLess,
    kLessEqual,
    kLower,
    kMapping,
    kNone,
    kNotEqual,
    kNumber,
    kOdd,
    kSameas,
    kSequence,
    kString,
    kTrue,
    kUndefined,
    kUpper,
    kEnd,
};

enum class Method : uint8_t {
    kCapitalize,
    kCount,
    kEndswith,
    kFind,
    kGet,
    kIndex,
    kIsdigit,
    kIslower,
    kIsspace,
    kIsupper,
    kItems,
    kJoin,
    kKeys,
    kLower,
    kLstrip,
    kPartition,
    kRemoveprefix,
    kRemovesuffix,
    kReplace,
    kRfind,
    kRpartition,
    kRsplit,
    kRstrip,
    kSplit,
    kSplitlines,
    kStartswith,
    kStrip,
    kTitle,
    kUpper,
    kValues,
    kCycle,
    kEnd,
};

enum class Function : uint8_t { kDict, kNamespace, kRaiseException, kRange, kStrftimeNow, kEnd };

std::optional<Filter> find_filter(std::string_view name) noexcept;
std::optional<Test> find_test(std::string_view name) noexcept;
std::optional<Method> find_method(std::string_view name) noexcept;
std::optional<Function> find_function(std::string_view name) noexcept;

std::string_view filter_name(Filter filter) noexcept;
std::string_view test_name(Test test) noexcept;
std::string_view method_name(Method method) noexcept;

}  // namespace rekindle::runtime::jinja
