"""Markdown tables of the results, with what it takes to make them again."""

import numpy as np
from scipy.stats import betabinom, binomtest, t

from benchmarks.recipes import GRID, PEERS
from benchmarks.runs import read
from sk_center.calibration.conformal import rejected_ranks

ROW = ["recipe", "score"]
BASELINE = ("softmax", "max_softmax")
# The defaults of the package, as the suite ``defaults`` calls them.
DEFAULT = ("lambda 0.1", "auto")


def write_tables(csv_path, command):
    """Write the tables of a suite next to its CSV file, and return their path."""
    results = read(csv_path)
    suite = csv_path.stem.removesuffix("-quick")
    tables = {"promise": promise_tables, "defaults": defaults_tables}
    parts = tables.get(suite, comparison_tables)(results)
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
        "outsiders accepted where 95 % of the members are. Rejected: at a promised "
        "false-rejection rate of 5 %."
    )
    columns = {
        "auroc": "AUROC",
        "fpr95": "FPR95",
        "oscr": "OSCR",
        "accuracy": "accuracy",
        "kept": "members rejected",
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


def promise_tables(results):
    """Yield a table for each case: the promised and the kept false-rejection rates."""
    yield (
        "False rejections of members, in percent: promised, and kept over the pooled test "
        "members with the exact 95 % binomial interval (Clopper-Pearson), which tells what "
        "the draw of the test members may do. A promise is broken where the lower bound is "
        "above it. The bound of *held out* holds on average over draws of the calibration "
        "samples too: there it is broken where a rule that rejects its members exactly as "
        "often as promised would reject so many with a probability below 2.5 %, of both "
        "draws (sum of beta-binomial variables). Worst class: the one that loses most of "
        "its members, with its own interval."
    )
    header = [*ROW, "threshold", "promised", "kept", "kept?", "worst class", "outsiders"]
    for case, part in results.groupby("case", sort=False):
        lines = []
        for key, runs in part.groupby([*ROW, "rule", "promise"]):
            by_run = [parse_counts(text) for text in runs["by_class"]]
            counts = sum(by_run)[:, :2]
            kept = share(counts.sum(axis=0))
            worst = max((share(count) for count in counts), key=lambda found: found[0])
            if key[2] == "held out":
                broken = tail_of_promise(by_run, key[-1]) < 0.025
            else:
                broken = kept[1] > key[-1]
            verdict = "**no**" if broken else "yes"
            cells = ["{} [{}, {}]".format(*map(percent, found)) for found in (kept, worst)]
            outsiders = percent(runs["rejected"].mean())
            lines.append([*key[:3], f"{100 * key[3]:g}", cells[0], verdict, cells[1]])
            lines[-1].append(outsiders)
        yield f"## {case}\n\n{markdown(header, lines)}"


def defaults_tables(results):
    """Yield tables of lambda_center and scores, and one of cv."""
    yield (
        "In percent. *Left out*: classes left out of the known ones, which a choice may be "
        "made on; *unknown*: the classes that are unknown. Rows differ from the default in "
        "one thing, the score or lambda_center, and are sorted by mean OSCR over the data "
        "with classes left out; the CSV file has all pairs. Behind: how much worse than "
        "the best row, on the data where that is most. Difference: to the default (bold), "
        "paired over the splits of all data, with the 95 % t-interval of the mean."
    )
    held_out = results[results["rule"] == "held out"]
    shared = held_out[held_out["recipe"].isin(GRID)]
    one_thing = (shared["recipe"] == DEFAULT[0]) | (shared["score"] == DEFAULT[1])
    shared = shared[one_thing]
    is_left_out = shared["case"].str.endswith("left out")
    order = None
    for metric, name in (("oscr", "OSCR"), ("auroc", "AUROC"), ("fpr95", "FPR95")):
        table = shared.groupby([*ROW, "case"])[metric].mean().unstack()
        cells = table.map(percent)
        for look, chosen in (("left out", is_left_out), ("unknown", ~is_left_out)):
            part = table[shared["case"][chosen].unique()]
            behind = part - part.min() if metric == "fpr95" else part.max() - part
            units = by_unit(shared[chosen], metric)
            cells[f"{look}: mean"] = part.mean(axis=1).map(percent)
            cells[f"{look}: behind"] = behind.max(axis=1).map(percent)
            differences = [difference(units, row, DEFAULT) for row in table.index]
            cells[f"{look}: difference"] = differences
            if order is None:
                order = part.mean(axis=1).sort_values(ascending=False).index
        lines = [[*bold(row, DEFAULT), *cells.loc[row]] for row in order]
        yield f"## {name}\n\n{markdown([*ROW, *cells], lines)}"
    yield peers_table(held_out[held_out["recipe"].isin(PEERS)])
    columns = {
        "kept": "members rejected",
        "rejected": "outsiders rejected",
        "accepted_accuracy": "accuracy of the accepted",
        "accuracy": "accuracy",
        "auroc": "AUROC",
        "oscr": "OSCR",
    }
    anew = results[results["rule"] != "held out"].groupby(["case", "rule"])
    means, seconds = anew[[*columns]].mean().map(percent), anew["seconds"].mean()
    lines = [[*row, *means.loc[row], f"{seconds[row]:.1f}"] for row in means.index]
    header = ["data", "cv", *columns.values(), "seconds"]
    yield f"## cv, at a promise of 5 %\n\n{markdown(header, lines)}"


def peers_table(results):
    """Return a table of the scores around classifiers without features."""
    is_left_out = results["case"].str.endswith("left out")
    looks = [by_unit(results[chosen], "oscr") for chosen in (is_left_out, ~is_left_out)]
    metrics = {"oscr": "OSCR", "auroc": "AUROC", "rejected": "rejected"}
    means = results.groupby([*ROW, "case"])[[*metrics]].mean().unstack()
    header = [*ROW, *(f"{case}: {metrics[metric]}" for metric, case in means.columns)]
    header += ["left out: difference", "unknown: difference"]
    lines = []
    for row in means.index:
        reference = (row[0], "max_softmax")
        cells = [percent(value) for value in means.loc[row]]
        cells += [difference(units, row, reference) for units in looks]
        lines.append([*bold(row, reference), *cells])
    return (
        "## Classifiers without features\n\nDifference: of OSCR, to the probabilities of "
        "the same classifier (bold). Rejected: outsiders, at a promise of 5 %.\n\n"
        + markdown(header, lines)
    )


def by_unit(results, metric):
    """Return a metric with one line for each independent unit and a column for each row.

    Units are the splits of each case, over whose folds and seeds the metric is averaged;
    where a case has but one split, they are its seeds.
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


def tail_of_promise(by_run, promise):
    """Return how probable it is that conformal thresholds reject as many or more.

    A class whose n calibration samples and m test members are drawn alike rejects of the
    latter what a beta-binomial variable says, where thresholds are as low as the promise
    allows: with r the rank of the threshold, the share rejected has the Beta(r, n + 1 - r)
    law. Classes that share a threshold count as one.

    Parameters
    ----------
    by_run : list of ndarray of shape (n_classes, 4)
        Of each run what :func:`parse_counts` gives.

    promise : float
        The rate of false rejections that was promised.

    Returns
    -------
    probability : float
        Probability of at least as many rejections in all runs together.
    """
    law, rejected = np.ones(1), 0
    for run in by_run:
        rejected += run[:, 0].sum()
        for group in np.unique(run[:, 3]):
            classes = run[run[:, 3] == group]
            members, n_samples = classes[:, 1].sum(), classes[0, 2]
            rank = rejected_ranks(int(n_samples), promise)
            if rank:  # else nothing is rejected
                one = betabinom(members, rank, n_samples + 1 - rank)
                law = np.convolve(law, one.pmf(np.arange(members + 1)))
    return law[rejected:].sum()


def parse_counts(text):
    """Return what was counted of each class, an array of shape (n_classes, 4).

    Rejected members, members, calibration samples of the group that shares a threshold
    with the class, and the group.
    """
    return np.array([[int(n) for n in pair.split("/")] for pair in text.split()])


def share(counts):
    """Return the share of the rejected and the bounds of its exact 95 % interval."""
    rejected, members = map(int, counts)
    found = binomtest(rejected, members)
    return rejected / members, *found.proportion_ci(method="exact")


def markdown(header, lines):
    """Return a Markdown table."""
    rule = ["---", "---", *["---:"] * (len(header) - 2)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])
