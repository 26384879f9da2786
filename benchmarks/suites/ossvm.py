"""LETTER in the protocol of Open-Set Support Vector Machines (Mendes Júnior et al., 2021).

The letters known are 3, 6, 9 and 12 in ten draws. Half of their samples train; the other
half and all samples of the unknown letters test.
"""

from benchmarks.data import LETTERS, draw_unknown
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.suites.shared import rivals
from benchmarks.tables import ROW, markdown

N_KNOWN = (3, 6, 9, 12)
RECIPES = ("center loss", "softmax", "SVM", "random forest")
# Means of the raw results that the authors published for LETTER, with parameters searched
# by leaving classes out (github.com/pedrormjunior/ossvm-results).
PUBLISHED = {
    "normalized_accuracy": {
        "EVM": (91.1, 88.9, 88.7, 87.3),
        "PI-SVM": (85.5, 87.4, 88.0, 85.3),
        "SSVM": (87.8, 84.8, 84.1, 84.0),
        "W-SVM": (79.0, 78.1, 78.5, 76.0),
    },
    "known_f": {
        "EVM": (75.8, 80.5, 82.1, 84.2),
        "PI-SVM": (71.7, 76.6, 80.4, 81.3),
        "SSVM": (76.1, 76.7, 79.4, 81.5),
        "W-SVM": (62.6, 66.3, 72.7, 75.4),
    },
}
NAMES = {
    "normalized_accuracy": "Normalized accuracy",
    "known_f": "Macro-averaging open-set F-measure",
}


def jobs(args):
    """Return the jobs, at 5 and 10 % of the known samples rejected."""
    return [
        Job(
            Split(
                f"{n_known} known letters",
                str(i),
                "letter",
                draw_unknown(LETTERS, n_known, i),
                i,
                test_size=0.5,
            ),
            seed,
            recipe,
            rivals(recipe),
            rates=(0.05, 0.1),
        )
        for n_known in N_KNOWN
        for i in range(args.draws or 10)
        for seed in range(args.seeds or 1)
        for recipe in RECIPES
    ]


def tables(results):
    """Yield a table for each measure, the published numbers first."""
    yield (
        "In percent, means over the draws. Published: what the authors of SSVM measured on "
        "their own draws. Normalized accuracy: mean of the accuracy on known samples and "
        "of the share of outsiders rejected. The F-measure is that of the known letters: "
        "accepted outsiders are false positives, correct rejections earn nothing."
    )
    header = ["method", "rate allowed, %", *(f"{n} known" for n in N_KNOWN)]
    for metric, published in PUBLISHED.items():
        means = results.groupby([*ROW, "rate", "case"])[metric].mean().unstack()
        lines = [[name, "published", *map(str, row)] for name, row in published.items()]
        lines += [
            [
                ", ".join(row),
                f"{100 * rate:g}",
                *(
                    f"{100 * means.loc[(*row, rate)].get(f'{n} known letters'):.1f}"
                    for n in N_KNOWN
                    if f"{n} known letters" in means
                ),
            ]
            for *row, rate in means.index
        ]
        yield f"## {NAMES[metric]}\n\n{markdown(header, lines)}"
