"""What is said of a list of times, and the table of it."""

import statistics


def summary(seconds):
    """Milliseconds: median, least, and the 99th percentile when 300 times can carry one."""
    ordered = sorted(1e3 * second for second in seconds)
    found = {"median": statistics.median(ordered), "least": ordered[0], "count": len(ordered)}
    if len(ordered) >= 300:
        found["p99"] = ordered[int(0.99 * len(ordered))]
    return found


def cell(found):
    p99 = f" / {found['p99']:.1f}" if "p99" in found else ""
    return f"{found['median']:.1f} / {found['least']:.1f}{p99}"


def table(rows, limits):
    """rows: {what: summary}; limits: {what: text of the goal}."""
    lines = ["| ms | median / least / p99 | goal |", "|---|---|---|"]
    lines += [f"| {what} | {cell(found)} | {limits.get(what, '')} |" for what, found in rows.items()]
    return "\n".join(lines)
