"""Markdown tables of the results, with the command that makes them again."""

import numpy as np
import pandas as pd
from scipy.stats import t

from benchmarks.detectors import CONFIDENCE, FIVE_LINES, OF_FEATURES
from benchmarks.results import read

ROW = ["recipe", "score"]
BASELINE = ("softmax", "max_softmax")
OWN_FIVE_LINES = (CONFIDENCE, *FIVE_LINES, *OF_FEATURES)


def write_tables(csv_path, command, make_tables):
    """Write the tables of a suite next to its CSV file, and return their path."""
    results = read(csv_path)
    parts = make_tables(results)
    text = [f"# Results of the suite {csv_path.stem}", *parts, provenance(results, command)]
    path = csv_path.with_suffix(".md")
    path.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return path


def provenance(results, command):
    """Return how, when and with what the results were made."""
    first, last = results["date"].min(), results["date"].max()
    days = first if first == last else f"{first} to {last}"
    seeds = ", ".join(map(str, sorted(results["seed"].unique())))
    made = "\n".join(f"- {text}" for text in sorted(results["environment"].unique()))
    return (
        f"## How these numbers were made\n\n    {command}\n\n"
        f"Seeds of the training: {seeds}. Date: {days}. Made with:\n\n{made}"
    )


def comparison_tables(results):
    """Yield a table for each case: every row, and its difference to the baseline."""
    yield (
        "In percent: mean ± standard deviation over splits (over seeds where there is one "
        "split). Differences are paired, to plain softmax training with the maximum "
        "softmax probability (bold), with the 95 % t-interval of their mean. FPR95: "
        "outsiders accepted where 95 % of the known samples are. Rejected: at an allowed "
        "false-rejection rate of 5 %."
    )
    columns = {
        "auroc": "AUROC",
        "fpr95": "FPR95",
        "oscr": "OSCR",
        "accuracy": "accuracy",
        "kept": "known rejected",
        "rejected": "outsiders rejected",
    }
    header = [*ROW, *columns.values(), "AUROC, difference", "OSCR, difference", "seconds"]
    for case, part in results.groupby("case", sort=False):
        metrics = {name: by_unit(part, name) for name in columns}
        seconds = part.groupby(ROW)["seconds"].mean()
        by = "auroc" if part["auroc"].notna().any() else "accuracy"
        lines = []
        for row in metrics[by].mean().sort_values(ascending=False, kind="stable").index:
            cells = [mean_and_spread(values[row]) for values in metrics.values()]
            cells += [
                difference(metrics[name], row, BASELINE) for name in ("auroc", "oscr")
            ]
            lines.append([*bold(row, BASELINE), *cells, f"{seconds[row]:.1f}"])
        yield (
            f"## {case}\n\nSplits: {part['split'].nunique()}, seeds of each: "
            f"{part['seed'].nunique()}.\n\n{markdown(header, lines)}"
        )


def lead_tables(results):
    """Yield by how much the default leads the best five-liner, and then all rows."""
    found = leads(results)
    yield from summary(found) if len(found) else ()
    columns = {
        "kept": "known rejected",
        "rejected": "outsiders rejected",
        "auroc": "AUROC",
        "oscr": "OSCR",
    }
    for case, part in results.groupby("case", sort=False):
        metrics = {name: by_unit(part, name) for name in columns}
        rows = part[ROW].drop_duplicates().itertuples(index=False, name=None)
        lines = [
            [
                *(f"**{name}**" if row[1] == "auto" else name for name in row),
                *(mean_and_spread(values[row]) for values in metrics.values()),
            ]
            for row in rows
        ]
        yield (
            f"## {case}\n\nDraws: {part['split'].nunique()}.\n\n"
            + markdown([*ROW, *columns.values()], lines)
        )


def summary(found):
    """Yield the table of :func:`leads`, and the rows that the default loses."""
    behind = found[found["lead"] < -2]
    yield (
        "In percent, means over the draws. Every row has one threshold, the 5 % quantile "
        "of the same held-out part. *Best five-liner* and *best of PyOD* are those that "
        "reject most of the outsiders on the test samples, chosen in hindsight, which "
        "flatters them. *Lead*: outsiders rejected by the default, less those of the best "
        "five-liner, in points; *lead at 5 %*: the same where both reject 5 % of the known "
        "test samples, by thresholds set on these."
    )
    yield "## The default and the best five-liner\n\n" + lead_table(found)
    yield (
        f"Mean lead over {len(found)} rows: {found['lead'].mean():.1f} points, "
        f"{found['lead at 5 %'].mean():.1f} where both reject 5 % of the known test "
        "samples. "
        f"Rows more than two points behind: {len(behind)}"
        + (f".\n\n{lead_table(behind)}" if len(behind) else ".")
    )


