"""The bill: what usage objects said is what the ledger holds, to the token."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from streams import Stream

# Per million tokens, as conftest's.
PRICE_INPUT, PRICE_CACHED, PRICE_OUTPUT = Decimal("0.05"), Decimal("0.01"), Decimal("0.20")


def cost_of(prompt, cached, completion):
    return (PRICE_INPUT * (prompt - cached) + PRICE_CACHED * cached
            + PRICE_OUTPUT * completion) / 1_000_000


def tokens_of(usage):
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens


def run_requests(daemon):
    """Usage objects of eight requests of each form, at once."""
    client = daemon.client()

    def one(i):
        options = {"model": "small", "max_tokens": 3 + i, "temperature": 1, "seed": i}
        messages = [{"role": "user", "content": "Tell me about " + "very " * i + "much."}]
        whole = client.chat.completions.create(messages=messages, **options).usage
        stream = client.chat.completions.create(messages=messages, stream=True,
                                                stream_options={"include_usage": True}, **options)
        streamed = [chunk.usage for chunk in stream if chunk.usage][0]
        assert tokens_of(streamed) == tokens_of(whole)
        # Usage is billed also where the client did not ask to see it.
        for _ in client.completions.create(prompt="Once", stream=True, **options):
            pass
        return [whole, streamed, client.completions.create(prompt="Once", **options).usage]

    with ThreadPoolExecutor(8) as pool:
        usages = [usage for some in pool.map(one, range(8)) for usage in some]
    silent = usages[2::3]  # The unseen streams were the same requests as these.
    return usages + silent


def test_the_ledger_is_the_sum_of_all_usage_objects(small):
    usages = run_requests(small)
    prompt = sum(usage.prompt_tokens for usage in usages)
    completion = sum(usage.completion_tokens for usage in usages)
    # Prompts of one token are never cached: those of the unseen streams need not be known.
    cached = sum(usage.prompt_tokens_details.cached_tokens for usage in usages)
    (row,) = small.usage("project,model,outcome").values()
    assert (row["project"], row["model"], row["outcome"]) == ("default", "small", "completed")
    assert row["requests"] == len(usages) == 32
    assert (row["prompt_tokens"], row["completion_tokens"]) == (prompt, completion)
    assert row["forgiven_tokens"] == 0 and row["currency"] == "USD"
    assert row["cached_tokens"] == cached
    assert Decimal(row["cost"]) == cost_of(prompt, cached, completion)


def test_a_refused_request_costs_nothing(small):
    client = small.client()
    for body in [{"messages": "x"}, {"messages": [{"role": "user", "content": "word " * 20_000}]}]:
        with pytest.raises(Exception):
            client.chat.completions.create(model="small", **body)
    assert all(row["cost"] == "0" for row in small.usage().values())


def test_the_bill_of_one_request(small):
    stream = Stream(small, max_tokens=7).read()
    bill = small.bill(stream.id)
    text = json.dumps(bill)
    assert stream.id in text and "small" in text and "completed" in text
    assert stream.usage["completion_tokens"] == 7
    cost = cost_of(stream.usage["prompt_tokens"], 0, 7)
    assert Decimal(bill["cost"]) == cost and bill["currency"] == "USD"


def test_usage_by_time_and_in_every_format(small):
    Stream(small, max_tokens=5).read()
    rows = list(csv.DictReader(io.StringIO(
        small.cli("usage", "--by", "project,model,outcome,day", "--format", "csv").stdout)))
    assert len(rows) == 1 and rows[0]["completion_tokens"] == "5"
    table = small.cli("usage", "--since", "1h").stdout.splitlines()
    assert table[0].split()[:2] == ["PROJECT", "MODEL"]
    assert table[1].split()[:2] == ["default", "small"] and table[2].startswith("total")
    assert table[1].split()[-2] == table[2].split()[-2] == rows[0]["cost"]
    assert small.json("usage", "--until", "2001-01-01", "--since", "2000-01-01")["rows"] == []
    later = small.json("usage", "--since", "0s")
    assert later["by"] == ["project", "model"] and later["rows"] == []
    assert small.cli("usage", "--by", "colour").code == 5


def test_prices_belong_to_the_deployment_and_its_currency(small, model_file):
    small.deploy(model_file, "euro", "--price-output", "1000000", "--currency", "EUR")
    client = small.client()
    for model in ["small", "euro"]:
        client.completions.create(model=model, prompt="Once upon", max_tokens=3, temperature=0,
                                  extra_body={"ignore_eos": True})
    rows = small.usage()
    assert (rows["euro",]["cost"], rows["euro",]["currency"]) == ("3", "EUR")
    assert rows["small",]["currency"] == "USD"
    totals = [line for line in small.cli("usage").stdout.splitlines() if line.startswith("total")]
    assert [line.split()[-1] for line in totals] == ["EUR", "USD"]


def test_a_name_that_is_deployed_again_is_a_new_revision_with_its_own_prices(small, model_file):
    before = small.ps("small")
    running = Stream(small, max_tokens=48).read(tokens=2)
    small.deploy(model_file, "small", "--price-output", "3")
    running.read()
    assert running.done and len(running.tokens) == 48  # On the old revision, to its end.
    Stream(small, max_tokens=5).read()
    after = small.ps("small")
    assert after["revision"] != before["revision"] and after["image"] == before["image"]
    rows = small.usage("revision")
    assert rows[before["revision"],]["completion_tokens"] == 48
    assert Decimal(rows[after["revision"],]["cost"]) == Decimal(3 * 5) / 1_000_000


def test_the_bill_outlives_the_deployment(small):
    Stream(small, max_tokens=3).read()
    before = small.usage()
    assert small.cli("undeploy", "small").code == 0
    assert small.usage() == before
    assert small.cli("undeploy", "small").code == 3
    assert small.cli("run", "small", "Hi").code == 3
    assert small.json("models")["deployments"] == []
