// A compiled template as it lies in memory (docs/formats/template-table.md): nodes whose children
// come before them, lists of child numbers, and a pool of strings. open_table checks every operand
// once, so that the interpreter can follow all of them.
// Threading: immutable. Lifetime: a TableView points into the table's bytes.
#pragma once
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace rekindle::runtime::jinja {

inline constexpr uint64_t kTemplateMagic = 0x314C'504D'5445'4B52;  // "RKETMPL1" in memory order.
inline constexpr uint32_t kTemplateVersion = 1;
inline constexpr uint32_t kSourceBytesMax = 1U << 20;  // Published templates have up to 30 KiB.
inline constexpr uint32_t kNone = 0xFFFF'FFFF;         // An absent optional operand.

enum class NodeKind : uint8_t {
    // Expressions.
    kNoneValue,    //
    kBool,         // value
    kInt,          // low, high
    kFloat,        // low, high
    kString,       // text
    kName,         // name
    kList,         // items
    kTuple,        // items
    kDict,         // keys and values in turn
    kAttribute,    // object, name
    kSubscript,    // object, key
    kSlice,        // object, [start, stop, step]; none where left out
    kCall,         // callee, names of arguments, arguments
    kMethodCall,   // object, names, arguments; op: Method
    kFilter,       // input, names, arguments; op: Filter
    kTest,         // input, names, arguments, negated; op: Test
    kNot,          // operand
    kNegate,       // operand
    kPositive,     // operand
    kAnd,          // operands
    kOr,           // operands
    kConcat,       // operands
    kAdd,          // operands
    kArithmetic,   // left, right; op: Arithmetic
    kCompare,      // first, [others], [Comparison]
    kConditional,  // condition, then, else or nothing
    // Statements.
    kText,          // text
    kOutput,        // expression
    kBlock,         // statements
    kIf,            // conditions, blocks, else or nothing
    kFor,           // targets, iterable, filter or nothing, block, else or nothing
    kSet,           // targets, expression
    kSetAttribute,  // name, attribute, expression
    kSetBlock,      // name, block
    kMacro,         // name, parameters, defaults of the last ones, block
    kScope,         // block
    kBreak,         //
    kContinue,      //
    kEnd,
};

enum class Arithmetic : uint8_t {
    kSubtract,
    kMultiply,
    kDivide,
    kFloorDivide,
    kModulo,
    kPower,
    kEnd
};
enum class Comparison : uint8_t {
    kEqual,
    kNotEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kIn,
    kNotIn,
    kEnd,
};

struct Node {
    NodeKind kind;
    uint8_t op;
    uint16_t reserved;
    uint32_t line;                     // Of the source, from 1.
    std::array<uint32_t, 5> operands;  // Node, string or list numbers, as the kind says.
};

struct TextRange {
    uint32_t offset;
    uint32_t bytes;
};

struct TableSection {
    uint32_t offset;  // From the start of the table; a multiple of 8.
    uint32_t count;   // Elements.
};

struct TableHeader {
    uint64_t magic;
    uint32_t version;
    uint32_t table_bytes;
    uint32_t root;  // A node.
    uint32_t reserved;
    TableSection nodes;    // Node[]
    TableSection lists;    // uint32_t[]: a list is its length, then its elements.
    TableSection strings;  // TextRange[], into the text; no two are equal.
    TableSection text;     // char[]
};

static_assert(sizeof(Node) == 28 && sizeof(TableHeader) == 56);

struct TableView {
    uint32_t root = 0;
    std::span<const Node> nodes;
    std::span<const uint32_t> lists;
    std::span<const TextRange> strings;
    std::span<const char> text;

    std::string_view string(uint32_t number) const noexcept {
        return {text.data() + strings[number].offset, strings[number].bytes};
    }

    std::span<const uint32_t> list(uint32_t number) const noexcept {
        return lists.subspan(number + 1, lists[number]);
    }
};

// kCorrupt names the first thing that is wrong. The bytes must lie at a multiple of eight.
Result<TableView> open_table(std::span<const std::byte> bytes);

}  // namespace rekindle::runtime::jinja
