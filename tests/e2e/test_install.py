"""What `cmake --install` puts down runs from there."""

import shutil
import subprocess

import pytest
from streams import Stream
from tools import BIN, Daemon


@pytest.fixture(scope="session")
def prefix(tmp_path_factory):
    build = BIN.parent
    if not (build / "cmake_install.cmake").exists():
        pytest.skip(f"{build} is no build folder")
    prefix = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", build, "--prefix", prefix], check=True,
                   capture_output=True)
    return prefix


def test_everything_is_in_its_place(prefix):
    for path in ["bin/rekindled", "bin/rekindle", "libexec/rekindle/rekindle-worker",
                 "lib/systemd/system/rekindled.service", "etc/rekindle/rekindled.yaml",
                 "share/doc/rekindle/LICENSE", "share/doc/rekindle/docs/operations.md"]:
        assert (prefix / path).is_file(), path


def test_the_installed_programs_serve(prefix, model_file, tmp_path):
    with Daemon(tmp_path / "data", "--config", prefix / "etc/rekindle/rekindled.yaml",
                programs=prefix / "bin") as daemon:
        daemon.deploy(model_file, "small")
        assert len(Stream(daemon, max_tokens=4).read().tokens) == 4


def test_a_configuration_that_is_there_is_kept(prefix):
    file = prefix / "etc/rekindle/rekindled.yaml"
    before = file.read_text()
    file.write_text("idle: 1m\n")
    subprocess.run(["cmake", "--install", BIN.parent, "--prefix", prefix], check=True,
                   capture_output=True)
    assert file.read_text() == "idle: 1m\n"
    file.write_text(before)


def test_the_unit_names_the_installed_files_and_systemd_understands_it(prefix):
    unit = prefix / "lib/systemd/system/rekindled.service"
    text = unit.read_text()
    assert f"ExecStart={prefix}/bin/rekindled --config {prefix}/etc/rekindle/rekindled.yaml" in text
    assert "@" not in text.replace("@system-service", "")
    assert "LimitMEMLOCK=infinity" in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], check=False,
                             capture_output=True, text=True)
    assert checked.returncode == 0 and "rekindled.service" not in checked.stderr, checked.stderr
