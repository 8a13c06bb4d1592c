"""The engines alone, without HTTP: prompts of 512 tokens, and batches of answers."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROMPT, ANSWER, PREFILL = 128, 128, 512


def output_of(command, with_errors=False):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    errors = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}):\n{errors[-2000:]}")
    return done.stdout.decode() + (errors if with_errors else "")


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def rekindle(binaries, model, threads, batches):
    """Tokens per second by case, and the limits that the run measured."""
    rows = json_lines(output_of([binaries / "engine_bench", model, "--threads", threads,
                                 "--batches", ",".join(map(str, batches)), "--prompt", PROMPT,
                                 "--answer", ANSWER, "--prefill", PREFILL, "--repeat", 1]))
    figures = {"memory_gb_s": rows[0]["memory_read_gb_s"]}
    for row in rows[1:]:
        if row["answer"] == 0:
            figures["prefill"] = row["prefill_tok_s"]
        else:
            figures[f"decode {row['batch']}"] = row["decode_tok_s"]
            figures[f"memory share {row['batch']}"] = row["memory_share"]
    return figures


def llama(binaries, model, threads, batches):
    on = "on"
    bench = output_of([binaries / "llama-bench", "-m", model, "-t", threads, "-p", PREFILL, "-n", 0,
                       "-fa", on, "-r", 2, "-o", "jsonl"])
    figures = {"prefill": json_lines(bench)[0]["avg_ts"]}
    figures.update(batched(binaries, model, threads, batches, ["-fa", on]))
    return figures


def ik(binaries, model, threads, batches):
    bench = output_of([binaries / "llama-bench", "-m", model, "-t", threads, "-p", PREFILL, "-n", 0,
                       "-fa", 1, "-rtr", 1, "-r", 2, "-o", "json"])
    figures = {"prefill": json.loads(bench)[0]["avg_ts"]}
    # Its flash attention takes seconds for a step of several sequences on AVX2.
    figures.update(batched(binaries, model, threads, batches, ["-fa", "off", "-rtr"]))
    return figures


def batched(binaries, model, threads, batches, flags):
    """llama-batched-bench's table: no shared prefix, one sequence and batches."""
    context = max(batches) * (PROMPT + ANSWER)
    text = output_of([binaries / "llama-batched-bench", "-m", model, "-c", context, "-b", 2048,
                      "-ub", 512, "-npp", PROMPT, "-ntg", ANSWER, "-npl",
                      ",".join(map(str, batches)), "-t", threads, *flags], with_errors=True)
    figures = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) >= 9 and cells[0].isdigit():
            figures[f"decode {cells[2]}"] = float(cells[7])
    missing = [batch for batch in batches if f"decode {batch}" not in figures]
    if missing:
        raise RuntimeError(f"llama-batched-bench printed no line for batches {missing}:\n{text}")
    return figures
