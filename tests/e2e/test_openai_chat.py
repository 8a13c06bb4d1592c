"""/v1/models and /v1/chat/completions by the official client."""

import math

import openai
import pytest

# The model is sure of every token of its answer, "The capital city of France is Paris.".
ASK = [{"role": "user", "content": "Name the capital city of France."}]

# Ids in SmolLM2's vocabulary.
THE, SPACE_THE = 504, 260


def ask(client, messages=None, **more):
    more.setdefault("max_tokens", 24)
    more.setdefault("temperature", 0)
    return client.chat.completions.create(model="small", messages=messages or ASK, **more)


def read(stream):
    """Text, finish reason and usage of a stream."""
    text, finish, usage = "", None, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return text, finish, usage


def test_models_are_listed_and_reading_the_list_wakes_none(client):
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("small", "model", "rekindle")
    assert model.created > 1_700_000_000
    assert client.models.retrieve("small").id == "small"


def test_an_answer_in_one_piece(client):
    answer = ask(client)
    assert answer.object == "chat.completion" and answer.model == "small"
    assert answer.id.startswith("chatcmpl-")
    (choice,) = answer.choices
    assert choice.index == 0 and choice.message.role == "assistant"
    assert "Paris" in choice.message.content
    assert choice.finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.prompt_tokens > 5 and 0 < usage.completion_tokens <= 24
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens in (0, 32)  # Others may have asked it.


def test_a_streamed_answer_is_the_same_answer(client):
    whole = ask(client)
    text, finish, usage = read(ask(client, stream=True))
    assert text == whole.choices[0].message.content
    assert finish == whole.choices[0].finish_reason
    assert usage is None


def test_a_stream_gives_its_usage_when_asked(client):
    whole = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1


def test_many_tokens_come_in_many_chunks(client):
    chunks = list(ask(client, stream=True, max_tokens=20, extra_body={"ignore_eos": True}))
    assert len([c for c in chunks if c.choices and c.choices[0].delta.content]) > 5


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_the_answer_ends_at_its_token_limit(client, limit):
    answer = client.chat.completions.create(
        model="small", messages=ASK, temperature=0, **{limit: 3})
    assert answer.usage.completion_tokens == 3
    assert answer.choices[0].finish_reason == "length"


