"""Chat templates: what can't be done is said at deploy, what can is what Python's jinja2 gives."""

import subprocess
import sys

import pytest
from gguf_files import write_llama
from tools import BIN, ROOT

CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m.role + m.content }}{% endfor %}")


@pytest.mark.parametrize("template, named", [
    ("a\n{% include 'other' %}", "template line 2: the statement {% include %} is not supported"),
    ("\n\n{{ messages | wordwrap }}", "template line 3: the filter |wordwrap is not supported"),
    ("{{ messages is escaped }}", 'template line 1: the test "is escaped" is not supported'),
    ("{{ bos_token.format(1) }}", "template line 1: the method .format() is not supported"),
    ("{% for m in messages %}", "template line 1: {% endfor %} is missing"),
])
def test_a_construct_that_is_not_known_is_named_at_deploy(daemon, tmp_path, template, named):
    file = write_llama(tmp_path / "odd.gguf", template=template)
    done = daemon.cli("deploy", file, "--name", "odd")
    assert done.code == 5
    assert named in done.stderr
    assert daemon.json("models")["deployments"] == []


def test_a_template_that_is_known_deploys_and_answers(daemon, tmp_path):
    daemon.deploy(write_llama(tmp_path / "plain.gguf", template=CHATML), "plain")
    answer = daemon.client().chat.completions.create(
        model="plain", messages=[{"role": "user", "content": "ab"}], max_tokens=2)
    assert answer.usage.prompt_tokens > 2


def test_a_template_that_runs_on_ends_with_a_clear_error(daemon, tmp_path):
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    daemon.deploy(write_llama(tmp_path / "endless.gguf", template=endless), "endless")
    with pytest.raises(Exception, match="steps"):
        daemon.client().chat.completions.create(
            model="endless", messages=[{"role": "user", "content": "a"}], max_tokens=2)
    # The worker lives on.
    assert daemon.client().completions.create(model="endless", prompt="ab", max_tokens=2).choices


def test_random_conversations_render_as_jinja2_renders_them():
    if not (BIN / "template_render").exists():
        pytest.skip("template_render is not beside the programs: build all targets")
    done = subprocess.run(
        [sys.executable, ROOT / "tests/golden/template/compare.py", "--render",
         BIN / "template_render", "--seed", "2024", "--count", "100"],
        capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert "9 templates" in done.stdout
