"""The false-rejection rate that is allowed against the one that is kept, three guarantees.

Five folds of the known samples, so that each tests and calibrates once.
"""

from dataclasses import replace

import numpy as np
from scipy.stats import betabinom, binomtest

from benchmarks.data import ARPL, LETTERS, NEAL, draw_unknown
from benchmarks.measures import parse_counts
from benchmarks.runs import GUARANTEES, Job
from benchmarks.splits import Split
from benchmarks.suites.shared import PEER_SCORES, scores_for
from benchmarks.tables import ROW, markdown, percent

RULES = ("marginal", "training quantile", "predicted", "class")
RATES = (0.01, 0.05, 0.1)


def jobs(args):
    """Return the jobs."""
    folds = [(index, 5) for index in range(5)]
    cases = [
        ("digits, 6 known", "digits", NEAL[0], folds),
        ("LETTER, 20 known letters", "letter", draw_unknown(LETTERS, 20, 0), folds),
        ("MNIST, 6 known", "mnist", ARPL[0], [None]),  # its own test set
    ]
    made = []
    for case, data, unknown, parts in cases:
        for i, fold in enumerate(parts[: args.draws]):
            # Else two folds would calibrate on the same samples, and err alike.
            split = Split(case, str(i), data, unknown, fold=fold, calibrate_next=bool(fold))
            scores = scores_for("center loss", images=data == "mnist")
            base = Job(split, 0, "center loss", scores, RATES, RULES)
            made.append(
                replace(base, budget=(("max_epochs", 3),) if data == "mnist" else ())
            )
            if data != "mnist":
                folds_of_default = {"rates": (0.05,), "rules": ("cv=10",)}
                made.append(replace(base, scores=("auto",), **folds_of_default))
                made.append(replace(base, recipe="random forest", scores=PEER_SCORES))
    return made


def tables(results):
    """Yield a summary, then a table for each case: rates that are allowed and kept."""
    yield (
        "False rejections of known samples, in percent: allowed, and kept over the pooled "
        "test samples with the exact 95 % binomial interval (Clopper-Pearson), which shows "
        "the chance in the draw of the test samples. The bound of a guarantee holds on "
        "average over draws of the calibration samples too: it counts as broken where a "
        "rule that rejects exactly as often as allowed would reject so many with a "
        "probability below 2.5 %, of both draws (sum of beta-binomial variables, one for "
        "each group that has a threshold of its own). Other rules count as broken where "
        "the lower bound of the interval is above the rate. Worst class: the one that "
        "loses most of its samples, with its own interval."
    )
    lines = [
        {"case": case, **line}
        for case, part in results.groupby("case", sort=False)
        for line in kept_rates(part)
    ]
    yield "## Rows that keep the rate\n\n" + summary(lines)
    header = [*ROW, "threshold", "allowed", "kept", "within", "worst class", "outsiders"]
    for case in dict.fromkeys(line["case"] for line in lines):
        cells = [line["cells"] for line in lines if line["case"] == case]
        yield f"## {case}\n\n{markdown(header, cells)}"


def kept_rates(results):
    """Yield the results of each row of a case, as dicts."""
    for key, runs in results.groupby([*ROW, "rule", "rate"]):
        rule, rate = key[-2:]
        kept = share(
            sum(parse_counts(text)[:, :2].sum(axis=0) for text in runs["by_group"])
        )
        classes = sum(parse_counts(text) for text in runs["by_class"])
        worst = max((share(count) for count in classes), key=lambda found: found[0])
        if rule in GUARANTEES:
            groups = np.concatenate([parse_counts(text) for text in runs["by_group"]])
            broken = tail_of_guarantee(groups, rate) < 0.025
        else:
            broken = kept[1] > rate
        cells = ["{} [{}, {}]".format(*map(percent, found)) for found in (kept, worst)]
        outsiders = percent(runs["rejected"].mean())
        within = "**no**" if broken else "yes"
        yield {
            "rule": rule,
            "rate": rate,
            "broken": broken,
            "cells": [*key[:3], f"{100 * rate:g}", cells[0], within, cells[1], outsiders],
        }


def summary(lines):
    """Return a table of how many rows keep each rate."""
    rates = sorted({line["rate"] for line in lines})
    found = []
    for case, rule in dict.fromkeys((line["case"], line["rule"]) for line in lines):
        cells = []
        for rate in rates:
            broken = [
                line["broken"]
                for line in lines
                if (line["case"], line["rule"], line["rate"]) == (case, rule, rate)
            ]
            cells.append(f"{broken.count(False)} of {len(broken)}" if broken else "-")
        found.append([case, rule, *cells])
    header = ["data", "threshold", *(f"keep {100 * rate:g} %" for rate in rates)]
    return markdown(header, found)


def tail_of_guarantee(groups, rate):
    """Return how probable it is that conformal thresholds reject as many or more.

    A group whose n calibration samples and m test samples are drawn alike rejects a
    beta-binomial number of the latter, where thresholds are as low as the rate allows: with
    r the rank of the threshold, the share rejected is distributed as Beta(r, n + 1 - r).

    Parameters
    ----------
    groups : ndarray of shape (n_groups, 3)
        Rejected, tested and calibration samples of each group.

    rate : float
        The rate of false rejections that is allowed.

    Returns
    -------
    probability : float
        Probability of at least as many rejections in all groups together.
    """
    law = np.ones(1)
    for _, n_tested, n in groups.tolist():
        rank = int(rate * (n + 1) + 1e-9)
        if rank:  # else nothing is rejected
            one = betabinom(n_tested, rank, n + 1 - rank)
            law = np.convolve(law, one.pmf(np.arange(n_tested + 1)))
    return law[groups[:, 0].sum() :].sum()


def share(counts):
    """Return the share of the rejected and the bounds of its exact 95 % interval."""
    rejected, tested = map(int, counts)
    found = binomtest(rejected, tested)
    return rejected / tested, *found.proportion_ci(method="exact")
