#include "daemon/image_facts.h"

#include <doctest/doctest.h>

#include <string>

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
    CHECK(facts->kv_bytes_per_position == 30 * 3 * 64 * 2 * 2);
    CHECK(facts->kv_bytes(1) == facts->kv_bytes(32));
    CHECK(facts->kv_bytes(33) == 64 * facts->kv_bytes_per_position);
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
