"""Speculative decoding: fewer steps for answers that repeat text, and never another token."""

import json

from scrape import scrape, value
from tools import rekindle

TEXT = ("The harbour master writes every arrival into a ledger: the name of the ship, the hour, the cargo "
        "and the number of her crew. On the third of March the brig Amelia came in with timber from "
        "Riga and eleven men. On the fourth the schooner Two Brothers came in with salt from Setubal.")


def ask(daemon, model="small", **more):
    return daemon.client().chat.completions.create(**{
        "model": model, "temperature": 0, "max_tokens": 80, "seed": 5,
        "messages": [{"role": "user", "content": f"Repeat this text word for word.\n\n{TEXT}"}],
        **more})


def deploy_without(daemon, model_file, tmp_path):
    manifest = {"rekindle": 1, "name": "plain", "model": str(model_file),
                "runtime": {"speculation": False}}
    path = tmp_path / "plain.json"
    path.write_text(json.dumps(manifest))
    assert rekindle("deploy", path, url=daemon.url).code == 0


def counters(daemon, model="small"):
    samples = scrape(daemon)
    kinds = ("drafts", "draft_tokens", "accepted_tokens")
    return [value(samples, f"vllm:spec_decode_num_{kind}_total", model_name=model)
            for kind in kinds]


def steps(daemon, model):
    return value(scrape(daemon), "vllm:iteration_tokens_total_count", model_name=model)


def test_an_answer_that_repeats_text_takes_fewer_steps_and_is_the_same(small, model_file, tmp_path):
    deploy_without(small, model_file, tmp_path)
    for options in ({}, {"temperature": 0.9}, {"logprobs": True, "top_logprobs": 5},
                    {"frequency_penalty": 0.3}, {"stop": ["Amelia"]}):
        answers = [ask(small, model, **options) for model in ("small", "plain")]
        assert answers[0].choices == answers[1].choices, options
        assert answers[0].usage == answers[1].usage, options
    drafts, guessed, right = counters(small)
    assert 0 < drafts <= guessed
    assert 0 < right <= guessed
    assert steps(small, "small") + right <= steps(small, "plain") + 2


def test_a_stream_sends_all_tokens_and_they_are_billed_once(small):
    whole = ask(small)
    chunks = list(ask(small, stream=True, logprobs=True, stream_options={"include_usage": True}))
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == \
        whole.choices[0].message.content
    tokens = [item for choice in choices if choice.logprobs for item in choice.logprobs.content]
    ended = choices[-1].finish_reason == "stop"  # The token that ends an answer has no item.
    assert len(tokens) + (1 if ended else 0) == whole.usage.completion_tokens
    assert max(len(choice.logprobs.content) for choice in choices if choice.logprobs) > 1
    usages = [whole.usage, chunks[-1].usage]
    assert usages[0].completion_tokens == usages[1].completion_tokens
    (row,) = small.usage("model").values()
    assert row["completion_tokens"] == sum(usage.completion_tokens for usage in usages)
    assert counters(small)[2] > 0


def test_without_it_nothing_is_guessed(small, model_file, tmp_path):
    deploy_without(small, model_file, tmp_path)
    ask(small, "plain")
    samples = scrape(small)
    assert not [labels for labels, _ in samples.get("vllm:spec_decode_num_drafts_total", [])
                if labels.get("model_name") == "plain"]
