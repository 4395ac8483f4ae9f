#!/usr/bin/env python3
"""Correlations, their p and ROC areas as SciPy and NumPy compute them.

Writes statistics.json beside this file: cases of random and degenerate columns
with the figures that common/analysis has to give. Needs numpy and scipy.

    python3 -m venv venv && venv/bin/pip install numpy scipy
    venv/bin/python tests/golden/statistics_golden.py

(Not statistics.py: that would be Python's own module of that name to every
script of this folder.)
"""

import json
import pathlib
import sys

import numpy as np
import scipy
from scipy import stats


def partial(x, y, controls):
    """r of the residuals of least-squares fits, and its two-sided p."""
    n = len(x)
    design = np.column_stack([np.ones(n)] + controls)
    residuals = []
    for column in (x, y):
        fit, *_ = np.linalg.lstsq(design, column, rcond=None)
        residuals.append(column - design @ fit)
    r = stats.pearsonr(*residuals).statistic
    freedom = n - 2 - len(controls)
    t = r * np.sqrt(freedom / ((1 - r) * (1 + r)))
    return r, 2 * stats.t.sf(abs(t), freedom)


def within(x, y, first):
    """r of the columns less the means of their samples."""
    x, y = x.copy(), y.copy()
    for begin, end in zip(first, first[1:]):
        if begin < end:
            x[begin:end] -= x[begin:end].mean()
            y[begin:end] -= y[begin:end].mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def within_ranks(x, y, first):
    x, y = x.copy(), y.copy()
    for begin, end in zip(first, first[1:]):
        x[begin:end] = stats.rankdata(x[begin:end])
        y[begin:end] = stats.rankdata(y[begin:end])
    return within(x, y, first)


def roc_area(signal, event):
    """Mann and Whitney's U over the number of pairs."""
    u = stats.mannwhitneyu(signal[event], signal[~event]).statistic
    return u / (event.sum() * (~event).sum())


def case(name, x, y, first, tau):
    x, y = np.asarray(x, float), np.asarray(y, float)
    out = {"name": name, "x": x.tolist(), "y": y.tolist(), "first": first,
           "tau": tau}
    position = np.arange(1, len(x) + 1, dtype=float)
    controls = [np.log(position + 100), np.sqrt(position)]
    out["controls"] = [c.tolist() for c in controls]
    varied = len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0
    if varied:
        pearson = stats.pearsonr(x, y)
        spearman = stats.spearmanr(x, y)
        out["pearson"] = [pearson.statistic, pearson.pvalue]
        out["spearman"] = [spearman.statistic, spearman.pvalue]
        out["slope"] = stats.linregress(x, y).slope
        if len(x) > 5:
            out["partial"] = list(partial(x, y, controls))
        if len(first) > 2:
            out["within"] = within(x, y, first)
            out["within_ranks"] = within_ranks(x, y, first)
    event = y < tau
    if event.any() and not event.all():
        out["roc_area"] = roc_area(x, event)
    return out


def random_cases():
    rng = np.random.default_rng(20261125)
    for i, n in enumerate([2, 3, 4, 5, 10, 37, 200, 1000]):
        for shape in ("normal", "entropy", "ties", "offset"):
            x, y = rng.normal(size=n), rng.normal(size=n)
            y = y - 0.3 * x
            if shape == "entropy":  # as a run has them
                x = rng.gamma(0.7, 1.0, size=n)
                y = np.clip(np.round(0.8 - 0.1 * x
                                     + rng.normal(scale=0.2, size=n), 2), 0, 1)
            if shape == "ties":
                x, y = np.round(x), np.round(y)
            if shape == "offset":  # means far above the spreads
                x, y = x + 1e6, y + 1e4
            cuts = sorted(rng.integers(0, n + 1, size=min(n - 1, 2 + i)))
            first = [0] + [int(c) for c in cuts] + [n]
            yield case(f"{shape}, {n}", x, y, first, float(np.median(y)))


def degenerate_cases():
    yield case("constant x", [2.0] * 6, range(6), [0, 3, 6], 3)
    yield case("constant y", range(6), [0.25] * 6, [0, 3, 6], 0.5)
    yield case("one pair", [1.0], [2.0], [0, 1], 3)
    yield case("perfect", range(8), [1 - i / 8 for i in range(8)], [0, 4, 8], 0.5)


def main():
    cases = list(random_cases()) + list(degenerate_cases())
    path = pathlib.Path(__file__).with_name("statistics.json")
    made_with = {"numpy": np.__version__, "scipy": scipy.__version__}
    # Null where SciPy has nothing but NaN.
    text = json.dumps({"made_with": made_with, "cases": cases})
    path.write_text(text.replace("NaN", "null") + "\n")
    print(f"{path}: {len(cases)} cases", file=sys.stderr)


if __name__ == "__main__":
    main()
