"""The published JSON Schema of manifests says what the parser says, over good and bad manifests."""

import json
import subprocess

import jsonschema
import pytest
from tools import BIN, ROOT

HEX = "0123456789abcdef" * 4
HEAD = {"rekindle": 1, "name": "small", "model": "m.gguf"}
SCHEMA = ROOT / "docs/schema/deployment-manifest.json"


def nested(path, value):
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def each(path, *values):
    """Manifests that have one of `values` at `path`, a key or keys with dots between."""
    return [{**HEAD, **nested(path, value)} for value in values]


GOOD = [
    HEAD,
    *each("name", "a", "0.b_c-d", "n" * 63),
    *each("aliases", [], ["x"], [f"a{i}" for i in range(16)]),
    *each("model", "dir/m.gguf", "/m", "file:m", "file:/a:b", "./a:b", f"rekindle://sha256:{HEX}",
          "x/hf://y", "hf://a/b/c", "https://a/b?c=d", "http://[::1]:1/m", "s3://a/b"),
    *each("digest", f"sha256:{HEX}"),
    *each("runtime", {}, {"quantize": "none"}),
    *each("runtime.context", 1, 16777216, 512.0),
    *each("runtime.max_batch", 1, 256),
    *each("runtime.speculation", True, False),
    *each("runtime.draft", "small", "a.b_c-1", f"rekindle://sha256:{HEX}"),
    *each("runtime.verify_on_restore", True, False),
    *each("runtime.kv", "auto", "1K", "512MiB", "9999999GiB"),
    *each("runtime.kv_type", "f16", "bf16", "q8_0"),
    *each("scale.min_warm", 0, 1),
    *each("scale.max", 1),
    *each("scale.preload", True, False),
    *each("scale.wakes", [], ["x"], [f"a{i}" for i in range(16)]),
    *each("scale.idle", "auto", "0s", "250ms", "999999999d"),
    *each("admission.queue", 0, 4096),
    *each("admission.max_wait", "1ms", "30s"),
    *each("admission.max_tokens", 1, 16777216),
    *each("price.currency", "USD", "XXX"),
    *each("price.per_mtok.input", "0", "0.05", "123456789.123456", "007"),
    *each("price.per_mtok.reasoning", "output"),
    *each("price.cold_start", "free"),
    *each("defaults.temperature", 0, 0.7, 2, 1e-3),
    *each("defaults.top_p", 1, 0.0001),
    *each("defaults.top_k", -1, 0, 2147483647),
    *each("defaults.seed", -2**63, 2**63 - 1),
    *each("defaults.stop", "x", [], ["x", "y"], "s" * 256),
    *each("force.ignore_eos", True, False),
    *each("force.min_p", 0, 1),
    *each("strip", [], ["n", "logit_bias"]),
    *each("tags", {}, {"a": ""}, {"Team/x.y_z-0": "any \"text\""}, {"k" * 63: "v" * 256}),
]

BAD = [
    {}, [], "text", 1, None,
    *[{k: v for k, v in HEAD.items() if k != missing} for missing in HEAD],
    *each("rekindle", 0, 2, "1", True, None),
    *each("name", "", "A", "-a", "n" * 64, 5, None, ["a"]),
    *each("aliases", "x", ["A"], ["x", "x"], [f"a{i}" for i in range(17)], {}),
    *each("model", "", "hf://", "https://a/b c", "s3://a#b", "ftp://a/b", "C:m.gguf", "file:", "rekindle://x",
          f"rekindle://sha256:{HEX[1:]}", f"rekindle://sha256:{HEX.upper()}", "a\tb", 5),
    *each("digest", HEX, f"sha256:{HEX.upper()}", f"sha1:{HEX}", ""),
    *each("runtime", [], "x", None),
    *each("runtime.quantize", "q8_0", "", None),
    *each("runtime.context", 0, 16777217, 1.5, "512", None, True),
    *each("runtime.max_batch", 0, 257),
    *each("runtime.speculation", "auto", "true", 1, None),
    *each("runtime.verify_on_restore", "always", 1, None),
    *each("runtime.kv", "", "512", 512, "0MiB", "1.5GiB", "10000000GiB", "1TiB", "1 GiB", "-1K"),
    *each("runtime.draft", "", "A", "m.gguf/x", "./m.gguf", "rekindle://sha256:0", "https://a/b", 1,
          None),
    *each("runtime.kv_type", "", "q8", "Q8_0", "f32", "fp8", "auto", 8, None, ["f16"]),
    *each("scale.min_warm", -1, 2, True),
    *each("scale.max", 0, 2),
    *each("scale.preload", "start", 1, None),
    *each("scale.wakes", "x", ["A"], ["x", "x"], [f"a{i}" for i in range(17)]),
    *each("scale.idle", 300, "300", "5 m", "1w", "-1s", "1000000000d", "AUTO"),
    *each("admission.queue", -1, 4097, "auto"),
    *each("admission.max_wait", "auto", 30, "30"),
    *each("admission.max_tokens", 0),
    *each("price.currency", "usd", "US", "EURO", 1),
    *each("price.per_mtok.input", 0.05, 0, "-1", "1e3", ".5", "5.", "", "0.1234567", "1234567890"),
    *each("price.per_mtok.reasoning", "free"),
    *each("price.cold_start", "0.01"),
    *each("price.per_mtok", {"in": "1"}),
    *each("defaults.temperature", -0.1, 2.1, "0.7", True),
    *each("defaults.top_p", 0, 1.1),
    *each("defaults.top_k", -2, 2147483648, 1.5),
    *each("defaults.seed", 2**63, "x"),
    *each("defaults.stop", "", ["x", "x"], [""], 5, [str(i) for i in range(17)]),
    *each("force.ignore_eos", "true", 1),
    *each("defaults.max_tokens", 5),
    *each("strip", "n", ["model"], ["n", "n"], ["nonsense"]),
    *each("tags", [], {"a": 1}, {"": "x"}, {"k" * 64: "v"}, {"a": "v" * 257}, {"-a": "x"},
          {str(i): "x" for i in range(17)}, {"a": "x\ny"}),
    *[{**HEAD, **nested(path, {})} for path in
      ["adapters", "resources", "slo", "route", "cache", "limits",
       "scale.priority", "scale.max_idle_cost_per_hour", "admission.concurrency"]],
    *each("nmae", "x"),
    *each("runtime.contxt", 5),
]


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def verdicts(texts):
    """What the parser says to each text of one line."""
    done = subprocess.run([BIN / "manifest_check"], input="\n".join(texts) + "\n", text=True,
                          capture_output=True, check=True, timeout=60)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("corpus", "wanted"), [(GOOD, True), (BAD, False)])
def test_schema_and_parser_agree_on_json(validator, corpus, wanted):
    answers = verdicts([json.dumps(document) for document in corpus])
    assert len(answers) == len(corpus)
    for document, answer in zip(corpus, answers, strict=True):
        assert validator.is_valid(document) == wanted, document
        assert answer.startswith("ok ") == wanted, (document, answer)


def test_the_error_names_the_field_in_one_sentence():
    for document, answer in zip(BAD, verdicts([json.dumps(d) for d in BAD]), strict=True):
        assert answer.startswith("error ") and len(answer) > 20, (document, answer)
