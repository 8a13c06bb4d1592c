"""`rekindle doctor`: without a daemon, with one, and where something is missing."""

import json
import os
import shutil
import subprocess

from tools import BIN, rekindle

CHECKS = ["kernel", "kernels", "cores", "memory", "huge_pages", "locked_memory", "io_uring",
          "data_folder", "disk_space", "sandbox", "clock", "gpu"]
NOWHERE = "http://127.0.0.1:1"


KERNELS = {"scalar", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16"}


def test_the_machine_is_looked_at_without_a_daemon(tmp_path):
    done = rekindle("doctor", "--data-dir", tmp_path, "--json", url=NOWHERE)
    report = json.loads(done.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert list(checks) == CHECKS
    assert all(("remedy" in c) == (c["health"] != "ok") for c in checks.values()), checks
    assert done.code == (1 if any(c["health"] == "failed" for c in checks.values()) else 0)
    assert checks["kernels"]["found"] in KERNELS
    limits = report["limits"]
    assert limits["disk_bytes_per_second"] > 1e6
    assert limits["memory_bytes_per_second"] > 1e8
    assert limits["pcie_bytes_per_second"] is None
    assert os.listdir(tmp_path) == []


def test_people_get_one_line_for_each_check_and_the_limits(tmp_path):
    done = rekindle("doctor", "--data-dir", tmp_path, url=NOWHERE)
    lines = done.stdout.splitlines()
    assert [" ".join(line[9:24].split()) for line in lines[:len(CHECKS)]] == [
        name.replace("_", " ") for name in CHECKS]
    assert lines[len(CHECKS)] == ""
    assert [line.split()[0] for line in lines[len(CHECKS) + 2:]] == [
        "disk", "memory", "int8", "PCIe"]


def test_a_running_daemon_names_its_data_folder(daemon):
    assert daemon.json("doctor")["data_dir"] == str(daemon.data)


def test_fixing_mends_or_gives_the_command(tmp_path):
    done = rekindle("doctor", "--fix", "--data-dir", tmp_path, "--json", url=NOWHERE)
    pages = {c["name"]: c for c in json.loads(done.stdout)["checks"]}["huge_pages"]
    assert pages["health"] in {"ok", "fixed"} or "sudo tee" in pages["remedy"]


def test_without_rekindled_the_error_says_so(tmp_path):
    alone = tmp_path / "rekindle"
    shutil.copy(BIN / "rekindle", alone)
    done = subprocess.run([alone, "doctor"], env={"PATH": "/none", "REKINDLE_URL": NOWHERE},
                          capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 3
    assert "part of rekindled" in done.stderr
