"""Random conversations from a seed: roles, tools, calls, results, reasoning, parts, odd texts."""
import random

from conversations import CLOCK, TOKENS, WEATHER

WORDS = ["hello", "", " ", "  two  spaces ", "a\nb", "\n\n", "Zürich", "你好", "😀", "e\u0301", "\u00a0",
         "<|im_end|>", "</s>", "[INST]", "<think>", "</think>", "<tool_call>", "{{ x }}", "{% if %}",
         "\"quoted\"", "it's", "a\\b", "<b>&amp;</b>", "1.5", "None", "true", "\t", "tool", "```json\n{}\n```"]
NAMES = ["get_weather", "clock", "a", "python", "brave_search", "very_long_function_name_0"]
SCALARS = [0, -1, 7, 2.5, 1e20, 0.1, True, False, None, "", "x", "Zürich", "a\"b", "line\nbreak"]


class Chats:
    """Two of three are what clients send: texts, in the order that templates expect. The others
    have whatever content in whatever order: most templates must fail on them, and in the same cases."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.plain = self.random.random() < 0.67

    def text(self):
        return "".join(self.random.choice(WORDS) for _ in range(self.random.randint(0, 4)))

    def value(self, depth=0):
        kind = self.random.random()
        if depth < 3 and kind < 0.2:
            return [self.value(depth + 1) for _ in range(self.random.randint(0, 3))]
        if depth < 3 and kind < 0.4:
            return {self.random.choice(["k", "type", "items", "ключ", "a b", "name"]) + str(i):
                    self.value(depth + 1) for i in range(self.random.randint(0, 3))}
        return self.random.choice(SCALARS)

    def arguments(self):
        return {f"arg{i}": self.value() for i in range(self.random.randint(0, 3))}

    def schema(self, depth=0):
        kind = self.random.choice(["string", "integer", "number", "boolean", "array", "object"])
        schema = {"type": kind}
        if self.random.random() < 0.5:
            schema["description"] = self.text()
        if kind == "string" and self.random.random() < 0.4:
            schema["enum"] = ["a", "b \"c\""]
        if kind == "array":
            schema["items"] = {"type": "string"} if depth > 1 else self.schema(depth + 1)
        if kind == "object":
            schema.update(self.object_schema(depth + 1))
        if self.random.random() < 0.1:
            schema["type"] = [kind, "null"]
        return schema

    def object_schema(self, depth=0):
        names = [f"p{i}" for i in range(0 if depth > 2 else self.random.randint(0, 3))]
        schema = {"type": "object", "properties": {name: self.schema(depth) for name in names}}
        if names and self.random.random() < 0.6:
            schema["required"] = names[:self.random.randint(0, len(names))]
        return schema

    def tool(self):
        if self.random.random() < 0.3:
            return self.random.choice([WEATHER, CLOCK])
        function = {"name": self.random.choice(NAMES), "description": self.text(),
                    "parameters": self.object_schema()}
        if self.random.random() < 0.2:
            function["return"] = self.schema()
        return {"type": "function", "function": function}

    def calls(self):
        made = []
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            made.append({"id": "".join(self.random.choices("abcDEF123", k=9)), "type": "function",
                         "function": {"name": self.random.choice(NAMES),
                                      "arguments": self.arguments()}})
        return made

    def content(self):
        kind = 0 if self.plain else self.random.random()
        if kind < 0.85:
            return self.text() or "x"
        if kind < 0.95:
            return [{"type": "text", "text": self.text()} for _ in range(self.random.randint(1, 3))]
        return None

    def assistant(self):
        message = {"role": "assistant", "content": self.content()}
        if self.random.random() < 0.25:
            message["content"] = f"<think>\n{self.text()}\n</think>\n\n{self.text()}"
        if self.random.random() < 0.2:
            message["reasoning_content"] = self.text()
        if self.random.random() < 0.1:
            message["thinking"] = self.text()
        return message

    def messages(self):
        messages = []
        if self.random.random() < 0.5:
            messages.append({"role": self.random.choice(["system"] * (9 if self.plain else 2) + ["developer"]),
                             "content": self.content()})
        for _ in range(self.random.randint(0, 5)):
            messages.append({"role": "user", "content": self.content()})
            if self.random.random() < (0.25 if self.plain else 0.4):
                call = self.assistant()
                call["tool_calls"] = self.calls()
                if self.random.random() < 0.5:
                    call["content"] = "" if self.plain else None
                messages.append(call)
                for made in call["tool_calls"]:
                    messages.append({"role": "tool", "tool_call_id": made["id"],
                                     "name": made["function"]["name"], "content": self.text()})
            if self.plain or self.random.random() < 0.7:
                messages.append(self.assistant())
        if self.random.random() < 0.7:
            messages.append({"role": "user", "content": self.text()})
        if not self.plain and self.random.random() < 0.3:  # Not in the order that templates expect.
            self.random.shuffle(messages)
        return messages

    def variables(self):
        variables = {"messages": self.messages(),
                     "add_generation_prompt": self.random.random() < 0.6, **TOKENS}
        if self.random.random() < 0.5:
            variables["tools"] = [self.tool() for _ in range(self.random.randint(0, 3))]
        for name, choices in {"enable_thinking": [True, False], "thinking": [True, False],
                              "tools_in_user_message": [True, False], "documents": [None],
                              "date_string": ["1 May 2025"], "keep_past_thinking": [True],
                              "reasoning_effort": ["low", "high"],
                              "builtin_tools": [["brave_search", "code_interpreter"]],
                              }.items():
            if self.random.random() < 0.15:
                variables[name] = self.random.choice(choices)
        return variables
