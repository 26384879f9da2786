"""Train a classifier once, and judge on it all scores and all detectors of a job.

A row of a table is a recipe, which makes a classifier, and a score. All rows of a recipe
share one training: ``OpenSetClassifier(classifier, conformity_score=...)`` gets the fitted
classifier and the same two parts, one that trained and one that calibrates.
"""

import json
import sys
import time
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import product

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import _safe_indexing
from threadpoolctl import threadpool_limits

from benchmarks.detectors import BASELINES, baseline_scores
from benchmarks.measures import by_class, by_group, judge
from benchmarks.recipes import make_classifier, make_estimator, make_score, trained
from benchmarks.results import KEY, append, environment, finished, key_of
from benchmarks.splits import Split
from sk_center import OpenSetClassifier

GUARANTEES = ("marginal", "predicted", "class")


@dataclass(frozen=True)
class Job:
    """One training and the scores that are judged on it.

    Attributes
    ----------
    split : Split
        Which samples.

    seed : int
        Seed of the training.

    recipe : str
        Which classifier, see :func:`benchmarks.recipes.make_classifier`.

    scores : tuple of str
        Which scores, see :func:`benchmarks.recipes.make_score`, and which five-liners and
        detectors, see :mod:`benchmarks.detectors`. These have one rule, "quantile".

    rates : tuple of float
        The rates of false rejections that are allowed.

    rules : tuple of str
        How thresholds are found. ``"marginal"``, ``"predicted"`` and ``"class"`` are what
        OpenSetClassifier guarantees. ``"training quantile"`` takes the quantile of the
        scores of the training samples. ``"cv=5"``, ``"cv=auto"`` and the like, which stand
        alone, are the ``cv`` of OpenSetClassifier: then each score trains anew.

    budget : tuple of (str, object)
        Parameters of the training that all networks share.
    """

    split: Split
    seed: int
    recipe: str
    scores: tuple
    rates: tuple = (0.05,)
    rules: tuple = ("marginal",)
    budget: tuple = ()

    def rows(self):
        """Return score, rule and rate of each result, in the order of the results."""
        return [
            row
            for score in self.scores
            for row in product(
                [score], ["quantile"] if score in BASELINES else self.rules, self.rates
            )
        ]

    def result_keys(self):
        """Return the keys of the results, in the order of ``benchmarks.results.KEY``."""
        start = self.split.case, self.split.name, self.seed, self.recipe
        return [(*start, *row) for row in self.rows()]

    def estimator(self, X):
        """Return the classifier for samples such as X, not fitted."""
        classifier = make_classifier(self.recipe, self.seed, **dict(self.budget))
        return make_estimator(self.split.data, X, classifier)


def run_job(job, data_dir=None):
    """Train once and return a list of results, dicts of FIELDS."""
    with warnings.catch_warnings(), threadpool_limits(1):
        # Networks this small gain nothing from threads, and processes use the cores.
        warnings.simplefilter("ignore", ConvergenceWarning)  # of MLPClassifier
        warnings.simplefilter("ignore", UserWarning)  # the tables show the same
        run = run_anew if job.rules[0].startswith("cv=") else run_shared
        found = [*run(job, data_dir)]
    stamp = {"environment": environment(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    return [
        {**dict(zip(KEY, key)), **result, **stamp}
        for key, result in zip(job.result_keys(), found, strict=True)
    ]


def run_shared(job, data_dir):
    """Yield the results of scores that share one training."""
    X, y, X_test, y_test = job.split.parts(data_dir)
    parts = train, held_out = job.split.held_out(y, job.seed, data_dir)
    X_train, X_held_out = (_safe_indexing(X, part) for part in parts)
    start = time.perf_counter()
    estimator = trained(job.estimator(X).fit(X_train, y[train]))
    seconds = time.perf_counter() - start
    classes, known = estimator.classes_, np.isin(y_test, estimator.classes_)
    calibration = y[held_out], estimator.predict(X_held_out)
    predicted = estimator.predict(X_test)
    tested = y_test[known], predicted[known]

    @lru_cache(maxsize=1)
    def baseline(name):
        return baseline_scores(name, estimator, job.split, job.seed, data_dir)

    @lru_cache(maxsize=1)
    def fitted(name, guarantee, rate):
        model = OpenSetClassifier(
            estimator,
            conformity_score=make_score(name),
            false_rejection_rate=rate,
            guarantee=guarantee,
            cv=[parts],
            refit=False,
            random_state=job.seed,
        ).fit(X, y)
        return model, model.judge(X_test)

    for name, rule, rate in job.rows():
        labels = predicted
        if name in BASELINES:
            own, score = baseline(name)
            outlier = score < np.quantile(own, rate)
        elif rule == "training quantile":
            model, decision = fitted(name, "marginal", job.rates[0])
            score = decision.scores
            outlier = score < np.quantile(model.score_samples(X_train), rate)
        else:
            # One p-value for all: it does not depend on the rate.
            is_marginal = rule == "marginal"
            _, decision = fitted(name, rule, job.rates[0] if is_marginal else rate)
            score = decision.scores
            outlier = decision.p_known <= rate if is_marginal else decision.rejected
            if rule == "class":  # which may give a sample to another class
                labels = np.where(outlier, predicted, decision.labels)
                labels = labels.astype(predicted.dtype)
        found = judge(y_test, predicted, labels, score, outlier, classes)
        yield {
            **found,
            "by_class": by_class(y_test, outlier, classes),
            "by_group": by_group(rule, rate, calibration, tested, outlier[known]),
            "seconds": seconds,
        }


def run_anew(job, data_dir):
    """Yield the results of OpenSetClassifiers that are fitted anew for each."""
    X, y, X_test, y_test = job.split.parts(data_dir)
    for name, rule, rate in job.rows():
        cv = rule.removeprefix("cv=")
        start = time.perf_counter()
        model = OpenSetClassifier(
            job.estimator(X),
            conformity_score=make_score(name),
            false_rejection_rate=rate,
            cv=cv if cv == "auto" else json.loads(cv),
            random_state=job.seed,
        ).fit(X, y)
        seconds = time.perf_counter() - start
        decision, known = model.judge(X_test), np.isin(y_test, model.classes_)
        predicted, outlier, score = decision.predicted, decision.rejected, decision.scores
        n = model.calibration_report_.n_samples.sum()
        yield {
            **judge(y_test, predicted, predicted, score, outlier, model.classes_),
            "by_class": by_class(y_test, outlier, model.classes_),
            "by_group": f"{outlier[known].sum()}/{known.sum()}/{n}",
            "seconds": seconds,
        }


def run_all(jobs, path, data_dir=None, n_jobs=1):
    """Run the jobs that the CSV file lacks, and append each result at once."""
    done = finished(path)
    left = [job for job in jobs if not done.issuperset(job.result_keys())]
    print(f"{len(jobs) - len(left)} of {len(jobs)} runs are in {path}", file=sys.stderr)
    start = time.perf_counter()
    results = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        delayed(run_job)(job, data_dir) for job in left
    )
    for count, found in enumerate(results, start=1):
        append([result for result in found if key_of(result) not in done], path)
        minutes = (time.perf_counter() - start) / 60
        first = found[0]
        print(
            f"{count} of {len(left)} runs, {minutes:.1f} min, about "
            f"{minutes / count * (len(left) - count):.1f} left: {first['case']}, "
            f"split {first['split']}, seed {first['seed']}, {first['recipe']}",
            file=sys.stderr,
        )
