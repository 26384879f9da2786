"""Watch whether samples of a model in service still resemble the calibration samples.

:class:`~sk_center.RejectionMonitor` bets against it, sample by sample, and raises an alarm
once it has won more than chance allows.
"""

from sk_center.monitoring.martingales import Martingales as Martingales
from sk_center.monitoring.monitor import RejectionMonitor
from sk_center.monitoring.ranks import Bag as Bag

__all__ = ["RejectionMonitor"]
