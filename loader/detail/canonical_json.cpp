#include "loader/detail/canonical_json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace rekindle::loader {
namespace {

namespace json = boost::json;

// An object or array that is being read; what is finished of it is already canonical.
struct Level {
    bool is_object = false;
    std::string key;                                           // Of the value that comes next.
    std::vector<std::pair<std::string, std::string>> members;  // Plain keys, canonical values.
    std::string items;                                         // Of an array, with commas.
};

// Receives the parser's events under the names that basic_parser asks for.
class Canonicaliser {
public:
    // NOLINTBEGIN(readability-identifier-naming): Boost's names.
    static constexpr size_t max_array_size = static_cast<size_t>(-1);
    static constexpr size_t max_object_size = static_cast<size_t>(-1);
    static constexpr size_t max_string_size = static_cast<size_t>(-1);
    static constexpr size_t max_key_size = static_cast<size_t>(-1);
    // NOLINTEND(readability-identifier-naming)
    using Code = boost::system::error_code;
    using Text = json::string_view;

    explicit Canonicaliser(const JsonReplacement* replacement) : replacement_(replacement) {}

    std::string take() { return std::move(result_); }

    bool on_document_begin(Code& /*ec*/) { return true; }

    bool on_document_end(Code& /*ec*/) { return true; }

    bool on_object_begin(Code& /*ec*/) { return enter(true); }

    bool on_object_end(size_t /*count*/, Code& /*ec*/) { return leave(); }

    bool on_array_begin(Code& /*ec*/) { return enter(false); }

    bool on_array_end(size_t /*count*/, Code& /*ec*/) { return leave(); }

    bool on_key_part(Text part, size_t /*bytes*/, Code& /*ec*/) { return add(part); }

    bool on_key(Text part, size_t /*bytes*/, Code& /*ec*/) {
        add(part);
        levels_.back().key = std::exchange(text_, {});
        return true;
    }

    bool on_string_part(Text part, size_t /*bytes*/, Code& /*ec*/) { return add(part); }

    bool on_string(Text part, size_t /*bytes*/, Code& /*ec*/) {
        add(part);
        return value(json::serialize(Text(std::exchange(text_, {}))));
    }

    bool on_number_part(Text part, Code& /*ec*/) { return add(part); }

    bool on_int64(int64_t /*number*/, Text part, Code& /*ec*/) { return number(part); }

    bool on_uint64(uint64_t /*number*/, Text part, Code& /*ec*/) { return number(part); }

    bool on_double(double /*number*/, Text part, Code& /*ec*/) { return number(part); }

    bool on_bool(bool truth, Code& /*ec*/) { return value(truth ? "true" : "false"); }

    bool on_null(Code& /*ec*/) { return value("null"); }

    bool on_comment_part(Text /*part*/, Code& /*ec*/) { return true; }

    bool on_comment(Text /*part*/, Code& /*ec*/) { return true; }

private:
    bool add(Text part) {
        text_.append(part.data(), part.size());
        return true;
    }

    bool number(Text part) {
        add(part);
        return value(std::exchange(text_, {}));
    }

    bool enter(bool is_object) {
        levels_.push_back({.is_object = is_object, .key = {}, .members = {}, .items = {}});
        return true;
    }

    bool leave() {
        Level level = std::move(levels_.back());
        levels_.pop_back();
        return value(level.is_object ? finish_object(level) : "[" + level.items + "]");
    }

    bool value(std::string canonical) {
        if (levels_.empty()) {
            result_ = std::move(canonical);
        } else if (Level& level = levels_.back(); level.is_object) {
            level.members.emplace_back(std::exchange(level.key, {}), std::move(canonical));
        } else {
            level.items += level.items.empty() ? "" : ",";
            level.items += canonical;
        }
        return true;
    }

    std::string finish_object(Level& level) const {
        if (levels_.empty() && replacement_ != nullptr) {
            const auto key = replacement_->key;
            std::erase_if(level.members, [key](const auto& member) { return member.first == key; });
            level.members.emplace_back(key, replacement_->value);
        }
        std::ranges::sort(level.members);
        std::string text = "{";
        for (const auto& [key, canonical] : level.members) {
            text += text.size() > 1 ? "," : "";
            text += json::serialize(Text(key));
            text += ":";
            text += canonical;
        }
        return text + "}";
    }

    const JsonReplacement* replacement_;
    std::vector<Level> levels_;
    std::string text_;  // The string, key or number that is being read, unescaped.
    std::string result_;
};

}  // namespace

Result<std::string> canonical_json(std::string_view text, const JsonReplacement* replacement) {
    json::basic_parser<Canonicaliser> parser(json::parse_options{}, replacement);
    boost::system::error_code ec;
    const size_t read = parser.write_some(false, text.data(), text.size(), ec);
    if (ec || read < text.size()) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("JSON: {} at byte {}", ec ? ec.message() : "extra data", read)};
    }
    return parser.handler().take();
}

}  // namespace rekindle::loader
