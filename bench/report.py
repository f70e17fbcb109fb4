"""The tables of `run`: throughput, bars, phases of troupe, and the state of the machine."""
import statistics

from candidates import BARS, all_candidates

PHASES = ("route", "pack", "wire", "expert_forward", "combine", "loss", "backward", "apply", "plan")
OTHERS_PERCENT_MAX = 10.0
GROUP_TEXT = {"process": "best PyTorch process", "rpc": "best RPC variant"}


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def summarise(runs):
    """{(candidate, batch): {"samples_per_second": {min, median, max}, "ms_per_step": {...}, "runs": n}}"""
    result = {}
    for key in dict.fromkeys((run["candidate"], run["batch"]) for run in runs):
        rows = [run for run in runs if (run["candidate"], run["batch"]) == key]
        result[key] = {
            "samples_per_second": spread([row["samples_per_second"] for row in rows]),
            "ms_per_step": spread([row["ms_per_step"] for row in rows]),
            "runs": len(rows),
        }
    return result


def disturbed(samples):
    """Other programs were busy during more than half of the runs: two-thread programs suffer most, so no ratio can be trusted."""
    values = [sample["others_percent"] for sample in samples if "others_percent" in sample]
    return 2 * sum(value > OTHERS_PERCENT_MAX for value in values) > len(values)


def judge(summary, batches, busy):
    """One record per bar: ratio of medians, and PASS, MISS, UNPROVEN (reached, but a rival is missing or the machine was busy) or NOT MEASURED."""
    groups = {candidate.name: candidate.group for candidate in all_candidates()}
    result = []
    for bar in BARS:
        if bar.batch not in batches:
            continue
        rivals = {n: v["samples_per_second"]["median"] for (n, b), v in summary.items() if b == bar.batch and groups.get(n) == bar.group}
        own = summary.get((bar.candidate, bar.batch))
        record = {"candidate": bar.candidate, "against": GROUP_TEXT[bar.group], "batch": bar.batch, "bar": bar.factor}
        if own is None or not rivals:
            record |= {"verdict": "NOT MEASURED", "why": f"no result of {bar.candidate if own is None else GROUP_TEXT[bar.group]}"}
        else:
            best = max(rivals, key=rivals.get)
            mine = own["samples_per_second"]["median"]
            ratio = mine / rivals[best]
            record |= {
                "verdict": "PASS" if ratio >= bar.factor else "MISS", "ratio": round(ratio, 3), "best": best,
                "samples_per_second": mine, "best_samples_per_second": rivals[best],
            }
            absent = [name for name, group in groups.items() if group == bar.group and name not in rivals]
            if record["verdict"] == "PASS" and (absent or busy):
                record |= {"verdict": "UNPROVEN", "why": f"not measured: {', '.join(absent)}" if absent else "other programs were busy"}
        result.append(record)
    return result


def throughput_table(summary, candidates, batches, failures):
    lines = [f"{'candidate':<22}{'batch':>6}  {'k samples/s: min':>16} {'median':>8} {'max':>8}  {'ms/step':>8}  runs"]
    for batch in batches:
        for candidate in candidates:
            row = summary.get((candidate.name, batch))
            if row is None:
                why = failures.get(candidate.name, "no result")
                lines.append(f"{candidate.name:<22}{batch:>6}  MISSING: {why}")
                continue
            rate = row["samples_per_second"]
            lines.append(
                f"{candidate.name:<22}{batch:>6}  {rate['min'] / 1e3:>16.1f} {rate['median'] / 1e3:>8.1f} {rate['max'] / 1e3:>8.1f}"
                f"  {row['ms_per_step']['median']:>8.3f}  {row['runs']:>4}"
            )
        lines.append("")
    return lines


def bar_table(verdicts):
    lines = []
    for v in verdicts:
        head = f"{v['verdict']:<12} {v['candidate']:<20} batch {v['batch']:>5} vs {v['against']:<20} bar {v['bar']:.2f}x"
        if v["verdict"] == "NOT MEASURED":
            lines.append(f"{head}  {v['why']}")
        else:
            lines.append(
                f"{head}  got {v['ratio']:.2f}x  ({v['samples_per_second'] / 1e3:.1f}k / {v['best_samples_per_second'] / 1e3:.1f}k {v['best']})"
                + (f"  {v['why']}" if "why" in v else "")
            )
    return lines


def phase_table(runs, batches):
    """Median µs per step and phase of troupe's candidates, with bytes copied and sent per step."""
    lines = []
    names = dict.fromkeys(run["candidate"] for run in runs if "phases_us" in run)
    for batch in batches:
        for name in names:
            rows = [run for run in runs if run["candidate"] == name and run["batch"] == batch and "phases_us" in run]
            if not rows:
                continue
            known = list(PHASES) + sorted({phase for row in rows for phase in row["phases_us"]} - set(PHASES))
            parts = []
            for phase in known:
                values = [row["phases_us"][phase] for row in rows if row["phases_us"].get(phase) is not None]
                parts.append(f"{phase} {statistics.median(values):.0f}" if values else f"{phase} -")
            lines.append(f"{name}, batch {batch}: µs per step: " + " | ".join(parts))
            for field in ("payload_bytes_copied_per_step", "bytes_sent_per_step"):
                values = [row[field] for row in rows if row.get(field) is not None]
                lines.append(f"    {field.replace('_', ' ')}: " + (f"{statistics.median(values):,.0f}" if values else "not reported"))
    return lines


def canary_lines(samples):
    """Spread of the canary, and how many runs met a slow machine or busy neighbours."""
    lines = []
    for field, text, slow in (
        ("gemm_gflops", "GEMM GFLOP/s, 1 thread", lambda value, middle: value < 0.8 * middle),
        ("wakeup_us", "cross-core wake-up µs", lambda value, middle: value > 2 * middle),
        ("others_percent", "CPU used by other programs %", lambda value, middle: value > OTHERS_PERCENT_MAX),
    ):
        values = [sample[field] for sample in samples if sample.get(field) is not None]
        if not values:
            lines.append(f"canary {text}: not measured")
            continue
        s = spread(values)
        count = sum(slow(value, s["median"]) for value in values)
        lines.append(f"canary {text}: {s['min']:.1f} - {s['median']:.1f} - {s['max']:.1f}; bad in {count} of {len(values)} runs")
    return lines
