"""Conversations that every template renders, each with and without the options that templates know."""

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather at a place, \"now\" & later <b>",
    "parameters": {"type": "object", "properties": {
        "place": {"type": "string", "description": "City, e.g. Zürich"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "array", "items": {"type": "integer"}},
        "detail": {"type": "object", "properties": {
            "wind": {"type": "boolean"}, "span": {"type": ["number", "null"]}},
            "required": ["wind"]}},
        "required": ["place"]}}}
CLOCK = {"type": "function", "function": {
    "name": "clock", "description": "The time", "parameters": {"type": "object", "properties": {}}}}


def call(name, arguments, identity="abcdefghi"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


SYSTEM = {"role": "system", "content": "  Be brief.\nAlways. "}
USER = {"role": "user", "content": "Hello, what's up? 😀 <|im_end|>"}
ANSWER = {"role": "assistant", "content": "Not much.  "}
THINKING = {"role": "assistant", "content": "<think>\nHm, \"2+2\".\n</think>\n\nIt is 4."}
REASONED = {"role": "assistant", "content": "4", "reasoning_content": "\nadd them\n"}
CALL = {"role": "assistant", "content": None,
        "tool_calls": [call("get_weather", {"place": "Zürich", "days": [1, 2.5, None, True]})]}
CALL_TEXT = {"role": "assistant", "content": "Let me look.",
             "tool_calls": [call("clock", {}), call("get_weather", {"place": "A \"b\"\n"})]}
RESULT = {"role": "tool", "name": "get_weather", "content": "{\"temp\": 21}",
          "tool_call_id": "abcdefghi"}
RESULT_OBJECT = {"role": "tool", "content": {"temp": 21.0, "list": [1, "two"]},
                 "tool_call_id": "abcdefghi"}
PARTS = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is this? "}]}

CHATS = {
    "empty": [],
    "user": [USER],
    "system": [SYSTEM, USER],
    "system_only": [SYSTEM],
    "turns": [USER, ANSWER, USER],
    "system_turns": [SYSTEM, USER, ANSWER, USER, ANSWER],
    "two_users": [USER, USER],
    "late_system": [USER, SYSTEM, USER],
    "thinking": [USER, THINKING, USER, THINKING],
    "reasoned": [USER, REASONED],
    "call": [USER, CALL, RESULT, ANSWER, USER],
    "calls": [SYSTEM, USER, CALL_TEXT, RESULT, RESULT, ANSWER],
    "result_object": [USER, CALL, RESULT_OBJECT],
    "parts": [PARTS],
    "no_content": [{"role": "user"}],
    "null_content": [{"role": "user", "content": None}],
    "odd_role": [{"role": "critic", "content": "x"}],
    "scripts": [{"role": "user", "content": "你好 مرحبا नमस्ते \u00a0 e\u0301 \u2028 \u0000"}],
    "long": [USER, ANSWER] * 12 + [USER],
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

CONVERSATIONS = {}
for _name, _messages in CHATS.items():
    CONVERSATIONS[_name] = {"messages": _messages, "add_generation_prompt": True, **TOKENS}
    CONVERSATIONS[_name + "/tools"] = {
        "messages": _messages, "add_generation_prompt": False, "tools": [WEATHER, CLOCK], **TOKENS}
for _name in ("system_turns", "call", "thinking"):
    CONVERSATIONS[_name + "/options"] = {
        "messages": CHATS[_name], "add_generation_prompt": True, "tools": [CLOCK],
        "enable_thinking": False, "tools_in_user_message": False, "date_string": "1 May 2025",
        "builtin_tools": ["search", "code_interpreter", "get_weather"], **TOKENS}
