"""Train a classifier once, judge many scores on it, and keep what was found in a CSV file.

A row of a table is a recipe, which makes a classifier, and a score. All rows of a recipe
share one training: the scores of :mod:`sk_center.scores` are fitted on what the classifier
makes of its training part and evaluated once for all samples. An
:class:`~sk_center.OpenSetClassifier` around :class:`Columns` then calibrates each score, or
several combined, on the part that was held out; ``cv`` tells it the two parts. The result
is that of ``OpenSetClassifier(classifier, conformity_score=...)`` with the same two parts,
without training anew for each score.
"""

import os
import platform
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from itertools import product
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

import sk_center
from benchmarks.data import Split
from benchmarks.recipes import BASE_SCORES, make_estimator, parse_score
from sk_center import OpenSetClassifier
from sk_center.metrics import auroc_score, fpr_at_tpr, oscr_score
from sk_center.scores import CenterDistance, Combined, FunctionScore

KEY = ["case", "split", "seed", "recipe", "score", "rule", "promise"]
METRICS = ["auroc", "fpr95", "oscr", "accuracy", "kept", "rejected", "accepted_accuracy"]
FIELDS = [*KEY, *METRICS, "by_class", "seconds", "environment", "date"]


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
        Which classifier, see :func:`benchmarks.recipes.make_estimator`.

    scores : tuple of str
        Which scores, see :func:`benchmarks.recipes.parse_score`.

    promises : tuple of float
        The rates of false rejections that are promised.

    rules : tuple of str
        How thresholds are found. ``"held out"`` is what OpenSetClassifier does;
        ``"training quantile"`` takes the quantile of the scores of the training samples,
        and ``"contamination"`` that of what PyOD's detectors keep of them. ``"cv=5"`` and
        the like, which stand alone, are the ``cv`` of OpenSetClassifier: then each score
        trains anew.

    budget : tuple of (str, object)
        Parameters of the training that all recipes share.
    """

    split: Split
    seed: int
    recipe: str
    scores: tuple
    promises: tuple = (0.05,)
    rules: tuple = ("held out",)
    budget: tuple = ()

    def result_keys(self):
        """Return the keys of the results, in the order of KEY."""
        return [
            (self.split.case, self.split.name, self.seed, self.recipe, *rest)
            for rest in product(self.scores, self.rules, self.promises)
        ]

    def estimator(self):
        """Return the classifier, not fitted."""
        budget = dict(self.budget)
        return make_estimator(self.recipe, self.split.data, self.seed, **budget)


class Columns(ClassifierMixin, BaseEstimator):
    """A classifier for samples that are scores already, and go to the score as they are."""

    def fit(self, X, y):
        """Learn the classes."""
        self.classes_ = np.unique(y)
        return self


class Outputs:
    """What a fitted classifier gives to scores, and the scores, each computed once.

    The first of the parts, rows of X, are the samples with the labels y, that train.
    """

    def __init__(self, estimator, X, y, parts):
        is_pipeline = isinstance(estimator, Pipeline)
        self.last = estimator[-1] if is_pipeline else estimator
        self.X = estimator[:-1].transform(X) if is_pipeline else X
        self.y, self.parts = y, parts
        self.base = {}

    @cached_property
    def features(self):
        """What the network makes of X, of other classifiers what they see."""
        return self.last.transform(self.X) if hasattr(self.last, "transform") else self.X

    @cached_property
    def inputs(self):
        """What the classifier sees, as rows of numbers."""
        return self.X.reshape(len(self.X), -1)

    @cached_property
    def logits(self):
        """Logits of the network."""
        return self.last.logits(self.X)

    @cached_property
    def probabilities(self):
        """Probabilities of the classes."""
        return self.last.predict_proba(self.X)

    def base_score(self, name):
        """Return a base score, fitted, and what it gives to all samples for all classes."""
        if name not in self.base:
            score = clone(BASE_SCORES[name])
            if isinstance(score, CenterDistance):
                score.set_params(centers=getattr(self.last, "centers_", None))
            given = [
                {name: getattr(self, name)[rows] for name in score.needs}
                for rows in self.parts
            ]
            score.fit(given[0], self.y)
            # Part by part: some detectors of PyOD judge a batch as a whole.
            found = [score.score_classes(parts) for parts in given]
            columns = np.empty((sum(map(len, found)), found[0].shape[1]))
            columns[np.concatenate(self.parts)] = np.concatenate(found)
            self.base[name] = score, columns
        return self.base[name]


def run_job(job, data_dir=None):
    """Train once and return a list of results, dicts of FIELDS."""
    warnings.filterwarnings("ignore", "Classes with too few calibration", UserWarning)
    warnings.filterwarnings("ignore", category=ConvergenceWarning)  # of MLPClassifier
    warnings.filterwarnings("ignore", "No sample will ever be rejected", UserWarning)
    run = run_anew if job.rules[0].startswith("cv=") else run_shared
    # Networks this small gain nothing from threads, and processes use the cores.
    with threadpool_limits(1):
        found = [*run(job, data_dir)]
    stamp = {"environment": environment(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    return [
        {**dict(zip(KEY, key)), **result, **stamp}
        for key, result in zip(job.result_keys(), found)
    ]


def run_shared(job, data_dir):
    """Yield the results of scores that share one training."""
    X_train, y_train, X_test, y_test = job.split.parts(data_dir)
    rows = np.arange(len(y_train))
    train, held_out = job.split.held_out(y_train, job.seed, data_dir)
    test = len(rows) + np.arange(len(X_test))
    start = time.perf_counter()
    estimator = job.estimator().fit(X_train[train], y_train[train])
    seconds = time.perf_counter() - start
    predicted, classes = estimator.predict(X_test), estimator.classes_
    X = np.concatenate([X_train, X_test])
    outputs = Outputs(estimator, X, y_train[train], [train, held_out, test])
    for name in job.scores:
        names, how = parse_score(name, job.recipe, job.split.data)
        scores = np.hstack([outputs.base_score(name)[1] for name in names])
        each = [
            FunctionScore(itemgetter((slice(None), slice(first, first + len(classes)))))
            for first in range(0, scores.shape[1], len(classes))
        ]
        for rule, promise in product(job.rules, job.promises):
            model = OpenSetClassifier(
                Columns(),
                conformity_score=Combined(each, how=how) if len(each) > 1 else each[0],
                false_rejection_rate=promise,
                cv=[(train, held_out)],
                refit=False,
            ).fit(scores[rows], y_train)
            outlier = model.is_outlier(scores[test])
            if rule != "held out":
                own = model.score_.score_classes(scores[train])
                own = [own[y_train[train] == label, k] for k, label in enumerate(classes)]
                if rule == "contamination":
                    detectors = outputs.base_score(name)[0].estimators_
                    own = [-one.detector_.decision_scores_ for one in detectors.values()]
                thresholds = [np.quantile(members, promise) for members in own]
                outlier = (model.score_.score_classes(scores[test]) < thresholds).all(1)
            known_score = model.score_samples(scores[test])
            found = judge(y_test, predicted, known_score, outlier, model)
            yield {**found, "seconds": seconds}


def run_anew(job, data_dir):
    """Yield the results of OpenSetClassifiers that are fitted anew for each."""
    X_train, y_train, X_test, y_test = job.split.parts(data_dir)
    for _, _, _, _, score, rule, promise in job.result_keys():
        cv = float(rule.removeprefix("cv="))
        start = time.perf_counter()
        model = OpenSetClassifier(
            job.estimator(),
            conformity_score=score,
            false_rejection_rate=promise,
            cv=cv if cv < 1 else int(cv),
            random_state=job.seed,
        ).fit(X_train, y_train)
        seconds = time.perf_counter() - start
        predicted, final = model.estimator_.predict(X_test), model.predict(X_test)
        known_score, outlier = model.score_samples(X_test), model.is_outlier(X_test)
        accepted = ~outlier & np.isin(y_test, model.classes_)
        yield {
            **judge(y_test, predicted, known_score, outlier, model),
            "accepted_accuracy": np.mean(final[accepted] == y_test[accepted]),
            "seconds": seconds,
        }


def judge(y_true, predicted, known_score, outlier, model):
    """Return the metrics of one classifier; those of outsiders only where there are any."""
    classes, groups = model.classes_, model.calibration_.groups_
    known = np.isin(y_true, classes)
    found = {
        "accuracy": np.mean(predicted[known] == y_true[known]),
        "kept": outlier[known].mean(),
        # Of each class: rejected members, members, calibration samples of its group, group.
        "by_class": " ".join(
            f"{outlier[y_true == label].sum()}/{(y_true == label).sum()}/{n}/{group}"
            for label, n, group in zip(classes, model.calibration_.n_samples_, groups)
        ),
    }
    if known.all():
        return found
    return {
        **found,
        "auroc": auroc_score(y_true, known_score, labels=classes),
        "fpr95": fpr_at_tpr(y_true, known_score, labels=classes),
        "oscr": oscr_score(y_true, predicted, known_score, labels=classes),
        "rejected": outlier[~known].mean(),
    }


def run_all(jobs, path, data_dir=None, n_jobs=1):
    """Run what is not in the CSV file yet, and append each result as it comes."""
    done = finished(path)
    left = [job for job in (unfinished(job, done) for job in jobs) if job is not None]
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


def key_of(result):
    """Return the key of a result."""
    return tuple(result[name] for name in KEY)


def unfinished(job, done):
    """Return a job for the scores whose results are missing, or None."""
    missing = {key[KEY.index("score")] for key in job.result_keys() if key not in done}
    scores = tuple(score for score in job.scores if score in missing)
    return Job(**{**vars(job), "scores": scores}) if scores else None


def finished(path):
    """Return the keys of the results in a CSV file, of which a cut-off line is removed."""
    path = Path(path)
    if not path.is_file():
        return set()
    text = path.read_bytes()
    if not text.endswith(b"\n"):
        path.write_bytes(text[: text.rfind(b"\n") + 1])
    return set(read(path)[KEY].itertuples(index=False, name=None)) if text else set()


def read(path):
    """Return the results of a CSV file."""
    return pd.read_csv(path, dtype={"split": str, "seed": int, "promise": float})


def append(results, path):
    """Append results to a CSV file, all or none of them."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(results, columns=FIELDS)
    with path.open("a", encoding="utf-8") as file:
        file.write(table.to_csv(index=False, header=file.tell() == 0))


def environment():
    """Return versions and machine as one line, without names of hosts or folders."""
    names = ["torch", "scikit-learn", "skorch", "numpy"]
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"sk_center {own_version()}, Python {platform.python_version()}, {versions}, "
        f"{os.cpu_count()} cores of {cpu_name()}"
    )


def own_version():
    """Return the version of sk_center, with the commit where it is known."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    commit = done.stdout.strip()
    return f"{sk_center.__version__} ({commit})" if commit else sk_center.__version__


def cpu_name():
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
