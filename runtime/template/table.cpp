#include "runtime/template/table.h"

#include "runtime/template/names.h"

#include <cstring>
#include <string>

namespace rekindle::runtime::jinja {
namespace {

enum class Operand : uint8_t {
    kUnused,
    kNode,
    kOptionalNode,
    kNodes,
    kString,
    kStrings,
    kNumber,
    kComparisons
};

struct Shape {
    std::array<Operand, 5> operands{};
    uint8_t ops = 0;  // Node::op is below; 0: it is 0.
};

constexpr uint8_t count_of(auto end) noexcept {
    return static_cast<uint8_t>(end);
}

constexpr Shape shape_of(NodeKind kind) noexcept {
    using enum Operand;
    switch (kind) {
        case NodeKind::kNoneValue:
        case NodeKind::kBreak:
        case NodeKind::kContinue:
        case NodeKind::kEnd:
            return {};
        case NodeKind::kBool:
            return {{kNumber}};
        case NodeKind::kInt:
        case NodeKind::kFloat:
            return {{kNumber, kNumber}};
        case NodeKind::kString:
        case NodeKind::kName:
        case NodeKind::kText:
            return {{kString}};
        case NodeKind::kList:
        case NodeKind::kTuple:
        case NodeKind::kDict:
        case NodeKind::kAnd:
        case NodeKind::kOr:
        case NodeKind::kConcat:
        case NodeKind::kAdd:
        case NodeKind::kBlock:
            return {{kNodes}};
        case NodeKind::kAttribute:
            return {{kNode, kString}};
        case NodeKind::kSubscript:
            return {{kNode, kNode}};
        case NodeKind::kSlice:
            return {{kNode, kNodes}};
        case NodeKind::kCall:
            return {{kNode, kStrings, kNodes}};
        case NodeKind::kMethodCall:
            return {{kNode, kStrings, kNodes}, count_of(Method::kEnd)};
        case NodeKind::kFilter:
            return {{kNode, kStrings, kNodes}, count_of(Filter::kEnd)};
        case NodeKind::kTest:
            return {{kNode, kStrings, kNodes, kNumber}, count_of(Test::kEnd)};
        case NodeKind::kNot:
        case NodeKind::kNegate:
        case NodeKind::kPositive:
        case NodeKind::kOutput:
        case NodeKind::kScope:
            return {{kNode}};
        case NodeKind::kArithmetic:
            return {{kNode, kNode}, count_of(Arithmetic::kEnd)};
        case NodeKind::kCompare:
            return {{kNode, kNodes, kComparisons}};
        case NodeKind::kConditional:
            return {{kNode, kNode, kOptionalNode}};
        case NodeKind::kIf:
            return {{kNodes, kNodes, kOptionalNode}};
        case NodeKind::kFor:
            return {{kStrings, kNode, kOptionalNode, kNode, kOptionalNode}};
        case NodeKind::kSet:
            return {{kStrings, kNode}};
        case NodeKind::kSetAttribute:
            return {{kString, kString, kNode}};
        case NodeKind::kSetBlock:
            return {{kString, kNode}};
        case NodeKind::kMacro:
            return {{kString, kStrings, kNodes, kNode}};
    }
    return {};
}

Error corrupt(const std::string& what) {
    return Error{ErrorCode::kCorrupt, "template table: " + what};
}

class Checker {
public:
    explicit Checker(const TableView& view) noexcept : view_(view) {}

    bool node_ok(uint32_t number) const noexcept {
        const Node& node = view_.nodes[number];
        if (node.kind >= NodeKind::kEnd) {
            return false;
        }
        const Shape shape = shape_of(node.kind);
        if (shape.ops == 0 ? node.op != 0 : node.op >= shape.ops) {
            return false;
        }
        for (size_t i = 0; i < shape.operands.size(); ++i) {
            if (!operand_ok(shape.operands[i], node.operands[i], number)) {
                return false;
            }
        }
        return lists_agree(node);
    }

private:
    bool list_ok(uint32_t number) const noexcept {
        return number < view_.lists.size() &&
               view_.lists[number] <= view_.lists.size() - number - 1;
    }

