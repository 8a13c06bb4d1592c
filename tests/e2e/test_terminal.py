"""The command line as a person uses it: in a terminal, in pipes."""

import os

import pexpect
import pytest
from tools import BIN, poll

PROMPT = ">>> "
QUESTION = "Name the capital city of France."  # The model is sure of its answer.


@pytest.fixture
def chat(small):
    """`rekindle chat small` in a pseudo-terminal."""
    child = pexpect.spawn(str(BIN / "rekindle"), ["chat", "small", "--temperature", "0",
                                                  "--max-tokens", "1000"],
                          env={**os.environ, "REKINDLE_URL": small.url, "TERM": "xterm"},
                          timeout=60, encoding="utf-8", echo=False, dimensions=(40, 100))
    child.daemon = small
    child.expect_exact(PROMPT)
    yield child
    child.close(force=True)


def leave(chat, code=0):
    chat.sendeof()
    chat.expect(pexpect.EOF)
    chat.close()
    assert chat.exitstatus == code


def test_chat_answers_and_remembers_until_ctrl_d(chat):
    prompts = []

    def turn(word):
        chat.sendline(QUESTION)
        chat.expect_exact(word)
        chat.expect_exact(PROMPT)
        prompts.append(chat.daemon.usage()["small",]["prompt_tokens"] - sum(prompts))

    turn("Paris")
    turn(" ")
    assert prompts[1] > prompts[0] + 10  # With the first question and its answer.
    chat.sendline("/clear")
    chat.expect_exact(PROMPT)
    turn("Paris")
    assert prompts[2] == prompts[0]
    leave(chat)
    assert chat.daemon.usage()["small",]["requests"] == 3


def test_ctrl_c_ends_one_answer_and_not_the_conversation(chat):
    chat.sendline("Write a very long story about the sea, at least 900 words.")
    chat.expect("[a-z]+ [a-z]+ [a-z]+")
    poll(lambda: chat.daemon.ps("small")["active_requests"] == 1, "the answer runs")
    chat.sendintr()
    chat.expect_exact("(ended by Ctrl-C)")
    chat.expect_exact(PROMPT)
    chat.daemon.wait_idle("small")
    assert ("small", "disconnected") in chat.daemon.usage("model,outcome")
    chat.sendintr()  # At the prompt it only throws the line away.
    chat.expect_exact(PROMPT)
    chat.sendline("/clear")
    chat.expect_exact("forgotten")
    chat.expect_exact(PROMPT)
    chat.sendline(QUESTION)
    chat.expect_exact("Paris")
    chat.expect_exact(PROMPT)
    leave(chat)


def test_commands_of_a_conversation(chat):
    chat.sendline("/help")
    chat.expect_exact("/clear")
    chat.expect_exact(PROMPT)
    chat.sendline("/system You are a pirate.")
    chat.expect_exact("system message is set")
    chat.expect_exact(PROMPT)
    chat.sendline("/system")
    chat.expect_exact("You are a pirate.")
    chat.expect_exact(PROMPT)
    chat.sendline("/dance")
    chat.expect_exact("/dance is no command")
    chat.expect_exact(PROMPT)
    chat.sendline("/exit")
    chat.expect(pexpect.EOF)
    chat.close()
    assert chat.exitstatus == 0 and chat.daemon.usage() == {}


def test_a_chat_outlives_a_daemon_that_comes_back(chat):
    chat.daemon.stop()
    chat.sendline("Are you there?")
    chat.expect_exact("no daemon answers")
    chat.expect_exact(PROMPT)
    leave(chat)


def test_chat_in_a_pipe_answers_line_by_line(shared):
    done = shared.cli("chat", "small", "--temperature", "0", "--max-tokens", "24",
                      stdin=f"{QUESTION}\n{QUESTION}\n")
    assert done.code == 0 and done.stderr == ""
    assert "Paris" in done.stdout and ">>>" not in done.stdout
    assert shared.cli("chat", "gpt-9").code == 3


def test_run_streams_into_a_pipe(shared):
    options = ["--temperature", "0", "--max-tokens", "24"]
    done = shared.cli("run", "small", QUESTION, *options)
    assert done.code == 0 and "Paris" in done.stdout and done.stdout.endswith("\n")
    piped = shared.cli("run", "small", *options, stdin=QUESTION + "\n")
    assert piped.stdout == done.stdout
    seeded = [shared.cli("run", "small", "A story", "--seed", "5", "--top-p", "0.9",
                         "--max-tokens", "16").stdout for _ in range(2)]
    assert seeded[0] == seeded[1]
    raw = shared.cli("run", "small", "The capital of France is", "--raw", "--max-tokens", "8",
                     "--temperature", "0", "--stop", "Paris", "--verbose")
    assert "Paris" not in raw.stdout and "5 prompt tokens" in raw.stderr
    assert shared.cli("run", "small", "Hi", "--temperature", "9").code == 5


def test_run_gives_the_whole_answer_as_json(shared):
    answer = shared.json("run", "small", "Hi", "--max-tokens", "2")
    assert answer["object"] == "chat.completion"
    assert answer["usage"]["completion_tokens"] == 2


def test_deploy_draws_a_bar_on_a_terminal(small, model_file):
    child = pexpect.spawn(str(BIN / "rekindle"), ["deploy", model_file, "--name", "bar"],
                          env={**os.environ, "REKINDLE_URL": small.url}, timeout=60,
                          encoding="utf-8", dimensions=(24, 80))
    child.expect_exact("[####")
    child.expect_exact("deployed bar: llama")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_the_unix_socket_is_an_address_too(shared, model_file):
    url = f"unix://{shared.data}/admin.sock"
    assert "small" in shared.cli("models", "--url", url).stdout
    done = shared.cli("deploy", model_file, "--name", "by-socket", "--url", url)
    assert done.code == 0, done
    assert "upload" not in done.stderr  # The descriptor went, not the bytes.
    assert shared.cli("undeploy", "by-socket", "--url", url).code == 0


def test_a_deployment_over_tcp_on_this_machine_passes_the_descriptor(small, model_file):
    done = small.cli("deploy", model_file, "--name", "again")
    assert done.code == 0 and "upload" not in done.stderr and "import" in done.stderr
