"""All policies × budgets on the demo task, and `random` against its formula.

Run by policies.sh. Prints one table per scope: mean recall, mass ratio, KL of
the token distribution when only the held positions are seen, and the answers'
F1 when each token is chosen so. Intervals are 95 % percentile bootstrap over
samples: steps of one answer are not independent. Exits 1 where the mean recall
of `random` over the seeds is not what chance says.
"""

import argparse
import json
import math
import pathlib
import random
import sqlite3
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
from server_process import ServerProcess  # noqa: E402

BUDGETS = ["0.1", "0.2", "0.3"]
SEEDS_PER_RUN = 25
SOME_FAILED = 1  # the client's exit status


def policy_names(server):
    """In the catalog's order."""
    listed = json.loads(server.client("policies", "--json").stdout)
    return [policy["name"] for policy in listed["policies"]]


def submit(server, policies, scope, limit, extra=()):
    """The name of a finished run; some of its samples may have failed."""
    done = server.client("submit", "--task", "demo", "--policies",
                         ",".join(policies), "--scopes", scope, "--budgets",
                         ",".join(BUDGETS), "--limit", str(limit), "--json",
                         *extra, check=False)
    if done.returncode not in (0, SOME_FAILED):
        sys.exit(f"policies.py: {done.stderr.strip()}")
    return json.loads(done.stdout)["run_id"]


def gap_lanes(policies, scope):
    where = "" if scope == "global" else f",{scope}"
    return ",".join(f"only_pred({policy},{budget}{where})"
                    for policy in policies for budget in BUDGETS)


class Means:
    """Per key the mean of a figure, with its interval over samples."""

    def __init__(self, rows, seed=0, resamples=2000):
        """rows: (key, sample, sum, count)."""
        self.by_key = {}
        for key, sample, total, count in rows:
            self.by_key.setdefault(key, []).append((total, count))
        self.rng = random.Random(seed)
        self.resamples = resamples

    def interval(self, key):
        """(mean, low, high), or None."""
        parts = self.by_key.get(key)
        if not parts:
            return None
        means = []
        for _ in range(self.resamples):
            drawn = self.rng.choices(parts, k=len(parts))
            means.append(sum(t for t, _ in drawn) / sum(c for _, c in drawn))
        means.sort()
        mean = sum(t for t, _ in parts) / sum(c for _, c in parts)
        return (mean, means[int(0.025 * self.resamples)],
                means[int(0.975 * self.resamples) - 1])


def shown(interval, width=5, digits=3):
    if interval is None:
        return f"{'–':>{width + 16}}"
    mean, low, high = interval
    return (f"{mean:{width}.{digits}f} "
            f"[{low:{width}.{digits}f}, {high:{width}.{digits}f}]")


def figures(database, run, column, table):
    return Means(database.execute(
        f"SELECT policy || ' ' || budget, sample, sum({column}), "
        f"count({column}) FROM {table} WHERE run = ? AND {column} IS NOT NULL "
        f"GROUP BY policy, budget, sample", (run,)))


def scores(database, run):
    """Of the gap lanes, by sample; gap_scores stand in the lanes' order."""
    names = [f"{policy} {budget}" for policy, budget in database.execute(
        "SELECT policy, budget FROM gap_lanes JOIN runs ON runs.id = run "
        "WHERE run_id = ? ORDER BY gap", (run,))]
    rows = []
    for sample, text in database.execute(
            "SELECT sample_id, gap_scores FROM samples "
            "JOIN runs ON runs.id = run WHERE run_id = ? "
            "AND gap_scores IS NOT NULL", (run,)):
        rows += [(name, sample, 100 * score, 1)
                 for name, score in zip(names, json.loads(text), strict=True)]
    return Means(rows)


def unscored(database, run):
    """How many samples have no scores of gap lanes: those that failed."""
    return database.execute(
        "SELECT count(*) FROM samples JOIN runs ON runs.id = run "
        "WHERE run_id = ? AND gap_scores IS NULL", (run,)).fetchone()[0]


