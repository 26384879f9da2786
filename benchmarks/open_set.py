"""Measure open-set recognition: ``python -m benchmarks.open_set --suite defaults``."""

import argparse
import fnmatch
import os
from dataclasses import replace
from pathlib import Path

from benchmarks.data import ARPL, NEAL, Split, draw_letters
from benchmarks.runs import Job, run_all

MNIST_BUDGET = (("batch_size", 128), ("max_epochs", 3))

COMBINATIONS = [
    ("center_distance", "mahalanobis"),
    ("center_distance", "relative mahalanobis"),
    ("center_distance", "knn"),
    ("mahalanobis", "knn"),
    ("center_distance", "mahalanobis", "knn"),
    ("center_distance", "energy"),
    ("center_distance", "max_logit"),
    ("center_distance", "vim"),
    ("mahalanobis", "energy"),
    ("mahalanobis", "max_logit"),
    ("knn", "energy"),
    ("center_distance", "mahalanobis", "energy"),
    ("mahalanobis", "knn", "energy"),
]


def defaults(args):
    """What decides lambda_center, conformity_score and cv.

    Each split is looked at twice: with classes that are left out of the known ones, which
    is what a choice may be made on, and with the classes that are unknown.
    """
    scores = (
        "center_distance",
        "mahalanobis",
        "relative mahalanobis",
        "knn",
        "max_softmax",
        "max_logit",
        "energy",
        "openmax",
        "vim",
        *(f"{how}({', '.join(names)})" for names in COMBINATIONS for how in ("min", "sum")),
    )
    recipes = ["softmax", *(f"lambda {weight}" for weight in (0.01, 0.03, 0.1, 0.3, 1))]
    plans = [
        ("digits", [Split("", str(i), "digits", u, i) for i, u in enumerate(NEAL)], (2, 3)),
        (
            "letter",
            [
                Split("", str(i), "letter", draw_letters(13, i), i, max_train=4000)
                for i in range(3)
            ],
            (4, 2),
        ),
        (
            "mnist",
            [Split("", str(i), "mnist", ARPL[i], i, max_train=20_000) for i in range(2)],
            (2, 2),
        ),
    ]
    jobs, cv_jobs = [], []
    for data, splits, (n_left_out, n_ways) in plans:
        for split in splits:
            looks = [replace(split, case=f"{data}, unknown classes")]
            looks += [
                replace(
                    split,
                    case=f"{data}, classes left out",
                    name=f"{split.name}.{way}",
                    left_out=(n_left_out, n_ways, way),
                )
                for way in range(n_ways)
            ]
            budget = MNIST_BUDGET if data == "mnist" else ()
            jobs += [
                Job(look, split.seed, recipe, scores, budget=budget)
                for look in looks
                for recipe in recipes
            ]
            if data != "mnist":
                cv_jobs += [
                    Job(look, split.seed, "center loss", ("auto",), rules=(f"cv={cv}",))
                    for look in looks[:2]
                    for cv in (0.1, 0.2, 0.3, 0.5, 5, 10)
                ]
    return jobs + cv_jobs


SUITES = {"defaults": defaults}


def main(argv=None):
    """Run one suite."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.open_set")
    parser.add_argument("--suite", choices=SUITES, required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", default="benchmarks/results")
    parser.add_argument("--rows", default="*")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args(argv)
    jobs = SUITES[args.suite](args)
    kept = []
    for job in jobs:
        scores = tuple(
            score
            for score in job.scores
            if fnmatch.fnmatch(f"{job.split.case}: {job.recipe}, {score}", args.rows)
        )
        if scores:
            kept.append(replace(job, scores=scores))
    run_all(kept, Path(args.out, f"{args.suite}.csv"), args.data_dir, args.jobs)


if __name__ == "__main__":
    main()
