"""Prices from a user's own measurements: a power log, and the runs that ran while it was recorded."""

from snnprof.calibration.fit import DEFAULT_TERMS, Fit, Fitted, RunResidual, fitted
from snnprof.calibration.log import TEMPLATE, LoggedStretch, PowerLog, read_log
from snnprof.calibration.profile import Chip, profile_data, profile_text
from snnprof.calibration.work import TERMS, Work, work_of

__all__ = [
    "DEFAULT_TERMS", "TEMPLATE", "TERMS", "Chip", "Fit", "Fitted", "LoggedStretch", "PowerLog", "RunResidual", "Work",
    "fitted", "profile_data", "profile_text", "read_log", "work_of",
]  # fmt: skip