def print_table(database, run, policies, scope):
    recall = figures(database, run, "recall", "recalls")
    mass = figures(database, run, "mass_ratio", "recalls")
    kl = figures(database, run, "kl", "gaps")
    f1 = scores(database, run)
    print(f"\nscope {scope}")
    if left_out := unscored(database, run):
        print(f"{left_out} samples failed and are not among the scores")
    print(f"{'policy':11}{'budget':>6}  {'recall':21}  {'mass ratio':21}  "
          f"{'KL, nats':24}  {'F1':24}")
    for policy in policies:
        for budget in BUDGETS:
            key = f"{policy} {budget}"
            print(f"{policy:11}{budget:>6}  {shown(recall.interval(key))}  "
                  f"{shown(mass.interval(key))}  "
                  f"{shown(kl.interval(key), 6, 3)}  "
                  f"{shown(f1.interval(key), 6, 1)}")


def standard_errors(means, expected):
    """How many standard errors their mean is off; without spread 0 or inf."""
    difference = statistics.fmean(means) - expected
    error = statistics.stdev(means) / math.sqrt(len(means))
    if error == 0:
        return 0.0 if abs(difference) < 1e-9 else math.copysign(math.inf,
                                                                difference)
    return difference / error


def check_random(server, database_path, seeds, limit):
    """True if `random` recalls what chance says, within 4 standard errors."""
    runs = []
    for first in range(0, seeds, SEEDS_PER_RUN):
        names = [f"random(seed={seed})"
                 for seed in range(first, min(first + SEEDS_PER_RUN, seeds))]
        runs.append(submit(server, names, "global,layer", limit))
    database = sqlite3.connect(f"file:{database_path}?mode=ro", uri=True)
    marks = ",".join("?" * len(runs))
    fine = True
    print(f"\nrandom over {seeds} seeds, {limit} samples")
    for scope in ("global", "layer"):
        for budget in BUDGETS:
            rows = database.execute(
                f"SELECT avg(recall), avg(chance) FROM recalls WHERE run IN "
                f"({marks}) AND scope = ? AND budget = ? GROUP BY run, policy",
                (*runs, scope, budget)).fetchall()
            if len(rows) < seeds:
                sys.exit(f"policies.py: only {len(rows)} of {seeds} seeds have "
                         f"steps in scope {scope}")
            means = [recall for recall, _ in rows]
            chance = statistics.fmean(c for _, c in rows)
            off = standard_errors(means, chance)
            fine &= abs(off) <= 4
            print(f"  {scope:7}{budget:>5}  recall "
                  f"{statistics.fmean(means):.5f}  chance {chance:.5f}  "
                  f"{off:+.2f} standard errors"
                  f"{'' if abs(off) <= 4 else '  NOT CHANCE'}")
    database.close()
    return fine


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--limit", type=int, default=50,
                        help="samples of the demo (50)")
    parser.add_argument("--seeds", type=int, default=200,
                        help="of `random` (200), at least 2; 0: leave out")
    parser.add_argument("--scopes", default="global,layer")
    args = parser.parse_args()
    if args.limit < 1:
        parser.error("--limit: at least one sample")
    if args.seeds < 0 or args.seeds == 1:
        parser.error("--seeds: one seed has no spread; at least 2, or 0")
    fine = True
    with tempfile.TemporaryDirectory(prefix="kvrecall_policies_") as folder:
        with ServerProcess(folder) as server:
            every = policy_names(server)
            for scope in args.scopes.split(","):
                policies = [name for name in every
                            if scope != "global" or name != "pyramidkv"]
                run = submit(server, policies, scope, args.limit,
                             ["--gap", gap_lanes(policies, scope)])
                database = sqlite3.connect(
                    f"file:{server.database}?mode=ro", uri=True)
                print_table(database, run, policies, scope)
                database.close()
            if args.seeds:
                fine = check_random(server, server.database, args.seeds,
                                    min(args.limit, 5))
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
