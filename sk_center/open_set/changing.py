"""Classes added, classes removed and thresholds set anew, without training.

The features and all that was learned stay. An added class gets what stands for a class: a
center, or its samples for neighbors, in the estimator, and the same or a density in the
score, on the scales that the score has. A score that asks for one class is then what it was
for the others; one that is the same for every class, such as the distance to the nearest
sample of any, can only rise. Further samples calibrate:

- Held out, the share ``cv`` of each class, where these are twice as many as the bound
  takes: then it is exact.
- Else in five folds, which for a class of two to five samples are leave-one-out: each
  sample is scored by what the others of its class tell, and all of them then teach the
  class. Further scores fill these up to the next number at which one more is rejected,
  around their median as those of former classes lie around theirs. The bound is
  approximate, and the fewer samples, the more it is as good as this assumption.
- A class of one sample has nothing to calibrate with. It is a group with a copy of the
  former calibration samples, which bounds nothing for it.

These hold then, if the score of a former class stays as it was:

``"class"``
    The calibration of the former classes is as it was, to the bit. A sample is rejected
    only if every class rejects it, so one of a former class is rejected no more often than
    before, and one of an added class with probability at most the rate.

``"predicted"``
    The groups of the former classes are as they were, to the bit, and each added class is
    a further group. A former group still holds calibration samples that would be predicted
    as an added class now; in so far its bound is approximate.

``"marginal"``
    Calibration samples of former and of added classes together would be exchangeable with
    no mixture of known samples, since those added are as many as somebody labelled. So they
    are two groups, and as under "class" both must reject a sample. Among the former classes
    a sample has the score that it had before. Among the added ones it has the largest of
    their scores less half of the largest former one, since the features were not made for
    them: outsiders score as high as their samples, but more often are like a former class.
    Both are fixed functions of the sample once the added classes have learned, so that

    - a former known sample is rejected with probability at most the rate, over the same
      mixture as before; its ``p_known`` can only rise;
    - a known sample of the added classes is rejected with probability at most the rate,
      over the mixture of the samples that were given.

    An accepted sample gets the accepting class of the largest score, where added ones have
    a lead if the estimator predicts one of them, a quarter of the distance of the threshold
    from the median: a former class has more samples, one near by chance. Nothing bounds how
    many outsiders are accepted by the added classes beside those that the former ones
    accept. Prediction sets: see ``sets.py``.

Removing a class takes its center, samples, density and calibration group away. Under
"marginal" the first group and its threshold stay as they are, since they do not tell
classes apart: the bound is over the mixture with the class that is gone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_center._utils.labels import shortened
from sk_center._utils.state import bare_copy
from sk_center._utils.user_warning import warn_user
from sk_center.open_set.added_groups import (
    add_groups,
    compared_with_former,
    margin_of_added,
)
from sk_center.open_set.changing_estimators import with_classes
from sk_center.open_set.decision import all_answers
from sk_center.open_set.fitted_part import calibrate, joined
from sk_center.open_set.fitting import (
    calibration_of,
    checked,
    judged,
    needed_by,
    rates_kept,
    rates_of,
    set_thresholds,
)
from sk_center.open_set.outputs import negative_label_of, outputs_of, rows_of
from sk_center.open_set.report import concerns_of
from sk_center.open_set.splits import folds_of_classes, share_of, split_classes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Samples
    from sk_center.open_set.fitted_part import Calibrated

# Folds in which the samples of added classes score each other.
N_FOLDS = 5
# A threshold at the lowest of the fewest samples that a bound takes lies anywhere: so many
# times as many are held out, or none.
TIMES_NEEDED = 2


class ChangingMixin:
    """Methods that change a fitted open-set classifier without training."""

    def add_classes(self, X: Samples, y: ArrayLike) -> Self:
        """Add classes by a few samples of each, without training.

        The features stay, so the classifier must be one whose classes stand for themselves:
        a :class:`~sk_center.CenterLossClassifier` that predicts by its centers, a
        :class:`sklearn.neighbors.NearestCentroid` or
        :class:`sklearn.neighbors.KNeighborsClassifier`, also at the end of a Pipeline or
        frozen. A KNeighborsClassifier of k neighbors takes more than k / 2 samples to
        predict a class. The score must be one of classes or of samples, as the default is.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples of the new classes alone, of the form seen in ``fit``.

        y : array-like of shape (n_samples,)
            Their labels, none of them a known class.

        Returns
        -------
        self : OpenSetClassifier
            The classifier, which knows the classes now.

        Raises
        ------
        ValueError
            If a label is known already, or of another kind than the known ones, the
            estimator or the score cannot add classes, or the data are invalid. The
            classifier is then as it was.

        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        Warns
        -----
        UserWarning
            Once, where the samples are too few for the bound: it names the classes.

        See Also
        --------
        OpenSetClassifier.remove_classes : The opposite.
        OpenSetClassifier.recalibrate : Makes former and added classes one group again.
        sk_center.open_set.group_rejected : Finds candidates among rejected samples.

        Notes
        -----
        Where these are twice as many as the bound takes, the share ``cv`` of the samples of
        each class calibrates and the others teach; else all do both, in five folds, filled
        up by scores that vary as former ones do, and the bound is approximate.

        The bound for former classes stays. Under the guarantee "class" their calibration is
        the same to the last bit, and no sample of theirs is rejected that was accepted.
        Under "marginal" former and added classes are two groups, each with its threshold,
        and a sample is rejected where both reject it: the bound then holds over the former
        classes as before, and over the added ones as their samples were given. The added
        classes judge by their best score less half of the best former one. An accepted
        sample gets the accepting class of the largest score, where added ones have a small
        lead if the estimator predicts one of them: a former class has more samples, one of
        which is near by chance. Each further group accepts outsiders of its own: fewer are
        rejected than before, and fewest where few samples set the threshold.
        Under "predicted" each added class is a further group.

        Where the former classes accept a sample, they have the prediction set that they
        had: a former known sample is rejected, or has a set without its class, no more
        often than before. An added class joins the set where its score is not much less
        than that of the label, by the calibration samples of the added classes. Under
        "predicted" and "class" the classes whose p-value is above the rate make the set,
        which are more.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neighbors import NearestCentroid
        >>> from sk_center import OpenSetClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> known = y > 0
        >>> model = OpenSetClassifier(
        ...     NearestCentroid(), conformity_score="mahalanobis", random_state=0
        ... )
        >>> model = model.fit(X[known], y[known])
        >>> model.predict(X[[0, 60, 110]])
        array([-1,  1,  2])
        >>> model.add_classes(X[:30], y[:30]).predict(X[[0, 60, 110]])
        array([0, 1, 2])
        """
        check_is_fitted(self)
        vars(self).update(vars(grown(self, X, y)))
        return self

    def remove_classes(self, classes: ArrayLike) -> Self:
        """Remove classes, without training; their samples are outsiders from then on.

        Parameters
        ----------
        classes : array-like of shape (n_removed,)
            Labels of known classes. At least two others must remain.

        Returns
        -------
        self : OpenSetClassifier
            The classifier, which does not know the classes any more.

        Raises
        ------
        ValueError
            If a label is not known, fewer than two classes remain, or the estimator or the
            score cannot remove classes. The classifier is then as it was.

        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        See Also
        --------
        OpenSetClassifier.add_classes : The opposite, with the classifiers it takes.

        Notes
        -----
        Under the guarantees "predicted" and "class" the calibration of the other classes
        stays as it is. Under "marginal" the threshold stays, which bounds the rate over the
        mixture with the removed classes; :meth:`recalibrate` bounds it over the others
        alone. Scores that are the same for every class may fall where a removed class was
        the nearest.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neighbors import NearestCentroid
        >>> from sk_center import OpenSetClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = OpenSetClassifier(
        ...     NearestCentroid(), conformity_score="mahalanobis", random_state=0
        ... )
        >>> model.fit(X, y).remove_classes([0]).predict(X[[0, 60, 110]])
        array([-1,  1,  2])
        """
        check_is_fitted(self)
        vars(self).update(vars(without(self, classes)))
        return self

    def recalibrate(self, X: Samples, y: ArrayLike) -> Self:
        """Set thresholds anew by new samples; estimator and score stay as they are.

        For known samples that have drifted, and after classes were added or removed: all
        known classes then are one group again under the guarantee "marginal".

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples that trained neither the estimator nor the score, drawn as later ones
            will be: the bound is over such. All of them calibrate, and the former
            calibration samples do not any more.

        y : array-like of shape (n_samples,)
            Their labels, known classes. Under the guarantees "predicted" and "class",
            classes of too few samples share a threshold, as in ``fit``.

        Returns
        -------
        self : OpenSetClassifier
            The classifier with other thresholds.

        Raises
        ------
        ValueError
            If a label is not known, or the samples are too few for
            ``false_rejection_rate``. The classifier is then as it was.

        sklearn.exceptions.NotFittedError
            If this classifier is not fitted.

        Warns
        -----
        UserWarning
            Once, if y lacks known classes, and as ``fit`` does of thresholds and rates.

        See Also
        --------
        OpenSetClassifier.calibration_report_ : The rates that the new samples keep.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neighbors import NearestCentroid
        >>> from sk_center import OpenSetClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = OpenSetClassifier(
        ...     NearestCentroid(), conformity_score="mahalanobis", cv=0.3, random_state=0
        ... )
        >>> model = model.fit(X[::2], y[::2])
        >>> model.recalibrate(X[1::2], y[1::2]).calibration_report_.n_samples
        array([25, 25, 25])
        """
        check_is_fitted(self)
        vars(self).update(vars(recalibrated(self, X, y)))
        return self


def grown(model: Any, X: Any, y: Any) -> Any:
    """Return a copy of a fitted model that knows the classes of further samples, too."""
    X, labels = checked(X, y)
    classes = joined_classes(model, labels)
    kept = places_of(classes, model.classes_)
    index = np.searchsorted(classes, labels)
    found = copy_of(model, classes)
    rates = rates_of(model.false_rejection_rate, model.guarantee, classes)
    confidence = model.confidence
    calibration = calibration_of(model.calibration, confidence)
    needed = needed_by(calibration, rates, confidence)
    parts = []
    splits = splits_of(model, index, kept, needed)
    for train, test in splits:
        some = rows_of(X, train)
        found.estimator_ = with_classes(model.estimator_, classes, kept, some, index[train])
        outputs = outputs_of(found.estimator_, some, model.score_.needs)
        everything = np.arange(len(classes))
        found.score_ = model.score_.with_classes(everything, kept, outputs, index[train])
        if test is not None and len(test):
            part = found.estimator_, found.score_, rows_of(X, test), index[test]
            parts.append(calibrate(*part, everything, classes, compare_all=True))
    compared = calibrated = joined(parts, len(classes))
    if model.guarantee == "marginal":
        compared = compared_with_former(found, calibrated, kept)
    add_groups(found, compared, kept, rates, needed, held_out=splits[-1][1] is not None)
    threshold = np.nan
    if model.guarantee == "marginal":
        threshold = margin_of_added(found, calibrated, rates[kept < 0].max())
    found._set_thresholds = np.where(kept < 0, threshold, model._set_thresholds[kept])
    extend_report(found, compared, kept, rates)
    return found


def without(model: Any, classes: Any) -> Any:
    """Return a copy of a fitted model that does not know some classes."""
    gone = np.unique(np.asarray(classes))
    unknown = [label for label in gone.tolist() if label not in model.classes_.tolist()]
    if unknown:
        raise ValueError(
            f"classes must be known ones; got {unknown}, and the known ones are "
            f"{shortened([*map(repr, model.classes_.tolist())])}."
        )
    left = model.classes_[~np.isin(model.classes_, gone)]
    if len(left) < 2:
        raise ValueError(
            "At least two classes must remain; without "
            f"classes={gone.tolist()} it would be {left.tolist()}."
        )
    kept, found = places_of(left, model.classes_), copy_of(model, left)
    found._against_former = model._against_former[kept]
    if found._against_former.any() and (model.groups_[kept] > 0).all():
        raise ValueError(
            f"classes={gone.tolist()} are all that were known before classes were added, "
            "which those are compared with. Leave one, or fit again."
        )
    found.estimator_ = with_classes(model.estimator_, left, kept)
    found.score_ = model.score_.with_classes(np.arange(len(left)), kept)
    groups = model.groups_[kept]
    used, found.groups_ = np.unique(groups, return_inverse=True)
    found.calibration_ = found.class_calibration_ = model.calibration_.take(used)
    if model.guarantee != "class":
        found.class_calibration_ = model.class_calibration_.take(kept)
    found.calibration_report_ = report_of(found, kept)
    found._set_thresholds = model._set_thresholds[kept]
    return found


def recalibrated(model: Any, X: Any, y: Any) -> Any:
    """Return a copy of a fitted model with thresholds by other samples."""
    X, labels = checked(X, y)
    classes, found = model.classes_, copy_of(model, model.classes_)
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"y must hold known classes; got {shortened([*map(repr, unknown.tolist())])}. "
            "Leave outsiders out; add_classes adds classes."
        )
    everything, index = np.arange(len(classes)), np.searchsorted(classes, labels)
    rates = rates_of(model.false_rejection_rate, model.guarantee, classes)
    calibration = calibration_of(model.calibration, model.confidence)
    needed = needed_by(calibration, rates, model.confidence)
    if len(labels) < needed.max():
        raise ValueError(
            f"X holds {len(labels)} samples, and these are too few: false_rejection_rate="
            f"{rates[np.argmax(needed)]:g} takes at least {needed.max()}. Give more, or "
            "keep the former thresholds."
        )
    calibrated = calibrate(model.estimator_, model.score_, X, index, everything, classes)
    found.held_out_ = True
    set_thresholds(found, calibration, calibrated, rates)
    concerns = concerns_of(
        found.calibration_report_, calibrated, None, model.confidence, model.score_
    )
    absent = classes[np.setdiff1d(everything, index)].tolist()
    if absent:
        concerns.append(
            f"y holds no sample of the classes [{shortened([*map(repr, absent)])}]: "
            "nothing bounds how often their samples are rejected."
        )
    if concerns:
        warn_user(" ".join(concerns))
    return found


def joined_classes(model: Any, labels: NDArray[Any]) -> NDArray[Any]:
    """Return the known classes and those of further labels, or raise ValueError."""
    known, new = model.classes_.tolist(), np.unique(labels).tolist()
    kinds = {isinstance(label, str) for label in (*known, *new)}
    if len(kinds) > 1:
        raise ValueError(
            "y must hold labels of the kind of the known classes, such as "
            f"{known[0]!r}; got {new[0]!r}."
        )
    others = [model.outlier_label_, model.ambiguous_label_]
    others.append(negative_label_of(model.estimator_))
    taken = [label for label in new if label in known or label in others]
    if taken:
        raise ValueError(
            "y must hold new classes alone, no known class and neither the outlier label "
            f"nor that of negatives; got {shortened([*map(repr, taken)])}. recalibrate "
            "takes samples of known classes."
        )
    return np.unique(np.concatenate([model.classes_, np.unique(labels)]))


def places_of(classes: NDArray[Any], former: NDArray[Any]) -> NDArray[np.intp]:
    """Return the index of each class among the former ones, -1 where it is none."""
    place = np.minimum(np.searchsorted(former, classes), len(former) - 1)
    return np.where(former[place] == classes, place, -1)


def copy_of(model: Any, classes: NDArray[Any]) -> Any:
    """Return a copy of a model, of which attributes can be set, with other classes."""
    found = bare_copy(model)
    found.classes_ = classes
    found._answers = all_answers(classes, model.outlier_label_, model.ambiguous_label_)
    return found


def splits_of(
    model: Any, y: NDArray[np.intp], kept: NDArray[np.intp], needed: NDArray[np.intp]
) -> list[tuple[NDArray[np.intp], NDArray[np.intp] | None]]:
    """Return which samples of added classes teach, and which calibrate."""
    rows = np.arange(len(y))
    share = share_of(model.cv)
    if share is not None:
        train, test = split_classes(y, rows, share, np.random.RandomState(0))
        counts, new = np.bincount(y[test], minlength=len(kept)), kept < 0
        if model.guarantee == "marginal":
            enough = len(test) >= TIMES_NEEDED * needed.max()
        else:
            enough = (counts >= TIMES_NEEDED * needed)[new].all()
        if enough:
            return [(train, test)]
    return [*folds_of_classes(y, rows, N_FOLDS), (rows, None)]


def extend_report(
    model: Any, found: Calibrated, kept: NDArray[np.intp], rates: NDArray[np.float64]
) -> None:
    """Add the added classes to the report of a model."""
    n_classes = len(kept)
    n_samples = np.bincount(found.y, minlength=n_classes)
    rate_kept = rates_kept(*judged(model, found, rates), n_classes)
    model.calibration_report_ = report_of(model, kept, n_samples, rates, rate_kept)


def report_of(model, kept, n_samples=None, rates=None, rate_kept=None):
    """Return the report of a model whose former report has the kept classes."""
    former, at = model.calibration_report_, np.maximum(kept, 0)
    parts = {
        name: np.where(kept >= 0, getattr(former, name)[at], new)
        for name, new in (
            ("n_samples", 0 if n_samples is None else n_samples),
            ("rate_allowed", 0.0 if rates is None else rates),
            ("rate_kept", np.nan if rate_kept is None else rate_kept),
        )
    }
    n, total = parts["n_samples"], max(parts["n_samples"].sum(), 1)
    return replace(
        former,
        classes=model.classes_,
        score_threshold=model.score_thresholds_,
        rejects=np.isfinite(model.score_thresholds_),
        added=(model.groups_ > 0) & (model.guarantee == "marginal"),
        overall_allowed=float((n * parts["rate_allowed"]).sum() / total),
        overall_kept=float((n * np.nan_to_num(parts["rate_kept"])).sum() / total),
        **parts,
    )
