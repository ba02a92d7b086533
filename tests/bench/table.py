# SPDX-License-Identifier: Apache-2.0
"""Medians, ratios and spreads of what was measured, as lines and as a table."""
import statistics

from cases import FIGURES

STRANGERS = 0.15  # more than this of a CPU taken by others spoils a measurement


def spread(values):
    """Half the inter-quartile range."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2


def parts(results):
    """Everything measured, directions of a stream apart."""
    return [part for r in results for part in ([r["up"], r["down"]] if isinstance(r.get("up"), dict) else [r])]


def strangers(result):
    return max(part.get("strangers", 0) for part in parts([result]))


def remarks(results):
    """What else is to be known: a busy machine, a generator at its limit, losses, disorder."""
    told = []
    for kind, runs in results.items():
        for key, word in (("lost", "lost"), ("reordered", "out of order"), ("damaged", "damaged")):
            count = sum(part.get(key, 0) for part in parts(runs))
            if count:
                told.append(f"{kind}: {count} {word}")
    worst = max(strangers(r) for runs in results.values() for r in runs)
    if worst > STRANGERS:
        told.append(f"others took up to {worst:.2f} of a CPU")
    return told


def ratios(figure, results, ours, other):
    found = [figure.ratio(figure.of(a), figure.of(b)) for a, b in zip(results[ours], results[other])]
    return {"median": statistics.median(found), "spread": spread(found)}


def is_ours(kind):
    return kind.startswith("sterna")


def p99(results, kind):
    """The worse direction's 99th percentile of delay, in microseconds."""
    return statistics.median(max(r["latency_up"]["p99"], r["latency_down"]["p99"]) for r in results[kind])


def summary(name, case, results):
    """One row for each figure."""
    rows = []
    for figure in FIGURES[case.mode]:
        row = {"case": f"{name} {figure.part}".rstrip(), "unit": figure.unit, "medians": {}, "ratios": {}, "of": {},
               "p99_us": {}, "pps": {}}
        for kind, runs in results.items():
            row["medians"][kind] = statistics.median(figure.of(r) for r in runs)
            if case.mode == "relay":
                row["p99_us"][kind] = p99(results, kind)
                row["pps"][kind] = statistics.median(r["pps"] for r in runs)
            if not is_ours(kind):
                found = {ours: ratios(figure, results, ours, kind) for ours in results if is_ours(ours)}
                if "sterna" in found:
                    row["ratios"][kind] = found["sterna"]
                row["of"][kind] = {ours: ratio for ours, ratio in found.items() if ours != "sterna"}
        row["generator_us"] = statistics.median(r.get("generator_us", 0) for runs in results.values() for r in runs)
        row["remarks"] = remarks(results)
        rows.append(row)
    return rows


def line(row):
    text = f"{row['case']:44} " + ", ".join(f"{kind} {value:8.2f}" for kind, value in row["medians"].items())
    text += f" {row['unit']}"
    for kind, ratio in row["ratios"].items():
        text += f"; {ratio['median']:.2f} ± {ratio['spread']:.2f} of {kind}"
    for kind, found in row["of"].items():
        text += "".join(f"; {ours} {r['median']:.2f} ± {r['spread']:.2f} of {kind}" for ours, r in found.items())
    return text + (f" [{'; '.join(row['remarks'])}]" if row["remarks"] else "")


def kernel_markdown(rows):
    """Rows with kernel paths: CPU time a packet, and how many times better than coturn and bare forwarders."""
    lines = []
    for row in rows:
        cells = []
        for kind, value in row["medians"].items():
            better = ", ".join(f"{found[kind]['median']:.2f} ± {found[kind]['spread']:.2f} of {other}"
                               for other, found in row["of"].items() if kind in found)
            pace = f"{row['pps'][kind] / 1000:.0f} kpps, p99 {row['p99_us'][kind]:.0f} µs"
            cells.append(f"{kind} {value:.3f} µs ({'; '.join(part for part in (better, pace) if part)})")
        lines.append(f"- {row['case']}: " + " · ".join(cells))
    return "\n".join(lines)


def markdown(rows):
    """The rows as a table; bare forwarders in their own column."""
    lines = ["| case | sterna | coturn | times better | bare forwarder: times better |", "|---|---|---|---|---|"]
    for row in rows:
        median, ratio = row["medians"], row["ratios"]
        bare = "; ".join(f"{kind.removeprefix('bare-')} {median[kind]:.2f}: {r['median']:.2f} ± {r['spread']:.2f}"
                         for kind, r in ratio.items() if kind != "coturn")
        ours = f"{median['sterna']:.2f} {row['unit']}" if "sterna" in median else ""
        theirs = f"{median['coturn']:.2f}" if "coturn" in median else ""
        better = f"{ratio['coturn']['median']:.2f} ± {ratio['coturn']['spread']:.2f}" if "coturn" in ratio else ""
        lines.append(f"| {row['case']} | {ours} | {theirs} | {better} | {bare} |")
    return "\n".join(lines)
