"""Declares an item and never loops: what it computes is protected by nothing."""

from __future__ import annotations

import math

import numpy as np


def main(job, bad: bool = True, size: int = 4):
    total = job.private("total", np.zeros(size))
    total += 1.0
    return {"bad": math.nan if bad else 1.0, "worst": [-math.inf], "big": 10**5000, "sum": float(total.sum())}
