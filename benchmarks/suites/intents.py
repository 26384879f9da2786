"""BANKING77, intents of a bank's customers, in the open-intent protocol of the literature.

25, 50 and 75 % of the intents are known, all labelled samples of these train and calibrate,
ten draws; and rows with 5 to 70 known intents against a threshold of five lines.
"""

import numpy as np

from benchmarks.data import draw_unknown, load
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.suites.shared import rivals
from benchmarks.tables import ROW, lead_tables, markdown

KINDS = {
    "texts": ("logistic regression", "SVM, decisions"),
    "directions of texts": ("logistic regression", "SVM, decisions", "center loss"),
    "embeddings": ("logistic regression", "SVM, decisions", "softmax", "center loss"),
}
RATIOS = {0.25: 19, 0.5: 39, 0.75: 58}  # of 77 intents, rounded as TEXTOIR does
FEW_AND_MANY = (5, 10, 20, 60, 70)
# Macro F1 over known intents and "open", fine-tuned BERT, as TEXTOIR reports it.
PUBLISHED = {
    "MSP": (49.9, 72.5, 84.3),
    "DOC": (65.7, 78.2, 83.8),
    "ADB": (71.6, 81.3, 86.1),
    "DA-ADB": (73.7, 82.5, 85.7),
}


def jobs(args):
    """Return the jobs, at 5 and 10 % of the known samples rejected."""
    made = []
    intents = np.unique(load("banking77 texts", args.data_dir)[1])
    plan = [(n_known, args.draws or 10) for n_known in RATIOS.values()]
    plan += [(n_known, min(args.draws or 3, 3)) for n_known in FEW_AND_MANY]
    for n_known, n_draws in plan:
        for i in range(n_draws):
            unknown = draw_unknown(intents, n_known, i)
            for kind, recipes in KINDS.items():
                case = f"{kind}, {n_known} known intents"
                split = Split(case, str(i), f"banking77 {kind}", unknown, i)
                made += [
                    Job(split, seed, recipe, rivals(recipe), rates=(0.05, 0.1))
                    for seed in range(args.seeds or 1)
                    for recipe in recipes
                ]
    return made


def tables(results):
    """Yield the table of macro F1, then those of rejection."""
    yield (
        '## Macro F1 over known intents and "open"\n\nIn percent, means over the draws. '
        "Published: fine-tuned BERT, on draws of the same kind. Only the default of each "
        "classifier and its largest probability are shown here."
    )
    chosen = results[results["score"].isin(("auto", "largest probability"))]
    kind = chosen["case"].str.split(",").str[0]
    means = chosen.groupby([kind, *ROW, "rate", "case"])["open_f1"].mean()
    header = ["method", "rate allowed, %", *(f"{ratio:.0%} known" for ratio in RATIOS)]
    lines = [[name, "published", *map(str, row)] for name, row in PUBLISHED.items()]
    for key, part in means.groupby(level=[0, 1, 2, 3]):
        by_case = part.droplevel([0, 1, 2, 3])
        cells = [by_case.get(f"{key[0]}, {n} known intents") for n in RATIOS.values()]
        cells = ["-" if cell is None else f"{100 * cell:.1f}" for cell in cells]
        if {*cells} != {"-"}:
            lines.append([", ".join(key[:3]), f"{100 * key[3]:g}", *cells])
    yield markdown(header, lines)
    yield from lead_tables(results[results["rate"] == 0.05])
