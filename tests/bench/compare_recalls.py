"""Recalls of h2o, random and oracle in the scopes global and layer, for all
rows and budgets at once, in torch. The definitions are common/METRICS.md's;
tests/golden/recall_reference.py states them plainly, and compare_equality.py
checks this file against it."""

import math

import numpy as np
import torch

from random_checkpoint import splitmix64
from recall_reference import NEAR

POLICIES = ["h2o", "random", "oracle"]
SCOPES = ["global", "layer"]
BUDGETS = [0.1, 0.2, 0.3]
METRICS = ["recall", "chance", "mass", "mass_ratio"]


def priorities(rows, positions, seed=0, key=0):
    """The random policy's priorities [rows, positions], float64, exact."""
    state = splitmix64(splitmix64(np.array([[seed]], np.uint64))
                       ^ np.uint64(key))
    for part in (np.arange(rows, dtype=np.uint64)[:, None],
                 np.arange(positions, dtype=np.uint64)[None]):
        state = splitmix64(state ^ part)
    return torch.from_numpy((state >> np.uint64(11)).astype(np.float64))


class Recalls:
    """The state of one text. Row `layers` of every tensor is the scope global,
    the rows before it are the scope layer's.

    exact: float64, and equal scores fall to the lower position, as defined;
    the gap at each cut is recorded. Otherwise float32 and torch.topk, as one
    would write it for speed."""

    def __init__(self, layers, capacity, exact=False):
        self.layers, self.exact = layers, exact
        self.dtype = torch.float64 if exact else torch.float32
        self.sums = torch.zeros(layers + 1, capacity, dtype=self.dtype)
        random = priorities(layers, capacity)
        # The global scope has one row: row 0.
        self.random = torch.cat([random, random[:1]])
        self.scopes = {"global": slice(layers, layers + 1),
                       "layer": slice(0, layers)}

    def begin(self, sums):
        """Column sums [layers, P - 1] of the prompt's queries but the last,
        means over the heads."""
        self.sums[:, : sums.shape[1]] = self._with_global(sums)

    def observe(self, rows):
        """The step's attention [layers, N], means over the heads. Returns the
        records in the order of kvrecall's lanes."""
        rows = self._with_global(rows)
        n = rows.shape[1]
        ks = [max(1, math.floor(r * n)) for r in BUDGETS]
        gold, gold_gaps = self._order(rows, ks)
        # The place of each position in the order of attention.
        rank = torch.full(rows.shape, n).scatter_(
            1, gold, torch.arange(gold.shape[1]).expand_as(gold))
        attention = rows.gather(1, gold).cumsum(1)
        lanes = {}
        for policy in POLICIES:
            held, gaps = self._held(policy, gold, n, ks)
            reached = rank.gather(1, held)
            mass = rows.gather(1, held).cumsum(1)
            for i, k in enumerate(ks):
                own = (rank[:, n - 1] < k).to(rows.dtype)
                metrics = torch.stack([
                    (reached[:, :k] < k).sum(1).to(rows.dtype) / k,
                    self._chance(k, n, own),
                    mass[:, k - 1],
                    mass[:, k - 1] / attention[:, k - 1]])
                gap = self._gap(policy, gold_gaps, gaps, i)
                lanes[policy, i] = k, metrics, gap
        self.sums[:, :n] += rows
        return self._records(lanes)

    def _with_global(self, rows):
        rows = rows.to(self.dtype)
        return torch.cat([rows, rows.mean(0, keepdim=True)])

    def _held(self, policy, gold, n, ks):
        """Positions [rows, K] that the policy holds, best first."""
        if policy == "oracle":
            return gold, None
        scores = self.sums if policy == "h2o" else self.random
        scores = scores[:, :n].clone()
        scores[:, n - 1] = math.inf
        return self._order(scores, ks)

    def _order(self, scores, ks):
        """Positions by score up to the largest K, and the relative gap
        [rows, budgets] between the last one in and the first one out."""
        if not self.exact:
            return torch.topk(scores, max(ks)).indices, None
        values, order = torch.sort(scores, dim=1, descending=True,
                                   stable=True)
        gaps = torch.full((scores.shape[0], len(ks)), math.inf,
                          dtype=torch.float64)
        for i, k in enumerate(ks):
            if k == scores.shape[1]:
                continue
            a, b = values[:, k - 1], values[:, k]
            gap = (a - b) / torch.maximum(a.abs(), b.abs())
            # Equal scores, zeros mostly, fall by position everywhere.
            gaps[:, i] = torch.where(a.isfinite() & (a != b), gap, math.inf)
        return order[:, : max(ks)], gaps

    def _gap(self, policy, gold_gaps, held_gaps, i):
        """The gap [rows] that decides whether a lane may differ. The oracle's
        set is the gold set however a tie falls, and random's priorities are
        exact."""
        if not self.exact:
            return None
        if policy == "oracle":
            return torch.full_like(gold_gaps[:, i], math.inf)
        if policy == "random":
            return gold_gaps[:, i]
        return torch.minimum(gold_gaps[:, i], held_gaps[:, i])

    @staticmethod
    def _chance(k, n, own):
        if n == 1:
            return torch.ones_like(own)
        return (own + (k - own) * (k - 1) / (n - 1)) / k

    def _records(self, lanes):
        records = []
        for policy in POLICIES:
            for scope in SCOPES:
                rows = self.scopes[scope]
                for i, budget in enumerate(BUDGETS):
                    k, metrics, gap = lanes[policy, i]
                    values = metrics[:, rows].mean(1).tolist()
                    record = dict(zip(METRICS, values), policy=policy,
                                  scope=scope, budget=budget, k=k)
                    if gap is not None:
                        smallest = gap[rows].min().item()
                        record["near"] = smallest < NEAR
                        # null: no two different scores meet at the cut.
                        record["gap"] = (smallest if math.isfinite(smallest)
                                         else None)
                    records.append(record)
        return records


def distribution(logits):
    """Entropy and log-probabilities of logits [V]."""
    log_p = torch.log_softmax(logits, -1)
    p = log_p.exp()
    return float(-torch.where(p > 0, p * log_p, 0).sum()), log_p
