"""One moving-average center per class, kept as a buffer of a torch module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from sk_center._utils.processes import gather_rows, gather_sizes
from sk_center._utils.user_warning import warn_user
from sk_center.centers.batch import (
    check_batch,
    deviations,
    has_squares,
    hidden,
    is_positive,
    sum_of_squares,
)
from sk_center.centers.first_centers import first_centers
from sk_center.centers.update_rules import UPDATE_RULES, steps_to_mean

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from sk_center._utils.torch_types import FirstCenters
    from sk_center._utils.types import UpdateRule


class Center(torch.nn.Module):
    """Keep one moving-average center per class.

    A :class:`Center` behaves as :class:`torch.nn.BatchNorm1d` does: its centers are
    a buffer, not a parameter. They travel with ``state_dict`` and ``.to(device)``,
    no optimizer sees them, training mode updates them once per batch without a
    gradient, and ``eval()`` freezes them.

    Parameters
    ----------
    feature_dim : int
        Number of features D of each sample, the width of the layer that gives them.

    center_num : int
        Number of classes C. The centers take ``4 * C * D`` bytes. The time of
        :func:`~sk_center.losses.center_loss` and :meth:`deviation` does not grow with C;
        :meth:`forward` copies all centers.

    alpha : float, default=0.9
        Share of the old center that an update retains, in [0, 1). Larger values make
        centers steadier, but let them lag behind features that change. With
        ``update="ema"`` a center is about the mean of the last ``1 / (1 - alpha)`` batches
        that held its class; with 0 it is the mean of the last one. ``"sum"`` and ``"wen"``
        take other steps, see ``update``, and with ``"sum"`` a small alpha diverges. Not
        used by ``"cumulative"`` and ``"fixed"``.

    center : array-like or tensor of shape (center_num, feature_dim), "simplex" or \
            callable, default=None
        The first centers.

        - An array or a tensor is taken as known: the first batch moves it by the ordinary
          step.
        - So is ``"simplex"``, the corners of a regular simplex of radius 10. For another
          radius give the array, ``simplex_etf((center_num, feature_dim), radius=3)``, of
          :func:`~sk_center.centers.simplex_etf`.
        - A callable gets the shape ``(center_num, feature_dim)`` and returns such an array.
          Like the default, Glorot uniform with bound
          ``sqrt(6 / (center_num + feature_dim))``, it is only a starting point, which the
          first batch of a class replaces; only :meth:`forward` with ``"sum"`` and ``"wen"``
          moves it by their step.

        With ``update="fixed"`` the centers never change. Give anchors then, an array or
        ``"simplex"``: the default leaves random points near zero.

    name : str, default=None
        A name for the representation and the warnings of this module.

    update : {"ema", "sum", "wen", "cumulative", "fixed"}, default="ema"
        How a batch moves the centers. ``"ema"`` works for any batch size; ``"sum"`` and
        ``"wen"`` reproduce other programs, ``"cumulative"`` is for features that do not
        change, ``"fixed"`` for anchors. With n the number of samples
        of a class in the batch and m the mean of their features, a class that is present
        moves by

        - ``"ema"``: ``s * (m - c)``, ``s = (1 - alpha) / (1 - alpha ** t)``, where t
          counts the batches that held the class. The division removes the start
          from the average, so the first batch replaces a random start by m. Stable
          for every batch size. Given centers move by ``s = 1 - alpha``.
        - ``"sum"``: ``(1 - alpha) * sum(x - c)`` over its samples, so duplicates
          accumulate. Diverges when ``n * (1 - alpha) > 2``; a warning says so, once.
        - ``"wen"``: ``(1 - alpha) * n / (1 + n) * (m - c)``, equation 4 of [1]_,
          whose alpha is the step ``1 - alpha``.
        - ``"cumulative"``: ``n / N * (m - c)``, where N counts the samples of the
          class so far: the exact running mean of features that do not change.
        - ``"fixed"``: nothing. The centers are anchors, to be given as ``center``.

    Attributes
    ----------
    center : tensor of shape (center_num, feature_dim)
        The centers, float32 whatever the dtype of the features: in half precision
        ``c + (1 - alpha) * (m - c)`` rounds back to c and centers stall.

    count : tensor of shape (center_num,)
        Batches (``"cumulative"``: samples) of each class so far, int64.

    informed : tensor of shape ()
        Whether the first centers were given, as an array or ``"simplex"``.

    process_group : torch.distributed.ProcessGroup, default=None
        Processes of which each has a part of every batch, as in data-parallel training. If
        set on all of them, an update equals that of one process with the joint batch, and
        leaves the same centers everywhere, to the last bit. None means a single process;
        copies and pickles have None.

    Raises
    ------
    ValueError
        If a parameter is out of range, ``center`` has another shape or is not finite, or
        ``feature_dim`` is too small for ``"simplex"``, which needs ``center_num - 1``.

    See Also
    --------
    sk_center.losses.center_loss : The loss that pulls features to their center.
    CenterLossClassifier : The classifier trained with it.
    ShardedCenter : For more classes than one device holds.

    Notes
    -----
    Rows of features that are not finite never reach the centers. Labels are class
    indices; a negative one is an error, never "the last class".

    With a ``process_group`` every process calls the module at every step, with an empty
    batch too. Sums and counts of all classes are sent if there are fewer classes than
    samples in the joint batch, else its features. ``DistributedDataParallel`` would
    overwrite the centers with those of rank 0 before every step, and so hide differences:
    prevent that with ``broadcast_buffers=False``. :class:`~sk_center.CenterLossNet` does
    all of this itself.

    References
    ----------
    .. [1] Y. Wen, K. Zhang, Z. Li, Y. Qiao. "A discriminative feature learning
       approach for deep face recognition". ECCV 2016.

    Examples
    --------
    >>> import torch
    >>> from sk_center import Center
    >>> center = Center(feature_dim=2, center_num=3, center=torch.zeros)
    >>> features = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    >>> before = center(features, torch.tensor([0, 0, 2]))
    >>> center.predict()[[0, 2]]
    tensor([[2., 0.],
            [0., 5.]])
    """

    center: Tensor
    count: Tensor
    informed: Tensor
    _tally: Tensor
    process_group: ProcessGroup | None = None
    # Samples of each process in the next update, if known beforehand.
    _part_sizes = None

    def __init__(
        self,
        feature_dim: int,
        center_num: int,
        alpha: float = 0.9,
        center: FirstCenters | None = None,
        name: str | None = None,
        *,
        update: UpdateRule = "ema",
    ) -> None:
        super().__init__()
        for parameter, value in (("feature_dim", feature_dim), ("center_num", center_num)):
            if int(value) != value or value < 1:
                raise ValueError(f"{parameter} must be an integer >= 1; got {value!r}.")
        if not 0 <= alpha < 1:
            raise ValueError(
                f"alpha must be in [0, 1), the share of the old center that is kept; "
                f"got {alpha!r}. Centers that never move are update='fixed'."
            )
        if update not in UPDATE_RULES:
            raise ValueError(f"update must be one of {UPDATE_RULES}; got {update!r}.")
        self.feature_dim = int(feature_dim)
        self.center_num = int(center_num)
        self.alpha = float(alpha)
        self.name = name
        self.update = update
        informed = center is not None and not callable(center)
        self.register_buffer(
            "center", first_centers(center, (self.center_num, self.feature_dim))
        )
        self.register_buffer("count", torch.zeros(self.center_num, dtype=torch.int64))
        self.register_buffer("informed", torch.tensor(informed))
        # Memory for counts, to avoid allocating C numbers in each step.
        tally = torch.zeros(self.center_num, dtype=torch.float32)
        self.register_buffer("_tally", tally, persistent=False)
        self._warned, self._n_updates = False, 0

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the centers as they were before this batch; update them in training.

        Parameters
        ----------
        features : tensor of shape (n_samples, feature_dim)
            Features of the batch, of any floating dtype.

        labels : tensor of shape (n_samples,)
            Class index of each sample, of any integer dtype.

        Returns
        -------
        centers : tensor of shape (center_num, feature_dim)
            A copy of the centers before the update, float32, without gradient.

        Raises
        ------
        TypeError
            If an argument is no tensor.

        ValueError
            If the shapes do not match, features are no real floats, labels no integers, or
            one is outside [0, center_num), for which compiled code raises RuntimeError.
        """
        labels = check_batch(features, labels, self.center.shape)
        before = self.center.clone()
        deviation = deviations(features, self.center, labels)
        if self.training and self.update != "fixed":
            if self.process_group is not None:
                self._update_together(deviation, labels, None)
            else:
                self._update(deviation, labels, self.count.index_select(0, labels), 0)
        return before

    def predict(self) -> Tensor:
        """Return the stored centers; never updates.

        Returns
        -------
        centers : tensor of shape (center_num, feature_dim)
            A copy of the centers, float32.
        """
        return self.center.clone()

    def deviation(
        self, features: Tensor, labels: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return each sample minus the center of its class; update in training.

        The fast path of the loss: it costs O(n_samples * feature_dim) and never touches the
        centers of other classes. Unlike :meth:`forward` it treats a center that is still
        random separately: a class that appears for the first time starts at its batch mean
        under every rule except ``"fixed"``, and in that batch its samples have a deviation
        of zero, so that a random center never pulls on a feature.

        Parameters
        ----------
        features : tensor of shape (n_samples, feature_dim)
            Features of the batch, of any floating dtype.

        labels : tensor of shape (n_samples,)
            Class index of each sample, of any integer dtype.

        sample_weight : tensor of shape (n_samples,), default=None
            Non-negative weights of the samples within their class mean.

        Returns
        -------
        deviation : tensor of shape (n_samples, feature_dim)
            ``features - center[labels]`` with the centers before the update, without
            gradient; float64 for float64 features, else float32.

        Raises
        ------
        TypeError
            If an argument is no tensor.

        ValueError
            If the shapes do not match, features are no real floats, labels no integers, or
            one is outside [0, center_num), for which compiled code raises RuntimeError.
        """
        return self.pull(features, labels, sample_weight)[0]

    def pull(
        self, features: Tensor, labels: Tensor, sample_weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what :meth:`deviation` does, and its sum of squares; update in training.

        Parameters
        ----------
        features : tensor of shape (n_samples, feature_dim)
            Features of the batch, of any floating dtype.

        labels : tensor of shape (n_samples,)
            Class index of each sample.

        sample_weight : tensor of shape (n_samples,), default=None
            Non-negative weights of the samples within their class mean.

        Returns
        -------
        deviation : tensor of shape (n_samples, feature_dim)
            As of :meth:`deviation`.

        total : tensor of shape ()
            Sum of the squares in it, each row times its weight.

        Raises
        ------
        TypeError
            If an argument is no tensor.

        ValueError
            If the shapes do not match, features are no real floats, labels no integers, or
            one is outside [0, center_num), for which compiled code raises RuntimeError.
        """
        labels = check_batch(features, labels, self.center.shape, sample_weight)
        if sample_weight is not None:
            sample_weight = sample_weight.detach()
        deviation = deviations(features, self.center, labels)
        together = self.training and self.process_group is not None
        if self.update == "fixed" or not (len(labels) or together):
            return deviation, sum_of_squares(deviation, sample_weight)
        seen = self.count.index_select(0, labels)
        if together:
            unseen = (seen == 0) & ~self.informed
            self._update_together(deviation, labels, sample_weight, first="mean")
            deviation *= ~unseen[:, None]  # where NaN stays NaN
            return deviation, sum_of_squares(deviation, sample_weight)
        # If reading a value does not wait for a device, it saves much arithmetic.
        looks = not hidden(labels)
        total: Any = sum_of_squares(deviation, sample_weight) if looks else None
        least = int(seen.min()) if looks else 0
        # "and not informed" as a comparison: one kernel less.
        unseen = None if least else (seen == 0) > self.informed
        if self.training:
            clean = looks and total.item() <= torch.finfo(torch.float32).max
            self._update(deviation, labels, seen, least, sample_weight, unseen, clean)
        if unseen is not None and (not looks or unseen.any()):
            deviation *= ~unseen[:, None]  # where NaN stays NaN
            total = sum_of_squares(deviation, sample_weight)
        return deviation, total

    @property
    def known(self) -> Tensor:
        """Which centers are more than a random start, bool of shape (center_num,)."""
        known = (self.count > 0) | self.informed
        return torch.ones_like(known) if self.update == "fixed" else known

    def extra_repr(self) -> str:
        """Return the parameters for the representation of the module.

        Returns
        -------
        parameters : str
            Names and values.
        """
        name = "" if self.name is None else f", name={self.name!r}"
        return (
            f"feature_dim={self.feature_dim}, center_num={self.center_num}, "
            f"alpha={self.alpha}, update={self.update!r}{name}"
        )

    def _update(
        self, deviation, labels, seen, least, weight=None, unseen=None, clean=False
    ):
        """Move the centers of the classes in the batch.

        ``least`` is a lower bound of ``seen``, ``unseen`` marks the samples whose class
        starts at its batch mean, ``clean`` means that all deviations are finite.
        """
        counted = finite = None  # all
        if not clean:
            counted = finite = has_squares(deviation)
        if weight is not None:
            weight = weight.to(torch.float32)
            usable = is_positive(weight)
            usable = usable if finite is None else finite & usable
            weight = torch.where(usable, weight, 0.0)
            # Relative to the largest, so that no sum overflows.
            weight = weight / weight.amax().clamp(min=torch.finfo(torch.float32).tiny)
            counted = weight > 0
        n = self._class_totals(labels, counted)
        some = n if counted is None else n.clamp(min=1)  # no samples, no move
        # A class moves to its batch mean in one step, or by a fraction.
        steps = self._steps(some, seen, least)
        if unseen is not None:
            steps.masked_fill_(unseen, 1.0)
        divisor = some * steps
        if weight is None:
            moves = deviation / divisor[:, None]
        else:
            totals = self._class_totals(labels, weight)
            share = n * (weight / torch.where(counted, totals, 1.0))
            moves = deviation * (share / divisor)[:, None]
        if finite is not None:
            moves.masked_fill_(~finite[:, None], 0.0)
        self.center.index_add_(0, labels, moves.to(torch.float32))
        if self.update == "cumulative":
            one = torch.ones_like(labels) if counted is None else counted.to(torch.int64)
            self.count.index_add_(0, labels, one)
        else:  # every sample of a class writes the same number
            self.count.index_copy_(0, labels, seen + (1 if counted is None else n > 0))
        if self.update == "sum":
            self._warn_of_divergence(n)

    def _update_together(self, deviation, labels, weight, first=None):
        """Move the centers by the batches of all processes together.

        ``first="mean"`` starts a class at its batch mean.
        """
        sizes = self._part_sizes
        if sizes is None:
            sizes = gather_sizes(len(labels), labels.device, self.process_group)
        if not sum(sizes):
            return
        n_own = sizes[dist.get_rank(self.process_group)]
        deviation, labels = deviation[:n_own], labels[:n_own]
        share = torch.ones_like(labels, dtype=deviation.dtype)
        if weight is not None:
            share = weight[:n_own].to(deviation.dtype)
        if sum(sizes) <= self.center_num:
            rows = torch.cat([deviation, share[:, None]], dim=1)
            rows, labels = gather_rows(rows, labels, sizes, self.process_group)
            deviation, share = rows[:, :-1], rows[:, -1]
            seen = self.count.index_select(0, labels)
            unseen = (seen == 0) & ~self.informed if first == "mean" else None
            self._update(deviation, labels, seen, 0, share, unseen)
        else:
            self._update_by_sums(deviation, labels, share, first)

    def _update_by_sums(self, deviation, labels, share, first):
        """Move all centers by the sums over their classes, of all processes together."""
        counted = has_squares(deviation) & is_positive(share)
        moves = (deviation * share[:, None]).masked_fill_(~counted[:, None], 0.0)
        share = torch.where(counted, share, 0.0)
        rows = torch.cat([moves, share[:, None], counted[:, None]], dim=1)
        sums = rows.new_zeros(self.center_num, rows.shape[1]).index_add_(0, labels, rows)
        dist.all_reduce(sums, group=self.process_group)
        n = sums[:, -1]
        steps = self._steps(n.clamp(min=1), self.count, 0)
        if first == "mean":
            steps = torch.where((self.count == 0) & ~self.informed, 1.0, steps)
        divisor = torch.where(n > 0, steps * sums[:, -2], 1.0)
        self.center += (sums[:, :-2] / divisor[:, None]).to(torch.float32)
        self.count += (n if self.update == "cumulative" else n > 0).to(torch.int64)
        if self.update == "sum":
            self._warn_of_divergence(n)

    def _steps(self, n, seen, least):
        return steps_to_mean(self.update, self.alpha, n, seen, least, self.informed)

    def _class_totals(self, labels, values=None):
        """Sum ``values``, by default ones, over each class: its sum for every sample."""
        if values is None:
            values = torch.ones(len(labels), dtype=torch.float32, device=labels.device)
        self._tally.index_fill_(0, labels, 0.0)
        self._tally.index_add_(0, labels, values.to(torch.float32))
        return self._tally.index_select(0, labels)

    def _warn_of_divergence(self, n):
        if self._warned or torch.compiler.is_compiling() or n.numel() == 0:
            return
        # Reading a value waits for a device, so it is checked after 1, 2, 4, ... updates.
        self._n_updates += 1
        if hidden(n) and self._n_updates & (self._n_updates - 1):
            return
        largest = int(n.max())
        if largest * (1 - self.alpha) > 2:
            self._warned = True
            name = "" if self.name is None else f" of {self.name!r}"
            warn_user(
                f"The centers{name} diverge with update='sum': a batch held {largest} "
                f"samples of one class, and {largest} * (1 - alpha) = "
                f"{largest * (1 - self.alpha):.3g} > 2. Use update='ema', an alpha of at "
                f"least {1 - 2 / largest:.4g}, or smaller batches.",
                RuntimeWarning,
            )

    def __getstate__(self):
        of_processes = ("process_group", "_part_sizes", "_update_together")
        return {
            name: value
            for name, value in super().__getstate__().items()
            if name not in of_processes
        }

    def _apply(self, fn, recurse=True):
        # .half(), .double() and .to(dtype) arrive here: centers follow the device of
        # the module but stay float32.
        center, tally = self.center, self._tally
        super()._apply(fn, recurse)
        if self.center.dtype != torch.float32:
            self.center = center.to(self.center.device)
            self._tally = tally.to(self._tally.device)
        return self
