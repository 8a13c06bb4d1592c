#include "daemon/image_facts.h"

#include "daemon/api/manifest_fields.h"
#include "runtime/engine.h"

#include <doctest/doctest.h>

#include <iterator>
#include <string>
#include <utility>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

std::string index(const std::string& bytes, const std::string& context,
                  const std::string& head_dim = "64") {
    return R"({"architecture":"llama","bytes":)" + bytes +
           R"(,"hyperparameters":{"layers":30,"kv_heads":3,"head_dim":)" + head_dim +
           R"(,"context":)" + context + R"(},"tensors":["a","b"]})";
}

}  // namespace

TEST_CASE("memory of a sequence follows from layers, heads and the context, in whole pages") {
    const auto facts = parse_image_facts(index("98566144", "8192"));
    REQUIRE(facts.ok());
    CHECK(facts->architecture == "llama");
    CHECK(facts->tensors == 2);
    CHECK(facts->context == 8192);
    for (const auto& [type, row_bytes] : {std::pair(kernels::KvType::kF16, 64 * 2),
                                          {kernels::KvType::kBF16, 64 * 2},
                                          {kernels::KvType::kQ8_0, 64 + 4}}) {
        const uint64_t page_bytes = 30ULL * 3 * 2 * 32 * static_cast<uint64_t>(row_bytes);
        CHECK(facts->kv_page_bytes(type) == page_bytes);
        CHECK(facts->kv_bytes(0, type) == 0);
        CHECK(facts->kv_bytes(1, type) == page_bytes);
        CHECK(facts->kv_bytes(32, type) == page_bytes);
        CHECK(facts->kv_bytes(33, type) == 2 * page_bytes);
    }
}

TEST_CASE("a page has the same bytes for rekindled as for its workers") {
    const auto facts = parse_image_facts(index("98566144", "8192"));
    REQUIRE(facts.ok());
    const snapshot::Hyperparameters hyperparameters{.layers = 30, .kv_heads = 3, .head_dim = 64};
    for (const kernels::KvType type : kernels::kKvTypes) {
        CHECK(facts->kv_page_bytes(type) == runtime::kv_page_bytes(hyperparameters, type));
    }
}

TEST_CASE("the types of KV caches that a manifest can name are those of the kernels") {
    REQUIRE(api::kv_types().size() == std::size(kernels::kKvTypes));
    for (size_t i = 0; i < api::kv_types().size(); ++i) {
        CHECK(api::kv_types()[i] == kernels::kv_type_name(kernels::kKvTypes[i]));
        const kernels::KvType* found = kernels::find_kv_type(api::kv_types()[i]);
        REQUIRE(found != nullptr);
        CHECK(*found == kernels::kKvTypes[i]);
    }
    CHECK(kernels::find_kv_type("q4_0") == nullptr);
}

TEST_CASE("numbers of an importer are held to what an image can be") {
    CHECK(parse_image_facts(index("1099511627776", "16777216", "4096")).ok());
    CHECK_FALSE(parse_image_facts(index("1099511627777", "1")).ok());
    CHECK_FALSE(parse_image_facts(index("1", "16777217")).ok());
    CHECK_FALSE(parse_image_facts(index("1", "1", "4097")).ok());
    CHECK_FALSE(parse_image_facts(index("0", "1")).ok());
    CHECK_FALSE(parse_image_facts(index("-1", "1")).ok());
    CHECK_FALSE(parse_image_facts(index("\"1\"", "1")).ok());
    CHECK_FALSE(parse_image_facts("{}").ok());
    CHECK_FALSE(parse_image_facts("[]").ok());
    CHECK_FALSE(parse_image_facts("").ok());
}
