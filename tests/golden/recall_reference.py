"""Plain NumPy statement of the telemetry's definitions (common/METRICS.md),
from whole attention matrices. The ground truth of the parity tests: slow,
obvious, and independent of the C++ code."""

import functools
import math

import numpy as np

TINY = 2.0**-126
NEAR = 1e-5  # relative gap at the cut below which a set may differ


def splitmix64(x):
    m = 0xFFFFFFFFFFFFFFFF
    x = (x + 0x9E3779B97F4A7C15) & m
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & m
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & m
    return x ^ (x >> 31)


@functools.cache
def priority(seed, key, row, position):
    state = splitmix64(seed)
    for part in (key, row, position):
        state = splitmix64(state ^ part)
    return float(state >> 11)


def top(scores, k):
    """The k best positions: higher score first, then lower position; and
    whether the cut falls between near-equal scores."""
    order = sorted(range(len(scores)), key=lambda j: (-scores[j], j))
    near = False
    if k < len(scores):
        a, b = scores[order[k - 1]], scores[order[k]]
        if np.isfinite(a):
            # Equal scores, zeros mostly, fall by position everywhere.
            near = 0 < abs(a - b) < NEAR * max(abs(a), abs(b))
    return set(order[:k]), near


def scope_rows(rows, scope):
    """[layers, query heads, N] to the scope's [R, N], float64."""
    rows = rows.astype(np.float64)
    return rows.mean(1) if scope == "layer" else rows.mean((0, 1))[None]


def entropy(p):
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def chance(k, n, own_in_gold):
    if n == 1:
        return 1.0
    g = 1.0 if own_in_gold else 0.0
    return (g + (k - g) * (k - 1) / (n - 1)) / k


def recall_at_step(row, accumulated, policy, r, key, seed=0):
    """One step in one scope: row [R, N], accumulated [R, N - 1]."""
    count, n = row.shape
    k = max(1, math.floor(r * n))
    out = dict(k=k, recall=0.0, chance=0.0, mass=0.0, mass_ratio=0.0,
               near=False)
    for i in range(count):
        gold, near_gold = top(row[i], k)
        if policy == "oracle":
            scores = row[i]
        elif policy == "h2o":
            scores = np.append(accumulated[i], np.inf)
        elif policy == "random":
            scores = np.array([priority(seed, key, i, j) for j in range(n - 1)]
                              + [np.inf])
        held, near_held = top(scores, k)
        gold_mass = sum(row[i][j] for j in sorted(gold))
        mass = sum(row[i][j] for j in sorted(held))
        out["recall"] += len(gold & held) / k / count
        out["chance"] += chance(k, n, n - 1 in gold) / count
        out["mass"] += mass / count
        out["mass_ratio"] += mass / gold_mass / count
        # The oracle's set is the gold set however the tie falls, and random's
        # priorities are exact.
        if policy != "oracle" and (near_gold
                                   or (near_held and policy != "random")):
            out["near"] = True
    return out


def steps(attentions, logits, prompt, tokens, policies, scopes, budgets, key):
    """Records of all steps.

    attentions [layers, query heads, T, T] float32 of the whole text, logits
    [T, V] float32, prompt = P, tokens the generated ids."""
    attentions = np.where(attentions < TINY, 0, attentions)
    records = []
    sums = {s: None for s in scopes}
    for s in scopes:
        # Prompt queries 0 … P − 2: the last prompt token is step 1's query.
        sums[s] = scope_rows(
            attentions[:, :, : prompt - 1, : prompt - 1].astype(np.float64)
            .sum(2), s)
    for t, token in enumerate(tokens, start=1):
        q = prompt - 2 + t
        n = q + 1
        z = logits[q].astype(np.float64)
        log_p = z - (z.max() + math.log(np.exp(z - z.max()).sum()))
        p = np.exp(log_p)
        best = np.sort(p)[::-1][:2]
        layer = scope_rows(attentions[:, :, q, :n], "layer")
        layer_entropy = np.array([entropy(row) for row in layer])
        record = dict(step=t, n=n, token_id=int(token), entropy=entropy(p),
                      logprob=float(log_p[token]), p_max=float(best[0]),
                      margin=float(best[0] - best[1]),
                      attention_entropy=float(layer_entropy.mean()),
                      attention_entropy_std=float(layer_entropy.std()),
                      recalls=[])
        for policy in policies:
            for s in scopes:
                row = scope_rows(attentions[:, :, q, :n], s)
                for r in budgets:
                    record["recalls"].append(recall_at_step(
                        row, sums[s], policy, r, key))
        for s in scopes:
            row = scope_rows(attentions[:, :, q, :n], s)
            sums[s] = np.append(sums[s], np.zeros((row.shape[0], 1)), 1) + row
        records.append(record)
    return records
