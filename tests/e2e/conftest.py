"""Fixtures: a daemon shared by tests that leave it as it was, and daemons of their own for tests
that break things. Tests that need a model are skipped, and say so, without REKINDLE_TEST_MODEL."""

import subprocess

import pytest
from gguf_files import write_llama
from tools import MODEL_FILE, Daemon

PRICES = ["--price-input", "0.05", "--price-output", "0.20", "--price-cached", "0.01"]


@pytest.fixture(scope="session")
def model_file():
    if not MODEL_FILE:
        pytest.skip("REKINDLE_TEST_MODEL is not set")
    return MODEL_FILE


@pytest.fixture(scope="session")
def shared(tmp_path_factory, model_file):
    """One daemon with the model `small`, warm."""
    with Daemon(tmp_path_factory.mktemp("shared") / "data") as daemon:
        daemon.deploy(model_file, "small", *PRICES)
        yield daemon


@pytest.fixture(scope="session")
def client(shared):
    return shared.client()


@pytest.fixture(scope="session")
def vocabulary(model_file):
    """Token texts of the model in its file's own spelling, by id."""
    import gguf

    field = gguf.GGUFReader(model_file).get_field("tokenizer.ggml.tokens")
    return {bytes(field.parts[part]).decode(): i for i, part in enumerate(field.data)}


@pytest.fixture
def daemon(tmp_path):
    """An empty daemon of this test's own."""
    with Daemon(tmp_path / "data") as own:
        yield own


@pytest.fixture
def small(daemon, model_file):
    """A daemon of this test's own with the model `small`."""
    daemon.deploy(model_file, "small", *PRICES)
    return daemon


@pytest.fixture
def little_disk(tmp_path):
    """A file system of 48 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder],
                             capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="session")
def good_file(tmp_path_factory):
    """A model of one layer with random weights."""
    return write_llama(tmp_path_factory.mktemp("files") / "good.gguf")
