"""LETTER at three degrees of openness, also against detectors of scikit-learn and PyOD."""

from benchmarks.data import LETTERS, draw_unknown
from benchmarks.detectors import FIVE_LINES, PYOD, PYOD_PER_CLASS
from benchmarks.recipes import NETWORKS, PEERS, PER_CLASS
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.suites.shared import PEER_SCORES, scores_for
from benchmarks.tables import comparison_tables as tables
from sk_center.metrics import openness

__all__ = ["jobs", "tables"]


def jobs(args):
    """Return the jobs: ten draws each of 20, 13 and 6 known letters."""
    made = []
    for n_known in (20, 13, 6):
        case = f"LETTER, {n_known} known letters, openness {openness(n_known, 26):.0%}"
        for i in range(args.draws or 10):
            split = Split(case, str(i), "letter", draw_unknown(LETTERS, n_known, i), i)
            for seed in range(args.seeds or 1):
                made += [
                    Job(split, seed, recipe, scores_for(recipe)) for recipe in NETWORKS
                ]
                made += [
                    Job(split, seed, recipe, ("auto",))
                    if recipe == "SVM, decisions"
                    else Job(split, seed, recipe, PEER_SCORES)
                    for recipe in PEERS
                ]
                detectors = (*PER_CLASS, *PYOD_PER_CLASS, *FIVE_LINES, *PYOD)
                made.append(Job(split, seed, "random forest", detectors))
    return made
