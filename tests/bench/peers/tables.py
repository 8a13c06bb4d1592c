"""Medians over alternating rounds, ratios to the better peer, as a table for people."""

import statistics


def medians(rounds):
    """rounds: [{figure: value}] of one engine."""
    names = {name for one in rounds for name in one}
    return {name: statistics.median([one[name] for one in rounds if name in one]) for name in names}


def compare(figures, goals):
    """figures: {engine: medians}; goals: {case: ratio to the better peer}. Lines of a table."""
    peers = [engine for engine in figures if engine != "rekindle"]
    head = ["case", "rekindle", *peers, "ratio to the better", "goal"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for case, goal in goals.items():
        own = figures["rekindle"].get(case)
        others = [figures[peer].get(case) for peer in peers]
        best = max((value for value in others if value), default=None)
        ratio = f"**{own / best:.2f}**" if own and best else "–"
        cells = [case, f"{own:.1f}" if own else "–"]
        cells += [f"{value:.1f}" if value else "–" for value in others]
        lines.append("| " + " | ".join([*cells, ratio, f"≥ {goal}"]) + " |")
    return lines
