#include "daemon/api/canonical_json.h"
#include "daemon/api/manifest.h"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace rekindle;               // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon::api;  // NOLINT(google-build-using-namespace): test file.

namespace {

const std::string kImage(64, 'a');

std::string canonical(std::string_view rest) {
    const auto manifest =
        parse_manifest("rekindle: 1\nname: small\nmodel: m.gguf\n" + std::string(rest));
    REQUIRE_MESSAGE(manifest.ok(), manifest.error().message);
    return canonical_manifest(*manifest, kImage);
}

}  // namespace

TEST_CASE("the canonical form has sorted keys, no white space, and the image for the file") {
    CHECK(canonical("scale: {idle: 5m}\nprice: {per_mtok: {output: \"0.20\", input: \"1\"}}\n") ==
          R"({"model":"rekindle://sha256:)" + kImage +
              R"(","name":"small","price":{"per_mtok":{"input":"1","output":"0.2"}},)"
              R"("rekindle":1,"scale":{"idle":"5m"}})");
}

TEST_CASE("two ways to write the same thing are one revision") {
    const auto same = [](std::string_view a, std::string_view b) {
        CHECK(canonical(a) == canonical(b));
    };
    same("price: {per_mtok: {input: \"0.2\"}}\n", "price: {per_mtok: {input: \"0.20\"}}\n");
    same("price: {per_mtok: {input: \"00.200000\"}}\n", "price: {per_mtok: {input: '0.2'}}\n");
    same("scale: {idle: 300s}\n", "scale: {idle: 5m}\n");
    same("scale: {idle: 300000ms}\n", "scale: {idle: \"5m\"}\n");
    same("runtime: {kv: 1024MiB}\n", "runtime: {kv: 1GB}\n");
    same("runtime: {context: 512}\n", "runtime: {context: 5.12e2}\n");
    same("defaults: {temperature: 1}\n", "defaults: {temperature: 1.0}\n");
    same("defaults: {stop: END}\n", "defaults: {stop: [END]}\n");
    same("aliases: [b, a]\n", "aliases: [a, b]\n");
    same("tags: {a: x, b: y}\n", "tags: {b: y, a: x}\n");
    same("digest: sha256:" + std::string(64, '0') + "\n", "");
    CHECK(parse_manifest("rekindle: 1\nname: small\nmodel: file:/other/m.gguf\n").ok());
}

TEST_CASE("a default that is written out is no other revision than one that is left out") {
    for (const char* text :
         {"aliases: []\n", "runtime: {quantize: none}\n",
          "runtime: {max_batch: 64, kv: auto, kv_type: f16, speculation: true,\n"
          "          verify_on_restore: false}\n",
          "scale: {min_warm: 0, max: 1, idle: auto, preload: false, wakes: []}\n",
          "price: {currency: USD}\n",
          "price: {per_mtok: {input: \"0.00\", reasoning: output}, cold_start: free}\n",
          "strip: []\n", "tags: {}\n", "force: {}\n"}) {
        CHECK(canonical(text) == canonical(""));
    }
}

TEST_CASE("whatever a person chose differently is another revision") {
    for (const char* text :
         {"aliases: [x]\n", "runtime: {context: 5}\n", "runtime: {kv_type: q8_0}\n",
          "scale: {min_warm: 1}\n", "scale: {preload: true}\n", "scale: {wakes: [x]}\n",
          "runtime: {verify_on_restore: true}\n", "price: {currency: EUR}\n",
          "defaults: {seed: 0}\n", "strip: [n]\n", "admission: {queue: 0}\n", "tags: {a: b}\n"}) {
        CHECK(canonical(text) != canonical(""));
    }
    const auto manifest = parse_manifest("rekindle: 1\nname: small\nmodel: m\n");
    CHECK(manifest_revision(*manifest, kImage) !=
          manifest_revision(*manifest, std::string(64, 'b')));
}

TEST_CASE("a revision is the same in every build") {
    const auto manifest = parse_manifest("rekindle: 1\nname: small\nmodel: m\n");
    REQUIRE(manifest.ok());
    CHECK(manifest_revision(*manifest, kImage) ==
          "7abccd7e40808f6c3aae88b0feba14cc1b8a9411f7e7e3929593e17f32b11cad");
}

TEST_CASE("numbers have one form, strings are escaped") {
    CHECK(canonical_json(json::parse(R"({"b":[1.50,2,-3,1e2,true,null],"a":"x\"\u0001\u00e9"})")) ==
          "{\"a\":\"x\\\"\\u0001\xc3\xa9\",\"b\":[1.5,2,-3,100,true,null]}");
    CHECK(canonical_json(json::object{}) == "{}");
    CHECK(canonical_json(json::array{}) == "[]");
}

TEST_CASE("the YAML that is shown parses to the same manifest") {
    const auto manifest = parse_manifest(
        "rekindle: 1\nname: small\nmodel: m.gguf\n"
        "tags: {no: \"no\", a: \"1.0\", b: \"x: y # z\", c: \"\", d: \"true\", e: \" lead\"}\n"
        "defaults: {stop: [\"\\n\", \"]\"], temperature: 0.1}\n"
        "price: {per_mtok: {input: \"0.05\"}}\n");
    REQUIRE_MESSAGE(manifest.ok(), manifest.error().message);
    const std::string shown = block_yaml(manifest->with_image(kImage));
    CHECK(shown.find("    input: \"0.05\"\n") != std::string::npos);
    const auto again = parse_manifest(shown);
    REQUIRE_MESSAGE(again.ok(), again.error().message);
    CHECK(canonical_manifest(*again, kImage) == canonical_manifest(*manifest, kImage));
}