def leads(results):
    """Return a frame with a row for each case and recipe: the default and its rivals."""
    results = results[results["rate"] == results["rate"].min()]
    keys = ["case", *ROW]
    means = results.groupby(keys, sort=False)[
        ["kept", "rejected", "fpr95", "auroc", "oscr"]
    ].mean()
    means = 100 * means
    lines = []
    for (case, recipe), part in means.groupby(["case", "recipe"], sort=False):
        part = part.droplevel(["case", "recipe"])
        five = part[part.index.isin(OWN_FIVE_LINES)]
        if "auto" not in part.index or five.empty:
            continue
        ours, best = part.loc["auto"], five["rejected"].idxmax()
        others = part[part.index.str.startswith("PyOD ")]
        pyod = others["rejected"].idxmax() if len(others) else None
        lines.append(
            {
                "case": case,
                "recipe": recipe,
                "kept": ours["kept"],
                "rejected": ours["rejected"],
                "auroc": ours["auroc"],
                "oscr": ours["oscr"],
                "best": best,
                "best kept": five["kept"][best],
                "best rejected": five["rejected"][best],
                "pyod": "-" if pyod is None else pyod.removeprefix("PyOD "),
                "pyod kept": np.nan if pyod is None else others["kept"][pyod],
                "pyod rejected": np.nan if pyod is None else others["rejected"][pyod],
                "lead": ours["rejected"] - five["rejected"][best],
                "lead at 5 %": five["fpr95"].min() - ours["fpr95"],
            }
        )
    return pd.DataFrame(lines)


def lead_table(found):
    """Return the Markdown table of :func:`leads`."""
    header = ["data", "classifier", "default: known / outsiders rejected", "AUROC", "OSCR"]
    header += ["best five-liner: known / outsiders rejected", "best of PyOD"]
    header += ["lead", "lead at 5 %"]
    lines = [
        [
            row["case"],
            row["recipe"],
            f"{row['kept']:.1f} / {row['rejected']:.1f}",
            f"{row['auroc']:.1f}",
            f"{row['oscr']:.1f}",
            f"{row['best']}: {row['best kept']:.1f} / {row['best rejected']:.1f}",
            "-"
            if np.isnan(row["pyod rejected"])
            else f"{row['pyod']}: {row['pyod kept']:.1f} / {row['pyod rejected']:.1f}",
            f"{row['lead']:+.1f}",
            f"{row['lead at 5 %']:+.1f}",
        ]
        for _, row in found.iterrows()
    ]
    return markdown(header, lines)


def by_unit(results, metric):
    """Return a metric with one line for each independent unit and a column for each row.

    Units are the splits of each case, over whose folds and seeds the metric is averaged;
    where a case has a single split, they are its seeds.
    """
    unit = results["split"].str.split(".").str[0]
    one_split = unit.groupby(results["case"]).transform("nunique") == 1
    unit = unit.mask(one_split, results["seed"].astype(str)).rename("unit")
    rows = [results[name] for name in ROW]
    return results.groupby([results["case"], unit, *rows])[metric].mean().unstack([2, 3])


def paired_difference(values, reference, confidence=0.95):
    """Return the mean of paired differences and the bounds of its t-interval.

    Units where one value is missing do not count; NaN where there are too few.
    """
    found = np.subtract(values, reference)
    found = found[~np.isnan(found)]
    mean = found.mean() if len(found) else np.nan
    half = np.nan
    if len(found) > 1:
        quantile = t.ppf((1 + confidence) / 2, len(found) - 1)
        half = quantile * np.std(found, ddof=1) / np.sqrt(len(found))
    return mean, mean - half, mean + half


def difference(units, row, reference):
    """Return a paired difference and its interval as text, in percent points."""
    if row == reference or reference not in units:
        return "-"
    mean, low, high = paired_difference(units[row], units[reference])
    if np.isnan(mean):
        return "-"
    interval = "" if np.isnan(low) else f" [{100 * low:+.2f}, {100 * high:+.2f}]"
    return f"{100 * mean:+.2f}{interval}"


def mean_and_spread(values):
    """Return the mean and the standard deviation over units as text, in percent."""
    spread = values.std(ddof=1)
    return percent(values.mean()) + ("" if np.isnan(spread) else f" ± {percent(spread)}")


def percent(value):
    """Return a share as text, in percent."""
    return "-" if np.isnan(value) else f"{100 * value:.2f}"


def bold(row, reference):
    """Return the names of a row, in bold if it is the one that others are compared to."""
    return [f"**{name}**" for name in row] if row == reference else [*row]


def markdown(header, lines, n_texts=2):
    """Return a Markdown table; its first ``n_texts`` columns are texts."""
    rule = ["---"] * n_texts + ["---:"] * (len(header) - n_texts)
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])
