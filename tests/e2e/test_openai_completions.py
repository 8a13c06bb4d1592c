"""/v1/completions by the official client."""

PROMPT = "The capital of France is"


def complete(client, prompt=PROMPT, **more):
    more.setdefault("max_tokens", 12)
    more.setdefault("temperature", 0)
    return client.completions.create(model="small", prompt=prompt, **more)


def test_a_text_is_continued(client):
    answer = complete(client)
    assert answer.object == "text_completion" and answer.id.startswith("cmpl-")
    assert "Paris" in answer.choices[0].text
    assert answer.usage.completion_tokens <= 12


def test_sixteen_tokens_are_the_default(client):
    answer = client.completions.create(model="small", prompt=PROMPT, temperature=0,
                                       extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 16
    assert answer.choices[0].finish_reason == "length"


def test_a_streamed_continuation_is_the_same(client):
    whole = complete(client)
    chunks = list(complete(client, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason


def test_prompts_of_token_ids_are_taken_as_they_are(client, vocabulary):
    ids = [vocabulary[token] for token in ["The", "Ġcapital", "Ġof", "ĠFrance", "Ġis"]]
    text = complete(client)
    for prompt in [ids, [ids]]:
        answer = complete(client, prompt)
        assert answer.choices[0].text == text.choices[0].text
        assert answer.usage == text.usage
    assert text.usage.prompt_tokens == len(ids)
    assert complete(client, [PROMPT]).choices[0].text == text.choices[0].text


def test_echo_gives_the_prompt_first(client):
    answer = complete(client, echo=True)
    assert answer.choices[0].text == PROMPT + complete(client).choices[0].text


def test_stop_ends_a_continuation(client):
    whole = complete(client).choices[0].text
    answer = complete(client, stop="Paris")
    assert answer.choices[0].text == whole[:whole.index("Paris")]
    assert answer.choices[0].finish_reason == "stop"


def test_log_probabilities_of_completions(client):
    answer = complete(client, logprobs=5, max_tokens=6, extra_body={"ignore_eos": True})
    logprobs = answer.choices[0].logprobs
    text = answer.choices[0].text
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == answer.usage.completion_tokens
    assert "".join(logprobs.tokens) == text
    for token, logprob, top, offset in zip(logprobs.tokens, logprobs.token_logprobs,
                                           logprobs.top_logprobs, logprobs.text_offset):
        assert logprob <= 0 and 1 <= len(top) <= 5
        assert max(top, key=top.get) == token
        assert text[offset:offset + len(token)] == token


def test_twenty_alternatives_and_none(client):
    top = complete(client, logprobs=20, max_tokens=1).choices[0].logprobs.top_logprobs[0]
    assert 15 <= len(top) <= 20  # Fewer only where tokens have the same text.
    assert complete(client, max_tokens=1).choices[0].logprobs is None
    none = complete(client, logprobs=0, max_tokens=1).choices[0].logprobs
    assert len(none.tokens) == 1 and not none.top_logprobs[0]


def test_a_text_of_every_kind_of_character_goes_through(client):
    prompt = "naïve 👩‍👩‍👧 漢字 ١٢٣ \t\r\n  <|im_start|> \u200b e\u0301"
    answer = complete(client, prompt, echo=True, max_tokens=1)
    assert answer.choices[0].text.startswith(prompt)


def test_unfinished_characters_never_reach_a_client(client):
    """Greedy text after emoji: every chunk is whole UTF-8 and no replacement character is made."""
    stream = complete(client, "😀😃😄😁😆😅🤣😂🙂", stream=True, max_tokens=24,
                      extra_body={"ignore_eos": True})
    text = "".join(c.choices[0].text for c in stream if c.choices)
    assert text == complete(client, "😀😃😄😁😆😅🤣😂🙂", max_tokens=24,
                            extra_body={"ignore_eos": True}).choices[0].text
    assert "\ufffd" not in text[:-1]