def test_ignore_eos_goes_on_to_the_limit(client):
    short = ask(client, [{"role": "user", "content": "Say yes."}], max_tokens=200)
    assert short.choices[0].finish_reason == "stop"
    longer = short.usage.completion_tokens + 10
    answer = ask(client, [{"role": "user", "content": "Say yes."}], max_tokens=longer,
                 extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == longer
    assert answer.choices[0].finish_reason == "length"


def test_a_stop_string_is_not_part_of_the_answer(client):
    whole = ask(client).choices[0].message.content
    for stop in ["Paris", ["never said", "Paris"]]:
        answer = ask(client, stop=stop)
        assert answer.choices[0].message.content == whole[:whole.index("Paris")]
        assert answer.choices[0].finish_reason == "stop"
        assert 0 < answer.usage.completion_tokens <= 24


def test_a_stop_string_may_lie_across_tokens_also_in_a_stream(client):
    options = {"max_tokens": 24, "extra_body": {"ignore_eos": True}}
    tokens = [t.token for t in ask(client, logprobs=True, **options).choices[0].logprobs.content]
    text = "".join(tokens)
    at = next(i for i in range(2, len(tokens) - 1)
              if len(tokens[i]) > 2 and len(tokens[i + 1]) > 2
              and text.count(tokens[i][-2:] + tokens[i + 1][:2]) == 1)
    stop = tokens[at][-2:] + tokens[at + 1][:2]
    before = text[:text.index(stop)]
    whole = ask(client, stop=[stop], **options)
    assert whole.choices[0].message.content == before
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens == at + 2  # With the token that completed it.
    streamed, finish, _ = read(ask(client, stop=[stop], stream=True, **options))
    assert (streamed, finish) == (before, "stop")


def test_the_same_seed_gives_the_same_answer(client):
    def told(seed):
        return ask(client, [{"role": "user", "content": "Tell me a story."}], temperature=1,
                   seed=seed, max_tokens=32).choices[0].message.content

    assert told(7) == told(7)
    assert len({told(seed) for seed in range(1, 5)}) > 1


def test_top_p_near_zero_takes_the_likeliest_token(client):
    greedy = ask(client).choices[0].message.content
    assert ask(client, temperature=1, top_p=1e-6).choices[0].message.content == greedy
    assert ask(client, temperature=1, extra_body={"top_k": 1}).choices[0].message.content == greedy


def test_logit_bias_forces_and_forbids_tokens(client):
    first = ask(client, logprobs=True, max_tokens=1).choices[0].logprobs.content[0]
    assert first.token == "The"
    other = ask(client, max_tokens=1, logit_bias={THE: -100})
    assert other.choices[0].message.content != "The"
    only = ask(client, max_tokens=3, logit_bias={THE: 100}, extra_body={"ignore_eos": True})
    assert only.choices[0].message.content == "TheTheThe"
    # Log-probabilities are the model's own, before any bias.
    forced = ask(client, max_tokens=1, logprobs=True, top_logprobs=1, logit_bias={SPACE_THE: 100})
    (item,) = forced.choices[0].logprobs.content
    assert item.token == " the" and item.top_logprobs[0].token == "The"
    assert item.logprob < item.top_logprobs[0].logprob == pytest.approx(first.logprob)


def test_penalties_end_repetitions(client):
    def times(**options):
        answer = ask(client, max_tokens=16, logit_bias={SPACE_THE: 14}, **options)
        return answer.choices[0].message.content.count(" the")

    free = times(extra_body={"ignore_eos": True})
    assert free > 3
    assert times(frequency_penalty=2, extra_body={"ignore_eos": True}) < free
    assert times(presence_penalty=2, extra_body={"ignore_eos": True}) <= free
    assert times(extra_body={"ignore_eos": True, "repetition_penalty": 10}) < free


def test_a_bias_of_no_token_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="logit_bias: token id 2000000000"):
        ask(client, max_tokens=1, logit_bias={2000000000: 1})


def test_log_probabilities(client):
    answer = ask(client, logprobs=True, top_logprobs=20, max_tokens=6)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    for item in content:
        assert item.logprob <= 0 and len(item.top_logprobs) == 20
        assert bytes(item.bytes).decode(errors="replace") == item.token
        ranked = [top.logprob for top in item.top_logprobs]
        assert ranked == sorted(ranked, reverse=True)
        assert item.token == item.top_logprobs[0].token  # Greedy.
        assert math.isclose(item.logprob, ranked[0], abs_tol=1e-6)
        assert sum(map(math.exp, ranked)) <= 1 + 1e-4
    told = "".join(item.token for item in content)
    assert told.startswith(answer.choices[0].message.content)


def test_log_probabilities_of_a_stream_are_the_same(client):
    whole = ask(client, logprobs=True, top_logprobs=2, max_tokens=6)
    streamed = []
    for chunk in ask(client, logprobs=True, top_logprobs=2, max_tokens=6, stream=True):
        if chunk.choices and chunk.choices[0].logprobs:
            streamed += chunk.choices[0].logprobs.content
    assert streamed == whole.choices[0].logprobs.content


def test_a_conversation_with_a_system_message_and_parts(client):
    def talk(content):
        return ask(client, [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": "Hello Ada!"},
            {"role": "user", "content": content},
        ], max_tokens=8)

    text = talk("What is my\nname?")
    assert text.usage.prompt_tokens > ask(client, max_tokens=1).usage.prompt_tokens
    parts = talk([{"type": "text", "text": "What is my"}, {"type": "text", "text": "name?"}])
    assert parts.choices == text.choices
    assert parts.usage.prompt_tokens == text.usage.prompt_tokens


def test_fields_without_effect_are_accepted(client):
    ask(client, max_tokens=1, n=1, user="u", presence_penalty=0, frequency_penalty=0,
        response_format={"type": "text"})
