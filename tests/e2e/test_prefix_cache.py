"""The prefix cache: what was asked before is not computed again, costs less, and changes nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from scrape import scrape, value
from test_keys import by_socket, client_with, make_key

PRICE_INPUT, PRICE_CACHED, PRICE_OUTPUT = Decimal("0.05"), Decimal("0.01"), Decimal("0.20")
SYSTEM = "You know rivers. " + " ".join(
    f"River number {i} is {i * 37} kilometres long and has {i + 2} bridges." for i in range(20))


def ask(client, question="How long is river number 3?", **more):
    return client.chat.completions.create(
        **{"model": "small", "messages": [{"role": "system", "content": SYSTEM},
                                       {"role": "user", "content": question}],
                          "temperature": 0, "max_tokens": 16, **more})


def cached(usage):
    return usage.prompt_tokens_details.cached_tokens


def test_the_same_chat_again_is_cached_and_answers_the_same_to_the_last_bit(small):
    client = small.client()
    first, again = [ask(client, logprobs=True, top_logprobs=5) for _ in range(2)]
    assert cached(first.usage) == 0
    assert cached(again.usage) == (first.usage.prompt_tokens - 1) // 32 * 32 > 256
    assert again.choices == first.choices  # Log-probabilities too.
    assert again.usage.prompt_tokens == first.usage.prompt_tokens
    other = ask(client, "Which river is the longest?")
    assert 256 < cached(other.usage) <= cached(again.usage)


def test_a_stream_and_completions_report_cached_tokens_as_well(small):
    client = small.client()
    ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert cached(chunks[-1].usage) > 256
    usages = []
    for stream in (False, True):
        options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        answer = client.completions.create(model="small", prompt=SYSTEM, max_tokens=3, **options)
        usages.append((list(answer)[-1] if stream else answer).usage)
    assert cached(usages[0]) == 0 and cached(usages[1]) > 256


def test_the_next_turn_of_a_chat_goes_on_from_the_answer(small):
    client = small.client()
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Tell me more."}]
    options = {"max_tokens": 100, "extra_body": {"ignore_eos": True}}
    first = ask(client, messages=messages, **options)
    text = first.choices[0].message.content
    messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And then?"}]
    second = ask(client, messages=messages, **options)
    # A retokenized answer may differ from its sampled tokens somewhere; not at its beginning.
    assert cached(second.usage) >= first.usage.prompt_tokens // 32 * 32


def test_the_bill_prices_cached_tokens_and_says_how_many_there_were(small):
    client = small.client()
    usages = [ask(client, max_tokens=n).usage for n in (2, 3, 4)]
    prompt = sum(usage.prompt_tokens for usage in usages)
    hits = sum(cached(usage) for usage in usages)
    completion = sum(usage.completion_tokens for usage in usages)
    (row,) = small.usage("model").values()
    assert (row["prompt_tokens"], row["cached_tokens"]) == (prompt, hits)
    assert hits > 512
    cost = (PRICE_INPUT * (prompt - hits) + PRICE_CACHED * hits + PRICE_OUTPUT * completion)
    assert Decimal(row["cost"]) == cost / 1_000_000
    samples = scrape(small)
    assert value(samples, "vllm:prefix_cache_queries_total", model_name="small") == prompt
    assert value(samples, "vllm:prefix_cache_hits_total", model_name="small") == hits
    assert value(samples, "llamacpp:prompt_tokens_total") == prompt - hits
    assert value(samples, "rekindle_billed_tokens_total", meter="cached_input") == hits
    assert value(samples, "rekindle_billed_tokens_total", meter="input") == prompt - hits


def test_without_a_price_of_its_own_a_cached_token_costs_what_others_cost(small, model_file):
    small.deploy(model_file, "plain", "--price-input", "0.05")
    answers = [ask(small.client(), model="plain").usage for _ in range(2)]
    assert cached(answers[1]) > 256
    row = small.usage("model")[("plain",)]
    prompt = sum(usage.prompt_tokens for usage in answers)
    assert Decimal(row["cost"]) == PRICE_INPUT * prompt / 1_000_000
    assert small.ps("plain")["price"]["cached"] == "0.05"


def test_a_cached_price_above_the_input_price_is_refused(daemon, model_file):
    done = daemon.cli("deploy", model_file, "--name", "odd", "--price-input", "0.05",
                      "--price-cached", "0.06")
    assert done.code == 5 and "price.per_mtok.cached" in done.stderr


def test_projects_do_not_share_what_they_asked(small):
    one, also_one = make_key(small, "--project", "one"), make_key(small, "--project", "one")
    two = make_key(small, "--project", "two")
    assert cached(ask(client_with(small, one)).usage) == 0
    assert cached(ask(client_with(small, two)).usage) == 0
    assert cached(ask(client_with(small, also_one)).usage) > 256
    assert cached(ask(client_with(small, two)).usage) > 256
    done = by_socket(small, "usage", "--by", "project", "--json")
    counts = {row["project"]: row["cached_tokens"] for row in json.loads(done.stdout)["rows"]}
    assert counts["one"] == counts["two"] > 256


def test_an_echoed_prompt_with_log_probabilities_is_computed(small):
    client = small.client()
    options = {"model": "small", "prompt": SYSTEM, "max_tokens": 1, "temperature": 0}
    client.completions.create(**options)
    echo = client.completions.create(echo=True, logprobs=1, **options)
    assert cached(echo.usage) == 0
    assert len(echo.choices[0].logprobs.tokens) == echo.usage.prompt_tokens + 1


def test_many_at_once_with_one_system_prompt_answer_as_each_alone(small):
    client = small.client()
    questions = [f"How many bridges has river number {i}?" for i in range(12)]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda question: ask(client, question), questions))
    for question, answer in zip(questions, together):
        assert ask(client, question).choices == answer.choices
