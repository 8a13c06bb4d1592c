// Strict reading of the image index: what lies outside of the limits of docs/formats/image.md,
// overlaps, or names something unknown is refused before anything is mapped or allocated by it.
#include "base/units.h"
#include "snapshot/view/detail/field_reader.h"
#include "snapshot/view/image_view.h"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace rekindle::snapshot {
namespace {

constexpr uint64_t kIndexBytesMax = 64 * kMiB;
constexpr uint64_t kImageBytesMax = 1024 * kGiB;
constexpr uint64_t kChunkBytesMax = 4 * kMiB;
constexpr size_t kTensorsMax = 65'536;
constexpr size_t kChunksMax = 262'144;
constexpr size_t kNameBytesMax = 256;
constexpr uint64_t kLayersMax = 1'024;
// Larger than any published model by an order of magnitude; products of two stay below 2^63.
constexpr uint64_t kDimensionMax = 1ULL << 24;
constexpr uint32_t kDepthMax = 8;

uint32_t dimension(FieldReader& fields, std::string_view key, uint64_t max) {
    return static_cast<uint32_t>(fields.integer(key, 1, max));
}

void check_hyperparameters(const Hyperparameters& read, FieldReader& fields) {
    if (read.kv_heads == 0 || read.heads % read.kv_heads != 0) {
        fields.fail(
            fmt::format("{} heads are not a multiple of {} kv_heads", read.heads, read.kv_heads));
    }
    if (read.rope_dimensions > read.head_dim || read.rope_dimensions % 2 != 0) {
        fields.fail(fmt::format("rope_dimensions {} must be even and at most head_dim {}",
                                read.rope_dimensions, read.head_dim));
    }
}

Hyperparameters parse_hyperparameters(const json::object& object, std::string architecture,
                                      Outcome& outcome) {
    FieldReader fields(object, "hyperparameters", outcome);
    Hyperparameters read;
    read.architecture = std::move(architecture);
    read.layers = dimension(fields, "layers", kLayersMax);
    read.embedding = dimension(fields, "embedding", kDimensionMax);
    read.feed_forward = dimension(fields, "feed_forward", kDimensionMax);
    read.heads = dimension(fields, "heads", kDimensionMax);
    read.kv_heads = dimension(fields, "kv_heads", kDimensionMax);
    read.head_dim = dimension(fields, "head_dim", kDimensionMax);
    read.vocabulary = dimension(fields, "vocabulary", kDimensionMax);
    read.context = dimension(fields, "context", kDimensionMax);
    read.rope_dimensions = dimension(fields, "rope_dimensions", kDimensionMax);
    read.rope_base = fields.positive("rope_base");
    read.rms_epsilon = fields.positive("rms_epsilon");
    read.tied_output = fields.boolean("tied_output");
    if (!outcome) {
        check_hyperparameters(read, fields);
    }
    return read;
}

// offset and bytes of something that lies in the image space, aligned to a page.
void parse_range(FieldReader& fields, uint64_t image_bytes, uint64_t& offset, uint64_t& bytes) {
    offset = fields.integer("offset", 0, image_bytes);
    bytes = fields.integer("bytes", 1, image_bytes);
    if (offset % kPageBytes != 0) {
        fields.fail(fmt::format("offset {} is not a multiple of {}", offset, kPageBytes));
    }
    if (bytes > image_bytes - offset) {
        fields.fail(
            fmt::format("[{}, +{}) leaves the image of {} bytes", offset, bytes, image_bytes));
    }
}

TableEntry parse_table(const json::object& tables, std::string_view kind, uint64_t image_bytes,
                       Outcome& outcome) {
    TableEntry table;
    if (!tables.contains(kind)) {
        return table;
    }
    FieldReader parent(tables, "tables", outcome);
    if (const json::object* const object = parent.object(kind)) {
        FieldReader fields(*object, fmt::format("table \"{}\"", kind), outcome);
        parse_range(fields, image_bytes, table.offset, table.bytes);
    }
    return table;
}

// Bytes that `tensor` must have: vectors are plain F32, matrices are packed.
uint64_t expected_bytes(const TensorEntry& tensor) {
    return tensor.rows == 1 ? uint64_t{tensor.columns} * sizeof(float)
                            : kernels::packed_bytes(tensor.type, tensor.rows, tensor.columns);
}

void check_tensor(const TensorEntry& tensor, FieldReader& fields) {
    const bool pairs = tensor.type == kernels::WeightType::kBF16;
    const uint32_t block = pairs ? 2 : kernels::weight_type_traits(tensor.type).block_columns;
    if (tensor.rows > 1 && tensor.columns % block != 0) {
        fields.fail(fmt::format("\"{}\": {} columns are not a multiple of {}", tensor.name,
                                tensor.columns, block));
        return;
    }
    if (tensor.bytes != expected_bytes(tensor)) {
        fields.fail(fmt::format("\"{}\": {} bytes, {} x {} need {}", tensor.name, tensor.bytes,
                                tensor.rows, tensor.columns, expected_bytes(tensor)));
    }
}

TensorEntry parse_tensor(const json::value& value, size_t index, uint64_t image_bytes,
                         Outcome& outcome) {
    static const json::object kEmpty;
    const json::object* const object = value.if_object();
    FieldReader fields(object != nullptr ? *object : kEmpty, fmt::format("tensor {}", index),
                       outcome);
    TensorEntry tensor;
    tensor.name = fields.string("name", kNameBytesMax);
    const std::string type_name = fields.string("type", kNameBytesMax);
    tensor.rows = dimension(fields, "rows", kDimensionMax);
    tensor.columns = dimension(fields, "columns", kDimensionMax);
    parse_range(fields, image_bytes, tensor.offset, tensor.bytes);
    const auto type = std::ranges::find(
        kernels::kWeightTypes, type_name,
        [](kernels::WeightType candidate) { return kernels::weight_type_traits(candidate).name; });
    if (type == std::end(kernels::kWeightTypes)) {
        fields.fail(fmt::format("\"{}\" has the unknown type \"{}\"", tensor.name, type_name));
    } else if (!outcome) {
        tensor.type = *type;
        check_tensor(tensor, fields);
    }
    return tensor;
}

std::vector<TensorEntry> parse_tensors(FieldReader& root, uint64_t image_bytes, Outcome& outcome) {
    std::vector<TensorEntry> tensors;
    const json::array* const array = root.array("tensors", kTensorsMax);
    if (array == nullptr) {
        return tensors;
    }
    tensors.reserve(array->size());
    for (const json::value& value : *array) {
        tensors.push_back(parse_tensor(value, tensors.size(), image_bytes, outcome));
        if (outcome) {
            return tensors;
        }
    }
    std::ranges::sort(tensors, {}, &TensorEntry::name);
    const auto twin = std::ranges::adjacent_find(tensors, {}, &TensorEntry::name);
    if (twin != tensors.end()) {
        root.fail(fmt::format("the tensor \"{}\" stands twice", twin->name));
    }
    return tensors;
}

std::vector<ChunkRange> parse_chunks(FieldReader& root, uint64_t image_bytes, Outcome& outcome) {
    std::vector<ChunkRange> chunks;
    const json::array* const array = root.array("chunks", kChunksMax);
    if (array == nullptr) {
        return chunks;
    }
    static const json::object kEmpty;
    chunks.reserve(array->size());
    uint64_t next = 0;
    for (const json::value& value : *array) {
        const json::object* const object = value.if_object();
        FieldReader fields(object != nullptr ? *object : kEmpty,
                           fmt::format("chunk {}", chunks.size()), outcome);
        ChunkRange chunk;
        parse_range(fields, image_bytes, chunk.offset, chunk.bytes);
        if (chunk.offset != next || chunk.bytes % kPageBytes != 0 || chunk.bytes > kChunkBytesMax) {
            fields.fail(fmt::format("[{}, +{}) must begin at {}, in whole pages, at most {} bytes",
                                    chunk.offset, chunk.bytes, next, kChunkBytesMax));
        }
        if (outcome) {
            return chunks;
        }
        next += chunk.bytes;
        chunks.push_back(chunk);
    }
    if (next != image_bytes) {
        root.fail(fmt::format("chunks end at {}, the image at {}", next, image_bytes));
    }
    return chunks;
}

void check_overlap(const ImageLayout& layout, FieldReader& root) {
    std::vector<ChunkRange> ranges;
    ranges.reserve(layout.tensors.size() + 2);
    for (const TensorEntry& tensor : layout.tensors) {
        ranges.push_back({tensor.offset, tensor.bytes});
    }
    for (const TableEntry& table : {layout.tokenizer, layout.chat_template}) {
        if (table.bytes > 0) {
            ranges.push_back({table.offset, table.bytes});
        }
    }
    std::ranges::sort(ranges, {}, &ChunkRange::offset);
    for (size_t i = 1; i < ranges.size(); ++i) {
        const ChunkRange& before = ranges[i - 1];
        if (before.offset + before.bytes > ranges[i].offset) {
            root.fail(fmt::format("[{}, +{}) overlaps what begins at {}", before.offset,
                                  before.bytes, ranges[i].offset));
            return;
        }
    }
}

void parse_root(const json::object& object, ImageLayout& layout, Outcome& outcome) {
    FieldReader root(object, "image", outcome);
    root.integer("rekindle_image", 1, 1);
    const std::string layout_name = root.string("layout", kNameBytesMax);
    if (layout_name != kernels::kLayoutName) {
        root.fail(fmt::format("the layout \"{}\" is unknown, this version reads \"{}\"",
                              layout_name, kernels::kLayoutName));
    }
    std::string architecture = root.string("architecture", kNameBytesMax);
    if (architecture != "llama") {
        root.fail(fmt::format("the architecture \"{}\" is unknown", architecture));
    }
    layout.bytes = root.integer("bytes", kPageBytes, kImageBytesMax);
    if (layout.bytes % kPageBytes != 0) {
        root.fail(fmt::format("{} bytes are not a multiple of {}", layout.bytes, kPageBytes));
    }
    const json::object* const hyperparameters = root.object("hyperparameters");
    const json::object* const tables = root.object("tables");
    if (outcome) {
        return;
    }
    layout.hyperparameters =
        parse_hyperparameters(*hyperparameters, std::move(architecture), outcome);
    layout.tokenizer = parse_table(*tables, "tokenizer", layout.bytes, outcome);
    layout.chat_template = parse_table(*tables, "template", layout.bytes, outcome);
    layout.chunks = parse_chunks(root, layout.bytes, outcome);
    layout.tensors = parse_tensors(root, layout.bytes, outcome);
    if (!outcome) {
        check_overlap(layout, root);
    }
}

}  // namespace

Result<ImageLayout> ImageLayout::parse(std::string_view index_json) {
    auto parsed = parse_json(index_json, {.depth_max = kDepthMax, .bytes_max = kIndexBytesMax});
    if (!parsed) {
        return std::move(parsed).error().with_context("image index");
    }
    const json::object* const object = parsed->if_object();
    if (object == nullptr) {
        return Error{ErrorCode::kCorrupt, "image index: it must be a JSON object"};
    }
    ImageLayout layout;
    Outcome outcome;
    parse_root(*object, layout, outcome);
    if (outcome) {
        return *std::move(outcome);
    }
    return layout;
}

const TensorEntry* ImageLayout::find(std::string_view name) const noexcept {
    const auto found = std::ranges::lower_bound(
        tensors, name, {}, [](const TensorEntry& tensor) { return std::string_view(tensor.name); });
    return found != tensors.end() && found->name == name ? &*found : nullptr;
}

}  // namespace rekindle::snapshot
