#include "runtime/template/table_builder.h"

#include "base/units.h"

#include <cstring>

namespace rekindle::runtime::jinja {

uint32_t TableBuilder::add_node(NodeKind kind, uint8_t op, uint32_t line,
                                std::array<uint32_t, 5> operands) {
    nodes_.push_back({kind, op, 0, line, operands});
    return static_cast<uint32_t>(nodes_.size() - 1);
}

uint32_t TableBuilder::add_list(std::span<const uint32_t> elements) {
    const auto number = static_cast<uint32_t>(lists_.size());
    lists_.push_back(static_cast<uint32_t>(elements.size()));
    lists_.insert(lists_.end(), elements.begin(), elements.end());
    return number;
}

uint32_t TableBuilder::add_string(std::string_view text) {
    const auto [found, added] =
        numbers_.emplace(std::string(text), static_cast<uint32_t>(strings_.size()));
    if (added) {
        strings_.emplace_back(text);
    }
    return found->second;
}

std::vector<std::byte> TableBuilder::finish(uint32_t root) const {
    std::string text;
    std::vector<TextRange> ranges;
    ranges.reserve(strings_.size());
    for (const std::string& string : strings_) {
        ranges.push_back(
            {static_cast<uint32_t>(text.size()), static_cast<uint32_t>(string.size())});
        text += string;
    }
    std::vector<std::byte> out(align_up(sizeof(TableHeader), 8));
    const auto append = [&out](const auto& elements) {
        const TableSection section{static_cast<uint32_t>(out.size()),
                                   static_cast<uint32_t>(elements.size())};
        const auto bytes = std::as_bytes(std::span(elements));
        out.insert(out.end(), bytes.begin(), bytes.end());
        out.resize(align_up(out.size(), 8));
        return section;
    };
    TableHeader header{};
    header.magic = kTemplateMagic;
    header.version = kTemplateVersion;
    header.root = root;
    header.nodes = append(nodes_);
    header.lists = append(lists_);
    header.strings = append(ranges);
    header.text = append(text);
    header.table_bytes = static_cast<uint32_t>(out.size());
    std::memcpy(out.data(), &header, sizeof header);
    return out;
}

}  // namespace rekindle::runtime::jinja
