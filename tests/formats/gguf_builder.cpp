#include "tests/formats/gguf_builder.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/units.h"

#include <algorithm>
#include <utility>

namespace rekindle::test {

namespace {

using formats::GgufType;

void write_text(ByteWriter& out, std::string_view text) {
    out.write<uint64_t>(text.size());
    out.write_span(as_bytes(text));
}

void pad_to(ByteWriter& out, uint64_t alignment) {
    while (out.bytes().size() % alignment != 0) {
        out.write<uint8_t>(0);
    }
}

template <typename T>
std::vector<std::byte> bytes_of(T value) {
    ByteWriter out;
    out.write(value);
    return out.take();
}

}  // namespace

GgufBuilder& GgufBuilder::add_raw(std::string_view key, uint32_t type,
                                  std::span<const std::byte> value) {
    entries_.push_back({std::string(key), type, {value.begin(), value.end()}});
    return *this;
}

GgufBuilder& GgufBuilder::add_u32(std::string_view key, uint32_t value) {
    return add_raw(key, static_cast<uint32_t>(GgufType::kUint32), bytes_of(value));
}

GgufBuilder& GgufBuilder::add_f32(std::string_view key, float value) {
    return add_raw(key, static_cast<uint32_t>(GgufType::kFloat32), bytes_of(value));
}

GgufBuilder& GgufBuilder::add_bool(std::string_view key, bool value) {
    return add_raw(key, static_cast<uint32_t>(GgufType::kBool),
                   bytes_of(static_cast<uint8_t>(value ? 1 : 0)));
}

GgufBuilder& GgufBuilder::add_string(std::string_view key, std::string_view value) {
    ByteWriter out;
    write_text(out, value);
    return add_raw(key, static_cast<uint32_t>(GgufType::kString), out.bytes());
}

GgufBuilder& GgufBuilder::add_strings(std::string_view key,
                                      const std::vector<std::string>& values) {
    ByteWriter out;
    out.write(static_cast<uint32_t>(GgufType::kString));
    out.write<uint64_t>(values.size());
    for (const std::string& value : values) {
        write_text(out, value);
    }
    return add_raw(key, static_cast<uint32_t>(GgufType::kArray), out.bytes());
}

GgufBuilder& GgufBuilder::add_i32s(std::string_view key, const std::vector<int32_t>& values) {
    ByteWriter out;
    out.write(static_cast<uint32_t>(GgufType::kInt32));
    out.write<uint64_t>(values.size());
    for (const int32_t value : values) {
        out.write(value);
    }
    return add_raw(key, static_cast<uint32_t>(GgufType::kArray), out.bytes());
}

GgufBuilder& GgufBuilder::remove(std::string_view key) {
    std::erase_if(entries_, [key](const Entry& entry) { return entry.key == key; });
    return *this;
}

GgufBuilder::Tensor& GgufBuilder::add_tensor(std::string name, std::vector<uint64_t> dims,
                                             uint32_t type, std::vector<std::byte> data) {
    tensors_.push_back({std::move(name), std::move(dims), type, std::move(data), {}, {}});
    return tensors_.back();
}

GgufBuilder::Tensor& GgufBuilder::tensor(std::string_view name) {
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [name](const Tensor& tensor) { return tensor.name == name; });
    REKINDLE_CHECK(found != tensors_.end(), "the test asks for a tensor that it has added");
    return *found;
}

GgufBuilder& GgufBuilder::remove_tensor(std::string_view name) {
    std::erase_if(tensors_, [name](const Tensor& tensor) { return tensor.name == name; });
    return *this;
}

std::vector<std::byte> GgufBuilder::build() const {
    ByteWriter out;
    out.write_span(as_bytes("GGUF"));
    out.write(version);
    out.write(tensor_count_written.value_or(tensors_.size()));
    out.write(entry_count_written.value_or(entries_.size()));
    for (const Entry& entry : entries_) {
        write_text(out, entry.key);
        out.write(entry.type);
        out.write_span(entry.value);
    }
    uint64_t offset = 0;
    for (const Tensor& tensor : tensors_) {
        write_text(out, tensor.name);
        out.write(tensor.dimensions_written.value_or(static_cast<uint32_t>(tensor.dims.size())));
        for (const uint64_t size : tensor.dims) {
            out.write(size);
        }
        out.write(tensor.type);
        out.write(tensor.offset_written.value_or(offset));
        offset = align_up(offset + tensor.data.size(), alignment);
    }
    for (const Tensor& tensor : tensors_) {
        pad_to(out, alignment);
        out.write_span(tensor.data);
    }
    return out.take();
}

std::vector<std::byte> pattern_bytes(size_t bytes, uint32_t seed) {
    std::vector<std::byte> out(bytes);
    uint32_t state = seed * 2'654'435'761U + 1;
    for (std::byte& value : out) {
        state = state * 1'664'525U + 1'013'904'223U;  // Numerical Recipes' generator.
        value = static_cast<std::byte>(state >> 24);
    }
    return out;
}

}  // namespace rekindle::test
