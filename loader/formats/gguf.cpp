#include "loader/formats/gguf.h"

#include "base/bytes.h"
#include "base/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace rekindle::formats {

namespace {

constexpr std::string_view kMagic = "GGUF";
// A key needs its length, one character, a type and one byte; a tensor needs its name's length, one
// character, the number of dimensions, one dimension, a type and an offset.
constexpr uint64_t kEntryBytesMin = 8 + 1 + 4 + 1;
constexpr uint64_t kTensorBytesMin = 8 + 1 + 4 + 8 + 4 + 8;
constexpr uint32_t kValueTypeMax = static_cast<uint32_t>(GgufType::kFloat64);
constexpr uint64_t kElementsMax = uint64_t{1}
                                  << 48;  // Of a tensor; keeps every product in 64 bits.

// Bytes of one scalar; 0 for strings, arrays and unknown types.
constexpr uint64_t scalar_bytes(GgufType type) noexcept {
    switch (type) {
        case GgufType::kUint8:
        case GgufType::kInt8:
        case GgufType::kBool:
            return 1;
        case GgufType::kUint16:
        case GgufType::kInt16:
            return 2;
        case GgufType::kUint32:
        case GgufType::kInt32:
        case GgufType::kFloat32:
            return 4;
        case GgufType::kUint64:
        case GgufType::kInt64:
        case GgufType::kFloat64:
            return 8;
        case GgufType::kString:
        case GgufType::kArray:
            break;
    }
    return 0;
}

bool is_printable(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string_view as_view(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Walks the file once. Each step gives false after storing the first error; `subject_` says what is
// being read, and is put into words only then.
class Parser {
public:
    explicit Parser(std::span<const std::byte> file) noexcept : file_(file) {}

    bool parse_header();
    bool parse_entries(std::vector<GgufEntry>& out);
    bool parse_alignment(const std::vector<GgufEntry>& entries);
    bool parse_tensors(std::vector<GgufTensor>& out);
    bool place_tensors(std::vector<GgufTensor>& tensors);

    Error take_error() { return std::move(error_); }

    uint32_t version() const noexcept { return version_; }

    uint64_t alignment() const noexcept { return alignment_; }

private:
    struct Subject {
        std::string_view kind = "header";  // "metadata entry", "tensor"
        uint64_t index = 0;
        std::string_view name;  // Once it is known.
    };

    std::string subject_text() const {
        if (subject_.kind == "header") {
            return "GGUF header";
        }
        return subject_.name.empty() ? fmt::format("GGUF {} {}", subject_.kind, subject_.index)
                                     : fmt::format("GGUF {} {} (\"{}\")", subject_.kind,
                                                   subject_.index, subject_.name);
    }

    bool fail(ErrorCode code, uint64_t offset, const std::string& what) {
        error_ = {code, fmt::format("{}, offset {}: {}", subject_text(), offset, what)};
        return false;
    }

    uint64_t remaining() const noexcept { return file_.size() - at_; }

    template <FixedWidth T>
    bool read(T& out, std::string_view field) {
        std::span<const std::byte> bytes;
        if (!take(sizeof(T), field, bytes)) {
            return false;
        }
        std::memcpy(&out, bytes.data(), sizeof(T));
        return true;
    }

    bool take(uint64_t count, std::string_view field, std::span<const std::byte>& out) {
        if (count > remaining()) {
            return fail(ErrorCode::kTruncated, at_,
                        fmt::format("{} needs {} bytes, but the file ends after {} more", field,
                                    count, remaining()));
        }
        out = file_.subspan(static_cast<size_t>(at_), static_cast<size_t>(count));
        at_ += count;
        return true;
    }

    bool take_string(std::string_view field, std::span<const std::byte>& out) {
        uint64_t length = 0;
        return read(length, field) && take(length, field, out);
    }

    bool take_name(std::string_view field, uint64_t bytes_max, std::string_view& out);
    bool check_count(std::string_view field, uint64_t count, uint64_t count_max,
                     uint64_t entry_bytes_min);
    bool parse_entry(GgufEntry& entry);
    bool parse_value(GgufEntry& entry);
    bool parse_array(GgufEntry& entry);
    bool read_value_type(std::string_view field, GgufType& out);
    bool parse_tensor(GgufTensor& tensor);
    bool parse_dimensions(GgufTensor& tensor);
    bool size_tensor(GgufTensor& tensor, uint64_t type_offset, uint32_t type_number);

    std::span<const std::byte> file_;
    uint64_t at_ = 0;  // <= file_.size()
    uint32_t version_ = 0;
    uint64_t tensor_count_ = 0;
    uint64_t entry_count_ = 0;
    uint64_t alignment_ = kGgufAlignmentDefault;
    Subject subject_;
    Error error_;
};

bool Parser::parse_header() {
    std::span<const std::byte> magic;
    if (!take(kMagic.size(), "magic", magic)) {
        return false;
    }
    if (as_view(magic) == "FUGG") {
        return fail(ErrorCode::kUnsupported, 0,
                    "the file is big-endian; only little-endian is read");
    }
    if (as_view(magic) != kMagic) {
        return fail(ErrorCode::kCorrupt, 0, "wrong magic: this is not a GGUF file");
    }
    if (!read(version_, "version")) {
        return false;
    }
    // A big-endian file has its magic in the usual order and its version's bytes reversed.
    if ((version_ & 0xffffU) == 0 && version_ != 0) {
        return fail(ErrorCode::kUnsupported, 4,
                    "the file is big-endian; only little-endian is read");
    }
    if (version_ != 2 && version_ != 3) {
        return fail(ErrorCode::kUnsupported, 4,
                    fmt::format("version {} is not supported (supported: 2 and 3)", version_));
    }
    return read(tensor_count_, "tensor count") &&
           check_count("tensor count", tensor_count_, kGgufTensorsMax, kTensorBytesMin) &&
           read(entry_count_, "metadata count") &&
           check_count("metadata count", entry_count_, kGgufEntriesMax, kEntryBytesMin);
}

// A count that the rest of the file cannot hold is refused before anything is allocated by it.
bool Parser::check_count(std::string_view field, uint64_t count, uint64_t count_max,
                         uint64_t entry_bytes_min) {
    const uint64_t offset = at_ - sizeof(uint64_t);
    if (count > count_max) {
        return fail(ErrorCode::kTooLarge, offset,
                    fmt::format("{} is {}; at most {} are allowed", field, count, count_max));
    }
    if (count > remaining() / entry_bytes_min) {
        return fail(ErrorCode::kTruncated, offset,
                    fmt::format("{} is {}, but the file ends after {} more bytes", field, count,
                                remaining()));
    }
    return true;
}

bool Parser::take_name(std::string_view field, uint64_t bytes_max, std::string_view& out) {
    const uint64_t offset = at_;
    uint64_t length = 0;
    if (!read(length, field)) {
        return false;
    }
    if (length == 0 || length > bytes_max) {
        return fail(ErrorCode::kCorrupt, offset,
                    fmt::format("{} has {} bytes; 1 to {} are allowed", field, length, bytes_max));
    }
    std::span<const std::byte> bytes;
    if (!take(length, field, bytes)) {
        return false;
    }
    if (!is_printable(as_view(bytes))) {
        return fail(ErrorCode::kCorrupt, offset,
                    fmt::format("{} has characters that are not printable ASCII", field));
    }
    out = as_view(bytes);
    return true;
}

bool Parser::parse_entries(std::vector<GgufEntry>& out) {
    out.reserve(static_cast<size_t>(entry_count_));
    for (uint64_t i = 0; i < entry_count_; ++i) {
        subject_ = {.kind = "metadata entry", .index = i, .name = {}};
        if (!parse_entry(out.emplace_back())) {
            return false;
        }
    }
    std::sort(out.begin(), out.end(),
              [](const GgufEntry& a, const GgufEntry& b) { return a.key < b.key; });
    const auto twin =
        std::adjacent_find(out.begin(), out.end(),
                           [](const GgufEntry& a, const GgufEntry& b) { return a.key == b.key; });
    if (twin != out.end()) {
        subject_ = {};
        return fail(ErrorCode::kCorrupt, twin->offset,
                    fmt::format("metadata key \"{}\" is there twice", twin->key));
    }
    return true;
}

bool Parser::parse_entry(GgufEntry& entry) {
    if (!take_name("key", kGgufKeyBytesMax, entry.key)) {
        return false;
    }
    subject_.name = entry.key.substr(0, 100);  // Enough to find it; a key may have 64 KiB.
    if (!read_value_type("value type", entry.type)) {
        return false;
    }
    entry.offset = at_;
    return parse_value(entry);
}

bool Parser::read_value_type(std::string_view field, GgufType& out) {
    const uint64_t offset = at_;
    uint32_t number = 0;
    if (!read(number, field)) {
        return false;
    }
    if (number > kValueTypeMax) {
        return fail(ErrorCode::kCorrupt, offset,
                    fmt::format("{} {} is not known (0 to {} are)", field, number, kValueTypeMax));
    }
    out = static_cast<GgufType>(number);
    return true;
}

bool Parser::parse_value(GgufEntry& entry) {
    if (entry.type == GgufType::kString) {
        return take_string("string", entry.bytes);
    }
    if (entry.type == GgufType::kArray) {
        return parse_array(entry);
    }
    if (!take(scalar_bytes(entry.type), "value", entry.bytes)) {
        return false;
    }
    if (entry.type == GgufType::kBool && std::to_integer<unsigned>(entry.bytes[0]) > 1) {
        return fail(ErrorCode::kCorrupt, entry.offset, "a boolean is neither 0 nor 1");
    }
    return true;
}

bool Parser::parse_array(GgufEntry& entry) {
    if (!read_value_type("array element type", entry.element)) {
        return false;
    }
    if (entry.element == GgufType::kArray) {
        return fail(ErrorCode::kUnsupported, entry.offset, "arrays of arrays are not supported");
    }
    if (!read(entry.count, "array count")) {
        return false;
    }
    const bool strings = entry.element == GgufType::kString;
    const uint64_t element_bytes = strings ? sizeof(uint64_t) : scalar_bytes(entry.element);
    if (entry.count > remaining() / element_bytes) {
        return fail(ErrorCode::kTruncated, at_ - sizeof(uint64_t),
                    fmt::format("an array of {} elements needs at least {} bytes each, but the "
                                "file ends after {} more",
                                entry.count, element_bytes, remaining()));
    }
    if (!strings) {
        return take(entry.count * element_bytes, "array", entry.bytes);
    }
    const uint64_t start = at_;
    std::span<const std::byte> text;
    for (uint64_t i = 0; i < entry.count; ++i) {
        if (!take_string("array string", text)) {
            return false;
        }
    }
    entry.bytes = file_.subspan(static_cast<size_t>(start), static_cast<size_t>(at_ - start));
    return true;
}

bool Parser::parse_alignment(const std::vector<GgufEntry>& entries) {
    subject_ = {};
    const auto found = std::find_if(entries.begin(), entries.end(), [](const GgufEntry& entry) {
        return entry.key == "general.alignment";
    });
    if (found == entries.end()) {
        return true;
    }
    if (found->type != GgufType::kUint32) {
        return fail(
            ErrorCode::kCorrupt, found->offset,
            fmt::format("general.alignment must be u32, is {}", gguf_type_name(found->type)));
    }
    uint32_t value = 0;
    std::memcpy(&value, found->bytes.data(), sizeof(value));
    if (!std::has_single_bit(value) || value < 8 || value > kGgufAlignmentMax) {
        return fail(ErrorCode::kCorrupt, found->offset,
                    fmt::format("general.alignment is {}; it must be a power of two from 8 to {}",
                                value, kGgufAlignmentMax));
    }
    alignment_ = value;
    return true;
}

bool Parser::parse_tensors(std::vector<GgufTensor>& out) {
    subject_ = {};
    if (!check_count("tensor count", tensor_count_, kGgufTensorsMax, kTensorBytesMin)) {
        return false;
    }
    out.reserve(static_cast<size_t>(tensor_count_));
    for (uint64_t i = 0; i < tensor_count_; ++i) {
        subject_ = {.kind = "tensor", .index = i, .name = {}};
        if (!parse_tensor(out.emplace_back())) {
            return false;
        }
    }
    return true;
}

bool Parser::parse_tensor(GgufTensor& tensor) {
    if (!take_name("name", kGgufNameBytesMax, tensor.name)) {
        return false;
    }
    subject_.name = tensor.name;
    if (!parse_dimensions(tensor)) {
        return false;
    }
    const uint64_t type_offset = at_;
    uint32_t type_number = 0;
    if (!read(type_number, "type") || !size_tensor(tensor, type_offset, type_number)) {
        return false;
    }
    const uint64_t offset_at = at_;
    if (!read(tensor.offset, "data offset")) {
        return false;
    }
    if (tensor.offset % alignment_ != 0) {
        return fail(ErrorCode::kCorrupt, offset_at,
                    fmt::format("data offset {} is not a multiple of the alignment {}",
                                tensor.offset, alignment_));
    }
    return true;
}

bool Parser::parse_dimensions(GgufTensor& tensor) {
    const uint64_t offset = at_;
    if (!read(tensor.dimensions, "dimension count")) {
        return false;
    }
    if (tensor.dimensions == 0 || tensor.dimensions > kGgufDimensionsMax) {
        return fail(ErrorCode::kCorrupt, offset,
                    fmt::format("{} dimensions; 1 to {} are allowed", tensor.dimensions,
                                kGgufDimensionsMax));
    }
    uint64_t elements = 1;
    for (uint32_t i = 0; i < tensor.dimensions; ++i) {
        uint64_t& size = tensor.dims.at(i);
        if (!read(size, "dimension")) {
            return false;
        }
        if (size == 0 || size > kElementsMax / elements) {
            return fail(ErrorCode::kCorrupt, at_ - sizeof(uint64_t),
                        fmt::format("dimension {} is {}; all together must give 1 to {} elements",
                                    i, size, kElementsMax));
        }
        elements *= size;
    }
    return true;
}

bool Parser::size_tensor(GgufTensor& tensor, uint64_t type_offset, uint32_t type_number) {
    tensor.type = find_ggml_type(type_number);
    if (tensor.type == nullptr) {
        return fail(ErrorCode::kUnsupported, type_offset,
                    fmt::format("type number {} is not known", type_number));
    }
    if (tensor.dims[0] % tensor.type->block_columns != 0) {
        return fail(ErrorCode::kCorrupt, type_offset,
                    fmt::format("rows of {} values are not a multiple of {}'s block of {}",
                                tensor.dims[0], tensor.type->name, tensor.type->block_columns));
    }
    // At most 2^48 elements of at most 8 bytes: no overflow.
    const uint64_t elements = tensor.dims[0] * tensor.dims[1] * tensor.dims[2] * tensor.dims[3];
    tensor.bytes = elements / tensor.type->block_columns * tensor.type->block_bytes;
    return true;
}

// Turns offsets into the data section into offsets in the file, and checks that each tensor lies in
// the file and none overlaps another.
bool Parser::place_tensors(std::vector<GgufTensor>& tensors) {
    const uint64_t data_start = align_up(at_, alignment_);
    for (uint64_t i = 0; i < tensors.size(); ++i) {
        GgufTensor& tensor = tensors[static_cast<size_t>(i)];
        subject_ = {.kind = "tensor", .index = i, .name = tensor.name};
        const uint64_t room = file_.size() - std::min<uint64_t>(data_start, file_.size());
        if (tensor.offset > room || tensor.bytes > room - tensor.offset) {
            return fail(ErrorCode::kTruncated, data_start,
                        fmt::format("data of {} bytes at {} of the data section lies outside of "
                                    "the file, which has {} bytes of data",
                                    tensor.bytes, tensor.offset, room));
        }
        tensor.offset += data_start;
    }
    std::sort(tensors.begin(), tensors.end(),
              [](const GgufTensor& a, const GgufTensor& b) { return a.offset < b.offset; });
    subject_ = {};
    for (size_t i = 1; i < tensors.size(); ++i) {
        const GgufTensor& before = tensors[i - 1];
        if (before.offset + before.bytes > tensors[i].offset) {
            return fail(ErrorCode::kCorrupt, tensors[i].offset,
                        fmt::format("data of tensors \"{}\" and \"{}\" overlap", before.name,
                                    tensors[i].name));
        }
    }
    std::sort(tensors.begin(), tensors.end(),
              [](const GgufTensor& a, const GgufTensor& b) { return a.name < b.name; });
    const auto twin = std::adjacent_find(
        tensors.begin(), tensors.end(),
        [](const GgufTensor& a, const GgufTensor& b) { return a.name == b.name; });
    if (twin != tensors.end()) {
        return fail(ErrorCode::kCorrupt, twin->offset,
                    fmt::format("tensor \"{}\" is there twice", twin->name));
    }
    return true;
}

}  // namespace

Result<GgufFile> parse_gguf(std::span<const std::byte> file) {
    GgufFile gguf;
    Parser parser(file);
    if (!parser.parse_header() || !parser.parse_entries(gguf.entries_) ||
        !parser.parse_alignment(gguf.entries_) || !parser.parse_tensors(gguf.tensors_) ||
        !parser.place_tensors(gguf.tensors_)) {
        return parser.take_error();
    }
    gguf.file_ = file;
    gguf.version_ = parser.version();
    gguf.alignment_ = parser.alignment();
    return gguf;
}

bool looks_like_gguf(std::span<const std::byte> file) noexcept {
    return file.size() >= kMagic.size() && as_view(file.first(kMagic.size())) == kMagic;
}

}  // namespace rekindle::formats
