"""Many answers at once, and clients that leave."""

from concurrent.futures import ThreadPoolExecutor

import requests
from streams import STORY, Stream
from tools import poll

QUESTIONS = ["Name the capital city of France.", "Name a colour.", "Count to five.", "Who are you?",
             "What is 2 + 2?", "Write a haiku.", "Say hello in Spanish.", "Why is the sky blue?"]


def told(client, question):
    """Text, and tokens of prompt and answer: how many were cached differs from time to time."""
    answer = client.chat.completions.create(
        model="small", messages=[{"role": "user", "content": question}], max_tokens=40,
        temperature=0, stream=True, stream_options={"include_usage": True})
    text, usage = "", None
    for chunk in answer:
        usage = chunk.usage or usage
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    return text, usage.prompt_tokens, usage.completion_tokens


def test_eight_streams_at_once_say_what_each_says_alone(client):
    alone = [told(client, question) for question in QUESTIONS]
    assert [told(client, question) for question in QUESTIONS] == alone  # Temperature 0.
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda question: told(client, question), QUESTIONS))
    assert together == alone


def test_seeded_answers_are_the_same_in_a_batch(client):
    def sampled(seed):
        return client.chat.completions.create(
            model="small", messages=STORY, max_tokens=24, temperature=0.9, seed=seed,
        ).choices[0].message.content

    alone = [sampled(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(sampled, range(8))) == alone


def test_a_client_that_leaves_stops_the_work_and_pays_what_was_delivered(small):
    stream = Stream(small, max_tokens=1500).read(tokens=8)
    assert small.ps("small")["active_requests"] == 1
    stream.close()
    small.wait_idle("small")
    row = small.usage("model,outcome")["small", "disconnected"]
    assert row["requests"] == 1 and row["forgiven_tokens"] == 0
    # What lay in the socket's buffers counts as delivered; far more was never sampled.
    assert len(stream.tokens) <= row["completion_tokens"] < 1500


def test_one_client_that_leaves_does_not_disturb_the_others(small):
    alone = Stream(small, max_tokens=64).read()
    assert alone.done and alone.error is None
    leaving = Stream(small, max_tokens=1500)
    staying = [Stream(small, max_tokens=64) for _ in range(3)]
    leaving.read(tokens=3).close()
    for stream in staying:
        assert stream.read().done and stream.tokens == alone.tokens


def test_a_client_that_leaves_before_the_whole_answer_pays_its_prompt_alone(small):
    body = {"model": "small", "messages": STORY, "max_tokens": 1500, "ignore_eos": True}
    try:
        requests.post(small.url + "/v1/chat/completions", json=body, timeout=(5, 1.0))
        raise AssertionError("1500 tokens came within a second: make the answer longer")
    except requests.exceptions.ReadTimeout:
        pass
    small.wait_idle("small")
    row = poll(lambda: small.usage("model,outcome").get(("small", "disconnected")),
               "the abandoned request is in the ledger")
    assert row["prompt_tokens"] > 0 and row["completion_tokens"] == 0


def test_clients_that_leave_again_and_again_leave_nothing_behind(small):
    for _ in range(12):
        Stream(small, max_tokens=500).read(tokens=1).close()
    assert small.wait_idle("small")["tier"] == "worker"
    assert Stream(small, max_tokens=4).read().done
