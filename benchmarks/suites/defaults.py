"""The choice of lambda_center, of the training, of the score and of cv.

Each split is looked at twice: with some of the known classes left out, on which a choice
may be made, and with the classes that are unknown.
"""

from dataclasses import replace

from benchmarks.data import LETTERS, NEAL, draw_unknown
from benchmarks.recipes import CHANGES
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.tables import ROW, bold, by_unit, difference, markdown, percent

DEFAULT = ("default", "auto")
SCORES = (
    "auto",
    "mahalanobis",
    "mahalanobis, length one",
    "knn",
    "center_distance",
    "energy",
    "max_softmax",
    "sum(mahalanobis, energy)",
    "sum(mahalanobis, knn, energy)",
)


def jobs(args):
    """Return the jobs."""
    letters = [draw_unknown(LETTERS, 13, i) for i in range(3)]
    plans = [
        ("digits", NEAL, {}, (2, 3)),
        ("letter", letters, {"max_train": 4000}, (4, 2)),
        ("digits, images", NEAL[:3], {}, (2, 2)),
    ]
    made, cv_jobs = [], []
    for data, unknown_sets, size, (n_left_out, n_ways) in plans:
        for i, unknown in enumerate(unknown_sets[: args.draws]):
            whole = Split(f"{data}, unknown classes", str(i), data, unknown, i, **size)
            parts = [
                replace(
                    whole,
                    case=f"{data}, classes left out",
                    name=f"{i}.{way}",
                    left_out=(n_left_out, n_ways, way),
                )
                for way in range(n_ways)
            ]
            made += [
                Job(look, i, recipe, SCORES if recipe == "default" else ("auto",))
                for look in (whole, *parts)
                for recipe in CHANGES
            ]
            if data != "digits, images" and i < 2:
                cv_jobs += [
                    Job(whole, i, "default", ("auto",), rules=(f"cv={cv}",))
                    for cv in (0.1, 0.2, 0.3, 0.5, 5, 10)
                ]
    return made + cv_jobs


def tables(results):
    """Yield tables of trainings and scores, and of cv."""
    yield (
        "In percent. *Left out*: classes left out of the known ones, on which a choice may "
        "be made; *unknown*: the classes that are unknown. Rows differ from the default in "
        "one thing, the training or the score, and are sorted by mean OSCR over the data "
        "with classes left out; the CSV file has all data and draws. *Softmax* is a "
        "training without center loss, with the predictions of the softmax head, *constant "
        "rate* one of 100 epochs at 0.001, batches of 64. Behind: how much worse than the "
        "best row, on the data where it is most. Difference: to the default (bold), paired "
        "over the splits of all data, with the 95 % t-interval of the mean. Seconds: of a "
        "training, mean over all data."
    )
    has_cv = results["rule"].str.startswith("cv=")
    shared, anew = results[~has_cv], results[has_cv]
    is_left_out = shared["case"].str.endswith("left out")
    seconds = shared.groupby(ROW)["seconds"].mean()
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
        cells["seconds"] = seconds.map("{:.1f}".format)
        lines = [[*bold(row, DEFAULT), *cells.loc[row]] for row in order]
        yield f"## {name}\n\n{markdown([*ROW, *cells], lines)}"
    yield cv_table(anew)


def cv_table(results):
    """Return a table of the accuracy, the rejections and the time by cv."""
    columns = {
        "kept": "known rejected",
        "rejected": "outsiders rejected",
        "accepted_accuracy": "accuracy of the accepted",
        "accuracy": "accuracy",
        "auroc": "AUROC",
        "oscr": "OSCR",
    }
    anew = results.groupby(["case", "rule"])
    means, seconds = anew[[*columns]].mean().map(percent), anew["seconds"].mean()
    lines = [[*row, *means.loc[row], f"{seconds[row]:.1f}"] for row in means.index]
    header = ["data", "cv", *columns.values(), "seconds"]
    return f"## cv, at 5 % allowed\n\n{markdown(header, lines)}"
