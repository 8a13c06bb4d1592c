"""Perplexity of both engines on the same text: speed must not be bought with quality."""

import pathlib
import re
import subprocess

from engines import output_of

# Some 100 kB of English that every Debian has, so that nothing is fetched.
TEXTS = ["GPL-3", "GFDL-1.3", "Apache-2.0", "MPL-2.0"]
FOLDER = pathlib.Path("/usr/share/common-licenses")
CONTEXT = 512


def text_file(folder):
    path = pathlib.Path(folder) / "perplexity.txt"
    path.write_text("\n".join((FOLDER / name).read_text() for name in TEXTS))
    return path


def llama_perplexity(binaries, model, text, threads):
    done = subprocess.run([binaries / "llama-perplexity", "-m", model, "-f", text, "-c", str(CONTEXT),
                           "-t", str(threads), "-fa", "on"], capture_output=True, check=True)
    return float(re.search(rb"Final estimate: PPL = ([0-9.]+)", done.stdout + done.stderr)[1])


def run(arguments, binaries, model):
    text = text_file(arguments.peers)
    own = float(output_of([binaries["rekindle"] / "perplexity_bench", model, text, CONTEXT,
                           arguments.threads]))
    peer = llama_perplexity(binaries["llama.cpp"], model, text, arguments.threads)
    print(f"\nperplexity of {model.name} on {text.stat().st_size} bytes in windows of {CONTEXT}: "
          f"rekindle {own:.4f}, llama.cpp {peer:.4f}, {100 * (own / peer - 1):+.2f} %")
    return {"rekindle": own, "llama.cpp": peer}
