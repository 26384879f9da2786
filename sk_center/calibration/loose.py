"""Thresholds that outlying samples set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So many interquartile ranges from the median, a score is far out: by a normal law one of a
# hundred members is 2 from it, and 3 to 12 by long tails.
FAR = 15
NEARLY_ALL = 0.9
FEWEST = 10  # of less the quartiles are chance


def loose_thresholds(
    thresholds: NDArray[Any],
    own: NDArray[Any],
    y: NDArray[np.intp],
    scores: NDArray[Any],
    labels: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Return the classes that odd members made accept nearly anything.

    Their threshold is the score of members far below what is usual, and nearly all samples
    of other classes score more. Either alone is no fault: probabilities have long tails,
    and classes may overlap.

    Parameters
    ----------
    thresholds : ndarray of shape (n_classes,)
        What scores below this is turned down.

    own : ndarray of shape (n_samples,)
        Score of each calibration sample for its own class.

    y : ndarray of shape (n_samples,)
        Class index of each calibration sample.

    scores : ndarray of shape (n_some, n_classes)
        Scores of some samples for all classes.

    labels : ndarray of shape (n_some,)
        Class index of each of these.

    Returns
    -------
    loose : ndarray of shape (n_loose,)
        Class indices.
    """
    others = labels[:, None] != np.arange(len(thresholds))
    # Scores that are the same for all classes do not tell one from the other.
    others &= np.isfinite(scores) & (scores != scores[:, :1]).any(axis=1)[:, None]
    accepted = (others & (scores >= thresholds)).sum(axis=0)
    loose = []
    accepts_all = accepted > NEARLY_ALL * others.sum(axis=0)
    for k in np.flatnonzero(accepts_all & np.isfinite(thresholds)):
        members = own[(y == k) & np.isfinite(own)]
        if len(members) >= FEWEST:
            low, middle, high = np.quantile(members, [0.25, 0.5, 0.75])
            # A parametric tail puts thresholds of tiny rates below all members.
            least = max(thresholds[k], members.min())
            if middle - least > FAR * (high - low) > 0:
                loose.append(k)
    return np.array(loose, dtype=np.intp)
