#include "daemon/api/manifest.h"

#include "daemon/api/manifest_tree.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>

using namespace rekindle;               // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon::api;  // NOLINT(google-build-using-namespace): test file.

namespace {

constexpr std::string_view kHead = "rekindle: 1\nname: small\nmodel: m.gguf\n";

Result<Manifest> with(std::string_view rest) {
    return parse_manifest(std::string(kHead) + std::string(rest));
}

// The error's text; empty when it was accepted.
std::string fault(std::string_view text) {
    const auto manifest = parse_manifest(text);
    return manifest ? std::string() : manifest.error().message;
}

std::string fault_with(std::string_view rest) {
    return fault(std::string(kHead) + std::string(rest));
}

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("two lines beside the version are a whole manifest") {
    const auto manifest = parse_manifest(kHead);
    REQUIRE(manifest.ok());
    CHECK(manifest->name == "small");
    CHECK(manifest->model == "m.gguf");
    CHECK(manifest->file() == "m.gguf");
    CHECK(manifest->image().empty());
    CHECK(manifest->max_batch == 64);
    CHECK(manifest->speculation);
    CHECK(manifest->kv_type == "f16");
    CHECK(manifest->currency == "USD");
    CHECK(manifest->price_output == "0");
    CHECK_FALSE(manifest->idle);
    CHECK_FALSE(manifest->min_warm);
    CHECK_FALSE(manifest->verify_on_restore);
    CHECK_FALSE(manifest->preload);
    CHECK(manifest->wakes.empty());
}

TEST_CASE("every field that takes effect is read, from YAML as from JSON") {
    const auto yaml = with(
        "aliases: [gpt-4o-mini]\n"
        "digest: sha256:" +
        std::string(64, 'b') +
        "\n"
        "runtime: {quantize: none, context: 4096, max_batch: 32, kv: 512MiB, kv_type: q8_0,\n"
        "          speculation: false, verify_on_restore: true}\n"
        "scale: {min_warm: 1, max: 1, idle: 300s, preload: true, wakes: [embedder]}\n"
        "admission: {queue: 8, max_wait: 30s, max_tokens: 1024}\n"
        "price:\n"
        "  currency: EUR\n"
        "  per_mtok: {input: \"0.05\", cached: '0.01', output: \"0.20\", reasoning: output}\n"
        "  cold_start: free\n"
        "defaults: {temperature: 0.7, top_k: 40, stop: END, ignore_eos: true}\n"
        "force: {seed: -1}\n"
        "strip: [user, logit_bias]\n"
        "tags: {team: search, no: no}\n");
    REQUIRE_MESSAGE(yaml.ok(), yaml.error().message);
    CHECK(yaml->aliases == std::vector<std::string>{"gpt-4o-mini"});
    CHECK(yaml->digest == std::string(64, 'b'));
    CHECK(yaml->context == 4096);
    CHECK(yaml->max_batch == 32);
    CHECK_FALSE(yaml->speculation);
    CHECK(yaml->kv_bytes == 512ULL << 20);
    CHECK(yaml->kv_type == "q8_0");
    CHECK(yaml->min_warm);
    CHECK(yaml->verify_on_restore);
    CHECK(yaml->preload);
    CHECK(yaml->wakes == std::vector<std::string>{"embedder"});
    CHECK(yaml->idle == std::chrono::minutes(5));
    CHECK(yaml->queue == 8);
    CHECK(yaml->max_wait == std::chrono::seconds(30));
    CHECK(yaml->rules.tokens_max == 1024);
    CHECK(yaml->currency == "EUR");
    CHECK(yaml->price_input == "0.05");
    CHECK(yaml->price_cached == "0.01");
    CHECK(yaml->price_output == "0.2");
    CHECK(yaml->rules.defaults.at("temperature") == 0.7);
    CHECK(yaml->rules.defaults.at("stop").as_array().size() == 1);
    CHECK(yaml->rules.defaults.at("ignore_eos") == true);
    CHECK(yaml->rules.force.at("seed") == -1);
    CHECK(yaml->rules.strip == std::vector<std::string>{"logit_bias", "user"});
    REQUIRE(yaml->tags.size() == 2);
    CHECK(yaml->tags[1] == std::pair<std::string, std::string>("no", "no"));
    // The canonical form is a manifest itself, in JSON, and says the same.
    const auto again = parse_manifest(canonical_manifest(*yaml, std::string(64, 'c')));
    REQUIRE_MESSAGE(again.ok(), again.error().message);
    CHECK(again->image() == std::string(64, 'c'));
    CHECK(manifest_revision(*again, again->image()) ==
          manifest_revision(*yaml, std::string(64, 'c')));
}

TEST_CASE("an unknown key is refused with its line and the nearest valid key") {
    CHECK(fault_with("runtme: {}\n") == "line 4: unknown key runtme: did you mean runtime?");
    CHECK(fault("rekindle: 1\nname: a\nmodle: m\n") ==
          "line 3: unknown key modle: did you mean model?");
    CHECK(has(fault_with("price: {per_mtok: {imput: \"1\"}}\n"),
              "unknown key price.per_mtok.imput: did you mean price.per_mtok.input?"));
    CHECK(has(fault_with("context: 5\n"), "did you mean runtime.context?"));
    CHECK(has(fault_with("runtime.contxt: 5\n"), "did you mean runtime.context?"));
    CHECK(has(fault_with("scale: {idel: 5m}\n"), "did you mean scale.idle?"));
    CHECK(has(fault_with(std::string(1000, 'x') + ": 1\n"), "did you mean"));
    CHECK(has(fault(R"({"rekindle":1,"name":"a","model":"m","alias":[]})"),
              "unknown key alias: did you mean aliases?"));
}

TEST_CASE("a key that stands twice is refused") {
    CHECK(fault_with("name: other\n") == "line 4: the key name stands twice: keep one");
    CHECK(has(fault_with("scale: {idle: 5m, idle: 6m}\n"), "the key scale.idle stands twice"));
    CHECK(
        has(fault(R"({"rekindle":1,"name":"a","name":"b","model":"m"})"), "\"name\" stands twice"));
    CHECK(has(fault_with("tags: {a: b, a: c}\n"), "\"a\" stands in it twice"));
}

TEST_CASE("fields that would have no effect are refused by name") {
    for (const ManifestField& field : manifest_fields()) {
        if (field.kind != FieldKind::kLater) {
            continue;
        }
        std::string text;
        const std::string group(field.group());
        text = group.empty() ? std::string(field.path) + ": {}\n"
                             : group + ": {" + std::string(field.leaf()) + ": 1}\n";
        CHECK(fault_with(text) ==
              "line 4: " + std::string(field.path) + " is not supported yet: leave it out");
    }
    CHECK(has(fault_with("runtime: {quantize: q8_0}\n"), "not supported yet"));
    CHECK(has(fault_with("scale: {max: 2}\n"), "not supported yet"));
    CHECK(has(fault("rekindle: 1\nname: a\nmodel: ftp://host/m.gguf\n"), "https://"));
    CHECK(has(fault("rekindle: 1\nname: a\nmodel: https://host/m gguf\n"), "without spaces"));
    CHECK(has(fault("rekindle: 1\nname: a\nmodel: hf://\n"), "https://"));
}

TEST_CASE("numbers of the KV cache are of one of the known types") {
    for (const std::string_view type : kv_types()) {
        const auto manifest = with("runtime: {kv_type: " + std::string(type) + "}\n");
        REQUIRE_MESSAGE(manifest.ok(), manifest.error().message);
        CHECK(manifest->kv_type == type);
    }
    for (const char* type : {"q8", "Q8_0", "f32", "fp8", "auto", "8", "[f16]", "\"\""}) {
        CHECK(has(fault_with("runtime: {kv_type: " + std::string(type) + "}\n"),
                  "runtime.kv_type: must be f16, bf16 or q8_0"));
    }
}

TEST_CASE("money is a decimal in quotes") {
    CHECK(has(fault_with("price: {per_mtok: {input: 0.05}}\n"), "a decimal in quotes"));
    CHECK(has(fault(R"({"rekindle":1,"name":"a","model":"m","price":{"per_mtok":{"input":0.05}}})"),
              "a decimal in quotes"));
    for (const char* wrong : {"-1", "1e3", ".5", "5.", "", "0.1234567", "1234567890"}) {
        CHECK(has(fault_with("price: {per_mtok: {input: \"" + std::string(wrong) + "\"}}\n"),
                  "a decimal in quotes"));
    }
    CHECK(with("price: {per_mtok: {input: \"123456789.123456\"}}\n").ok());
    CHECK(has(fault_with("price: {currency: usd}\n"), "three capital letters"));
}

TEST_CASE("a plain scalar is what its field says") {
    const auto manifest = parse_manifest("rekindle: 1\nname: no\nmodel: 1.5\n");
    REQUIRE(manifest.ok());
    CHECK(manifest->name == "no");
    CHECK(manifest->model == "1.5");
    CHECK(has(fault("rekindle: \"1\"\nname: a\nmodel: m\n"), "rekindle: must be 1"));
    CHECK(has(fault_with("runtime: {context: \"5\"}\n"), "must be a whole number"));
    CHECK(has(fault(R"({"rekindle":1,"name":5,"model":"m"})"), "name: must be"));
}

TEST_CASE("values at their limits are accepted, one beyond is refused") {
    const auto context = [](const std::string& value) {
        return fault_with("runtime: {context: " + value + "}\n");
    };
    CHECK(context("1").empty());
    CHECK(context("16777216").empty());
    CHECK(has(context("0"), "from 1 to 16777216"));
    CHECK(has(context("16777217"), "from 1 to 16777216"));
    CHECK(has(context("1.5"), "whole number"));
    const auto batch = [](const std::string& value) {
        return fault_with("runtime: {max_batch: " + value + "}\n").empty();
    };
    CHECK(batch("256"));
    CHECK_FALSE(batch("257"));
    CHECK_FALSE(batch("0"));
    const auto defaults = [](const std::string& value) {
        return fault_with("defaults: {" + value + "}\n").empty();
    };
    CHECK(defaults("temperature: 2"));
    CHECK_FALSE(defaults("temperature: 2.01"));
    CHECK_FALSE(defaults("temperature: .nan"));
    CHECK(defaults("top_p: 0.001"));
    CHECK_FALSE(defaults("top_p: 0"));
    CHECK(defaults("seed: -9223372036854775808"));
    CHECK_FALSE(defaults("seed: -9223372036854775809"));
    const auto name = [](const std::string& value) {
        return fault("rekindle: 1\nmodel: m\nname: \"" + value + "\"\n").empty();
    };
    CHECK(name(std::string(63, 'a')));
    CHECK_FALSE(name(std::string(64, 'a')));
    CHECK_FALSE(name(""));
    CHECK_FALSE(name("../x"));
    CHECK_FALSE(name("Upper"));
}

TEST_CASE("lists have their limits, too") {
    const auto aliases = [](size_t count) {
        std::string list;
        for (size_t i = 0; i < count; ++i) {
            list += "a" + std::to_string(i) + ", ";
        }
        return fault_with("aliases: [" + list + "]\n");
    };
    CHECK(aliases(kAliasesMax).empty());
    CHECK(has(aliases(kAliasesMax + 1), "at most 16 names"));
    CHECK(has(fault_with("aliases: [small]\n"), "own name"));
    CHECK(has(fault_with("aliases: [a, a]\n"), "twice"));
    const auto tag = [](size_t key, size_t value) {
        return fault_with("tags: {\"" + std::string(key, 'k') + "\": \"" + std::string(value, 'v') +
                          "\"}\n");
    };
    CHECK(tag(kTagKeyBytesMax, kTagValueBytesMax).empty());
    CHECK_FALSE(tag(kTagKeyBytesMax + 1, 1).empty());
    CHECK_FALSE(tag(1, kTagValueBytesMax + 1).empty());
    CHECK(fault_with("defaults: {stop: " + std::string(256, 's') + "}\n").empty());
    CHECK_FALSE(fault_with("defaults: {stop: " + std::string(257, 's') + "}\n").empty());
    CHECK(has(fault_with("strip: [model]\n"), "a request field that can be left out"));
}

TEST_CASE("what YAML offers beyond the subset is refused with its line") {
    CHECK(has(fault_with("tags: &a {x: y}\n"), "line 4: a YAML anchor"));
    CHECK(has(fault_with("tags: {x: &a y, z: *a}\n"), "YAML anchor"));
    CHECK(has(fault_with("tags: {x: !!str y}\n"), "YAML tag"));
    CHECK(has(fault_with("--- \nname: b\n"), "more than one YAML document"));
    CHECK(has(fault_with("? [a, b]\n: c\n"), "a key must be a single word"));
    CHECK(has(fault_with("tags:\n\tx: y\n"), "line "));
    CHECK(has(fault_with("<<: {name: b}\n"), "unknown key <<"));
    CHECK(has(fault("- a\n- b\n"), "not a map of fields"));
    CHECK(has(fault("# nothing\n"), "manifest is empty"));
    CHECK(has(fault(""), "manifest is empty"));
    CHECK(has(fault("{\"rekindle\": 1,"), "JSON"));
}

TEST_CASE("text is bounded in size, depth and characters") {
    std::string text(kHead);
    text += "#" + std::string(kManifestBytesMax - text.size() - 1, 'x');
    CHECK(fault(text).empty());
    CHECK(has(fault(text + "x"), "the limit is 65536"));
    const auto nested = [](size_t depth) {
        return fault_with("tags: " + std::string(depth, '[') + std::string(depth, ']') + "\n");
    };
    CHECK(has(nested(kManifestDepthMax), "nested deeper than 8 levels"));
    CHECK(has(nested(kManifestDepthMax - 1), "tags: must be a map"));
    CHECK(has(nested(10'000), "line 4"));
    std::string many = "tags: [";
    for (size_t i = 0; i < kManifestNodesMax; ++i) {
        many += "a,";
    }
    CHECK(has(fault_with(many + "]\n"), "more than 4096 values"));
    CHECK(has(fault_with(std::string("tags: {a: \"\xff\"}\n")), "not UTF-8"));
    CHECK(has(fault_with(std::string("tags: {a: b\x01}\n")), "line 4: a control character"));
}

TEST_CASE("what is missing is named") {
    CHECK(has(fault("name: a\nmodel: m\n"), "rekindle is missing"));
    CHECK(has(fault("rekindle: 1\nmodel: m\n"), "name is missing"));
    CHECK(has(fault("rekindle: 1\nname: a\n"), "model is missing"));
    CHECK(has(fault("rekindle: 2\nname: a\nmodel: m\n"), "rekindle: must be 1"));
    CHECK(has(fault("rekindle: 1\nname:\nmodel: m\n"), "name: must be"));
}

TEST_CASE("each field of the table stands after its group, and once") {
    std::vector<std::string_view> seen;
    for (const ManifestField& field : manifest_fields()) {
        CHECK(std::find(seen.begin(), seen.end(), field.path) == seen.end());
        const bool grouped = field.group().empty() ||
                             std::find(seen.begin(), seen.end(), field.group()) != seen.end();
        CHECK_MESSAGE(grouped, field.path);
        seen.push_back(field.path);
    }
}
