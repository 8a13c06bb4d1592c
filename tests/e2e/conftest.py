"""Fixtures: a daemon shared by tests that leave it as it was, and daemons of their own for tests
that break things. Tests that need a model are skipped, and say so, without REKINDLE_TEST_MODEL."""

import pytest
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