    // Every element of a list is below `end`.
    bool elements_below(uint32_t number, size_t end) const noexcept {
        if (!list_ok(number)) {
            return false;
        }
        for (const uint32_t element : view_.list(number)) {
            if (element >= end) {
                return false;
            }
        }
        return true;
    }

    bool operand_ok(Operand operand, uint32_t value, uint32_t parent) const noexcept {
        switch (operand) {
            case Operand::kUnused:
                return value == 0;
            case Operand::kNumber:
                return true;
            case Operand::kNode:
                return value < parent;  // Children come first, so no cycle is possible.
            case Operand::kOptionalNode:
                return value == kNone || value < parent;
            case Operand::kNodes:
                return elements_below(value, parent);
            case Operand::kString:
                return value < view_.strings.size();
            case Operand::kStrings:
                return elements_below(value, view_.strings.size());
            case Operand::kComparisons:
                return elements_below(value, count_of(Comparison::kEnd));
        }
        return false;
    }

    // What the interpreter relies on beyond single operands.
    bool lists_agree(const Node& node) const noexcept {
        const auto size = [&](size_t operand) { return view_.list(node.operands[operand]).size(); };
        switch (node.kind) {
            case NodeKind::kDict:
                return size(0) % 2 == 0;
            case NodeKind::kAnd:
            case NodeKind::kOr:
            case NodeKind::kAdd:
                return size(0) > 0;
            case NodeKind::kSlice:
                return size(1) == 3;
            case NodeKind::kCall:
            case NodeKind::kMethodCall:
            case NodeKind::kFilter:
            case NodeKind::kTest:
                return size(1) <= size(2);  // The last arguments are the named ones.
            case NodeKind::kCompare:
                return size(1) == size(2);
            case NodeKind::kIf:
                return size(0) == size(1);
            case NodeKind::kFor:
            case NodeKind::kSet:
                return size(0) > 0;
            case NodeKind::kMacro:
                return size(2) <= size(1);
            default:
                return true;
        }
    }

    const TableView& view_;
};

template <typename T>
bool bind(std::span<const std::byte> bytes, const TableSection& section,
          std::span<const T>& out) noexcept {
    if (section.offset % 8 != 0 || section.offset > bytes.size() ||
        section.count > (bytes.size() - section.offset) / sizeof(T)) {
        return false;
    }
    out = {reinterpret_cast<const T*>(bytes.data() + section.offset), section.count};
    return true;
}

Result<void> check_view(const TableView& view) {
    for (const TextRange& range : view.strings) {
        if (range.offset > view.text.size() || range.bytes > view.text.size() - range.offset) {
            return corrupt("a string leaves the text");
        }
    }
    const Checker checker(view);
    for (uint32_t i = 0; i < view.nodes.size(); ++i) {
        if (!checker.node_ok(i)) {
            return corrupt("node " + std::to_string(i) + " is malformed");
        }
    }
    if (view.root >= view.nodes.size()) {
        return corrupt("its root is out of range");
    }
    return {};
}

}  // namespace

Result<TableView> open_table(std::span<const std::byte> bytes) {
    if (reinterpret_cast<uintptr_t>(bytes.data()) % 8 != 0) {
        return corrupt("it does not lie at a multiple of eight bytes");
    }
    if (bytes.size() < sizeof(TableHeader)) {
        return corrupt("ends within its header");
    }
    TableHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.magic != kTemplateMagic) {
        return corrupt("wrong magic");
    }
    if (header.version != kTemplateVersion) {
        return Error{
            ErrorCode::kUnsupported,
            "template table: version " + std::to_string(header.version) + " is not known here"};
    }
    TableView view;
    view.root = header.root;
    if (header.table_bytes != bytes.size() || !bind(bytes, header.nodes, view.nodes) ||
        !bind(bytes, header.lists, view.lists) || !bind(bytes, header.strings, view.strings) ||
        !bind(bytes, header.text, view.text)) {
        return corrupt("a section leaves the table");
    }
    if (Result<void> checked = check_view(view); !checked) {
        return std::move(checked).error();
    }
    return view;
}

}  // namespace rekindle::runtime::jinja
