#include "base/utf8.h"
#include "runtime/template/builtins.h"
#include "runtime/template/text.h"

#include <algorithm>

namespace rekindle::runtime::jinja {
namespace {

class JsonWriter {
public:
    JsonWriter(RunState& state, const JsonStyle& style) : state_(state), style_(style) {}

    void write(const Value& value) {
        const RunState::Descent descent(state_);
        if (!descent || !state_.step()) {
            return;
        }
        switch (value.kind) {
            case Kind::kNone:
                out_ += "null";
                break;
            case Kind::kBool:
                out_ += value.boolean ? "true" : "false";
                break;
            case Kind::kInt:
                out_ += std::to_string(value.integer);
                break;
            case Kind::kFloat:
                append_double(out_, value.real);
                break;
            case Kind::kString:
                write_text(value.view());
                break;
            case Kind::kList:
            case Kind::kTuple:
                write_list(value.items());
                break;
            case Kind::kDict:
                write_dict(value.pairs());
                break;
            default:
                state_.bad_argument("tojson cannot write a " + std::string(type_name(value)));
                break;
        }
        if (out_.size() > state_.limits().output_bytes_max) {
            state_.fail(ErrorCode::kTooLarge, "the output of tojson is too long");
        }
    }

    const std::string& text() const noexcept { return out_; }

private:
    void break_line(size_t level) {
        if (style_.indent >= 0) {
            state_.charge(1 + level * static_cast<size_t>(style_.indent) / kBytesPerStep);
            out_.push_back('\n');
            out_.append(level * static_cast<size_t>(style_.indent), ' ');
        }
    }

    // The space between brackets: `item(i)` writes the i-th of `count` elements.
    template <typename Item>
    void write_items(char open, char close, size_t count, Item item) {
        out_.push_back(open);
        ++level_;
        for (size_t i = 0; i < count && !state_.failed(); ++i) {
            out_ += i == 0 ? std::string_view{} : style_.item_separator;
            break_line(level_);
            item(i);
        }
        --level_;
        if (count > 0) {
            break_line(level_);
        }
        out_.push_back(close);
    }

    void write_list(std::span<const Value> items) {
        write_items('[', ']', items.size(), [&](size_t i) { write(items[i]); });
    }

    void write_dict(std::span<const Entry> entries) {
        std::vector<Entry> sorted;
        if (style_.sorted) {
            sorted.assign(entries.begin(), entries.end());
            std::sort(sorted.begin(), sorted.end(),
                      [](const Entry& a, const Entry& b) { return a.key < b.key; });
            entries = sorted;
        }
        write_items('{', '}', entries.size(), [&](size_t i) {
            write_text(entries[i].key);
            out_ += style_.key_separator;
            write(entries[i].value);
        });
    }

    void append_escape(uint32_t unit) {
        constexpr std::string_view kDigits = "0123456789abcdef";
        out_ += "\\u";
        for (int shift = 12; shift >= 0; shift -= 4) {
            out_.push_back(kDigits[(unit >> shift) & 15U]);
        }
    }

    void append_codepoint(uint32_t c, std::string_view bytes) {
        constexpr std::string_view kSpecial = "\"\\\n\r\t\b\f";
        constexpr std::string_view kLetters = "\"\\nrtbf";
        const size_t special =
            c < 0x80 ? kSpecial.find(static_cast<char>(c)) : std::string_view::npos;
        if (special != std::string_view::npos) {
            out_.push_back('\\');
            out_.push_back(kLetters[special]);
        } else if (c < 0x20 || (style_.ascii && c > 0x7E && c < 0x10000)) {
            append_escape(c);
        } else if (style_.ascii && c >= 0x10000) {
            append_escape(0xD800 + ((c - 0x10000) >> 10));
            append_escape(0xDC00 + ((c - 0x10000) & 0x3FF));
        } else {
            out_ += bytes;
        }
    }

    void write_text(std::string_view text) {
        state_.charge_bytes(text.size());
        out_.push_back('"');
        while (!text.empty()) {
            const DecodedCodepoint next = decode_utf8(text);
            append_codepoint(next.codepoint, text.substr(0, next.bytes));
            text.remove_prefix(next.bytes);
        }
        out_.push_back('"');
    }

    RunState& state_;
    const JsonStyle& style_;
    size_t level_ = 0;
    std::string out_;
};

}  // namespace

Value to_json(RunState& state, const Value& value, const JsonStyle& style) {
    JsonWriter writer(state, style);
    writer.write(value);
    return state.text(writer.text());
}

}  // namespace rekindle::runtime::jinja
