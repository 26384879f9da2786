"""The choice of lambda_center, conformity_score and cv.

Each split is looked at twice: with some of the known classes left out, on which a choice
may be made, and with the classes that are unknown.
"""

from dataclasses import replace

from benchmarks.data import ARPL, LETTERS, NEAL, draw_unknown
from benchmarks.recipes import GRID, PEERS
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.suites.shared import SCORES, images
from benchmarks.tables import ROW, bold, by_unit, difference, markdown, percent

# The defaults of the package, as they are called here.
DEFAULT = ("lambda 0.1", "auto")
COMBINED = (
    "sum(mahalanobis, energy)",
    "sum(knn, energy)",
    "sum(mahalanobis, knn, energy)",
)
# Where inputs are no images.
WITH_DENSITY = (
    "sum(mahalanobis, energy, input_density)",
    "sum(mahalanobis, knn, energy, input_density)",
    "min(mahalanobis, energy, input_density)",
)
OF_PEERS = (
    "max_softmax",
    "auto",
    "knn",
    "mahalanobis",
    "input_density",
    "sum(max_softmax, input_density)",
    "sum(max_softmax, knn, mahalanobis)",
    "sum(max_softmax, knn, input_density)",
)


def jobs(args):
    """Return the jobs."""
    plans = [
        ("digits", NEAL, {}, (2, 3)),
        ("letter", [draw_unknown(LETTERS, 13, i) for i in range(3)], {}, (4, 2)),
        ("mnist", ARPL[:2], {"max_train": 20_000}, (2, 2)),
    ]
    made, cv_jobs = [], []
    for data, unknown_sets, size, (n_left_out, n_ways) in plans:
        budget = images(3) if data == "mnist" else ()
        scores = (*SCORES, *COMBINED)
        scores += () if data == "mnist" else ("input_density", *WITH_DENSITY)
        for i, unknown in enumerate(unknown_sets[: args.draws]):
            size = {"max_train": 4000} if data == "letter" else size
            looks = [Split(f"{data}, unknown classes", str(i), data, unknown, i, **size)]
            looks += [
                replace(
                    looks[0],
                    case=f"{data}, classes left out",
                    name=f"{i}.{way}",
                    left_out=(n_left_out, n_ways, way),
                )
                for way in range(n_ways)
            ]
            made += [
                Job(look, i, recipe, scores, budget=budget)
                for look in looks
                for recipe in GRID
            ]
            if data != "mnist":
                made += [
                    Job(look, i, recipe, OF_PEERS)
                    for look in looks
                    for recipe in PEERS
                    if recipe != "SVM, decisions"
                ]
            if data == "digits" or (data == "letter" and i < 2):
                cv_jobs += [
                    Job(looks[0], i, "center loss", ("auto",), rules=(f"cv={cv}",))
                    for cv in (0.1, 0.2, 0.3, 0.5, 5, 10)
                ]
    return made + cv_jobs


def tables(results):
    """Yield tables of lambda_center and scores, of peers, and of cv."""
    yield (
        "In percent. *Left out*: classes left out of the known ones, on which a choice may "
        "be made; *unknown*: the classes that are unknown. Rows differ from the default in "
        "one thing, the score or lambda_center, and are sorted by mean OSCR over the data "
        "with classes left out; the CSV file has all pairs. Behind: how much worse than "
        "the best row, on the data where it is most. Difference: to the default (bold), "
        "paired over the splits of all data, with the 95 % t-interval of the mean."
    )
    held_out = results[~results["rule"].str.startswith("cv=")]
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
    yield cv_table(results[results["rule"].str.startswith("cv=")])


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
        "the same classifier (bold). Rejected: outsiders, at 5 % allowed.\n\n"
        + markdown(header, lines)
    )


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
