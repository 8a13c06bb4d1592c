#!/usr/bin/env python3
"""Golden renderings by Python's jinja2, set up as transformers sets it up for chat templates.

Writes renderings.jsonl: templates/*.jinja for every conversation, and the snippets of snippets.py.
A record with "error" expects a failure (of any text). Needs: pip install jinja2==3.1.6
"""
import datetime
import functools
import json
import pathlib
import re

import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from conversations import CONVERSATIONS
from snippets import SNIPPETS, VARIABLES

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2024, 7, 26, 9, 5, 3, tzinfo=datetime.timezone.utc)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("run"), [], [], body).set_lineno(line)

    def run(self, caller):
        return caller()


def raise_exception(message):
    raise TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


@functools.lru_cache(maxsize=64)
def compiled(env, source: str):
    return env.from_string(source)


def render(env, source: str, variables: dict) -> dict:
    try:
        output = compiled(env, source).render(**variables)
        return {"output": re.sub(r" at 0x[0-9a-f]+", "", output)}  # Addresses differ each time.
    except Exception as error:  # Whatever Python raises, the run has failed.
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    env = environment()
    with (HERE / "renderings.jsonl").open("w") as out:
        put = lambda record: out.write(json.dumps(record, ensure_ascii=False) + "\n")
        for name, variables in {**CONVERSATIONS, "snippet": VARIABLES}.items():
            put({"define": name, "variables": variables})
        for path in sorted((HERE / "templates").glob("*.jinja")):
            source = path.read_text()
            for name, variables in CONVERSATIONS.items():
                put({"template": path.name, "case": name, **render(env, source, variables)})
        for source in SNIPPETS:
            put({"source": source, "case": "snippet", **render(env, source, VARIABLES)})


if __name__ == "__main__":
    main()
