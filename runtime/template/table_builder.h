// Collects nodes, lists and strings while a template is parsed, and lays them out as a table.
// Threading: one thread.
#pragma once
#include "runtime/template/table.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rekindle::runtime::jinja {

class TableBuilder {
public:
    uint32_t add_node(NodeKind kind, uint32_t line, std::array<uint32_t, 5> operands) {
        return add_node(kind, 0, line, operands);
    }

    uint32_t add_node(NodeKind kind, uint8_t op, uint32_t line, std::array<uint32_t, 5> operands);
    uint32_t add_list(std::span<const uint32_t> elements);
    // The same text gets the same number.
    uint32_t add_string(std::string_view text);

    const Node& node(uint32_t number) const noexcept { return nodes_[number]; }

    std::string_view string(uint32_t number) const noexcept { return strings_[number]; }

    std::vector<std::byte> finish(uint32_t root) const;

private:
    std::vector<Node> nodes_;
    std::vector<uint32_t> lists_;
    std::vector<std::string> strings_;
    std::unordered_map<std::string, uint32_t> numbers_;
};

}  // namespace rekindle::runtime::jinja
