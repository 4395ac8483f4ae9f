#!/usr/bin/env python3
"""The common Python recipe for H2O with a window of recent positions, beside
kvrecall's `h2o_window`, step by step.

    tests/golden/window_recipe.py
    tests/golden/window_recipe.py --checkpoint parity --prompt 600 --table

The recipe, per layer: attention is the mean over the heads; at a step of N
positions and a budget r, K = max(1, int(r N)); gold are the K positions with
the most attention now; held are the last 32 and, of those before them, the
K - 32 with the most accumulated attention (K <= 32: the last K); recall is
|held and gold| / K. Then the mean over the layers. Scores take the step's row
in after its recall. transformers computes the attention: float32, eager,
output_attentions, one prompt and a forced continuation.

`nano` is the embedded model on its demo's text, `parity` a random 4-layer
checkpoint on random tokens. Sums are rounded differently here and there, so a
recall may differ by the positions whose scores are within 1e-5 (relative) of
the one at a cut; such steps are counted apart.

The first run makes a virtual environment with torch and transformers. Exits 0
if every recall of every step agrees, 1 where one does not or what is needed is
missing.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "bench"))

from compare_transformers import (  # noqa: E402
    BENCH, BUILD, ContestantFailed, checked, ensure_environment)

WINDOW = 32
BUDGETS = [0.05, 0.1, 0.2, 0.5]
NEAR = 1e-5  # relative distance from the cut within which a set may differ
PARITY_VOCABULARY = 151936


# The recipe.

def best(scores, k):
    """The k positions with the highest scores, the lower one first of equals;
    and how many of them nearly tie with others: so many may be others."""
    values, order = scores.sort(descending=True, stable=True)
    loose = 0
    if 0 < k < len(values):
        cut = float(values[k - 1])
        # "<=", so that a cut at 0 has at least itself and its equals.
        near = (values - cut).abs() <= NEAR * abs(cut)
        if float(values[near].max()) > float(values[near].min()):
            loose = min(int(near[:k].sum()), int(near[k:].sum()))
    return set(order[:k].tolist()), loose


def held_positions(scores, n, k):
    """What the policy holds of n positions, from the earlier queries' scores;
    and how many of them nearly tie with others."""
    if k <= WINDOW:
        return set(range(n - k, n)), 0
    heavy, loose = best(scores[:n - WINDOW], k - WINDOW)
    return heavy | set(range(n - WINDOW, n)), loose


def layer_recalls(attention, prompt):
    """Of one layer's attention [heads, T, T]: a list over the steps of lists
    over the budgets of (recall, by how much near ties may change it)."""
    rows = attention.double().mean(0)
    # The prompt's queries but the last, which is the first step's.
    scores = rows[:prompt - 1].sum(0)
    steps = []
    for query in range(prompt - 1, len(rows)):
        n = query + 1
        row = rows[query]
        recalls = []
        for ratio in BUDGETS:
            k = max(1, int(ratio * n))
            gold, loose_gold = best(row[:n], k)
            held, loose_held = held_positions(scores, n, k)
            recalls.append((len(gold & held) / k,
                            (loose_gold + loose_held) / k))
        steps.append(recalls)
        scores = scores + row
    return steps


def recipe(model, prompt, forced):
    """A list over the steps of lists over the budgets: means over the layers
    of the recall and of how much near ties may change it."""
    import torch
    text = torch.tensor([prompt + forced[:-1]])
    with torch.inference_mode():
        out = model(input_ids=text, use_cache=False, output_attentions=True)
    layers = [layer_recalls(attention[0], len(prompt))
              for attention in out.attentions]
    return [[tuple(sum(layer[t][b][i] for layer in layers) / len(layers)
                   for i in range(2))
             for b in range(len(BUDGETS))]
            for t in range(len(forced))]


# What both are given.

def demo_tokens(directory, count):
    """The first tokens of the demo's passages, one after another."""
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokens = []
    for line in (directory / "demo" / "demo.jsonl").read_text().splitlines():
        tokens += tokenizer(json.loads(line)["context"] + "\n")["input_ids"]
    return tokens[:count]


def random_tokens(count, vocabulary):
    return [(i * 7919 + 13) % vocabulary for i in range(count)]


def prepare(name, count, scratch):
    """The checkpoint's directory and a text of `count` tokens for it."""
    if name == "nano":
        directory = ROOT / "deploy" / "models" / "nano"
        return directory, demo_tokens(directory, count)
    import random_checkpoint
    random_checkpoint.write("parity", "float32", scratch)
    return scratch, random_tokens(count, PARITY_VOCABULARY)


def kvrecall(directory, prompt, forced, threads, scratch):
    """kvrecall's records of the same run, one a step."""
    tokens, records = scratch / "tokens.json", scratch / "records.jsonl"
    tokens.write_text(json.dumps({"prompt": prompt, "forced": forced}))
    checked([BENCH, "--model", directory, "--dtype", "float32",
             "--device", "cpu", "--threads", threads,
             "--policies", "h2o_window", "--scopes", "layer",
             "--budgets", ",".join(map(str, BUDGETS)),
             "--tokens", tokens, "--records", records])
    return [json.loads(line) for line in records.read_text().splitlines()]


# The comparison.

class Tally:
    """Of one budget."""

    def __init__(self):
        self.equal, self.near_ties, self.otherwise = 0, 0, 0
        self.sum = 0.0

    def add(self, verdict, want):
        self.sum += want
        if verdict == "=":
            self.equal += 1
        elif verdict == "~":
            self.near_ties += 1
        else:
            self.otherwise += 1


def verdict_of(got, want, loose):
    """Equal; within what near ties may change; or different."""
    difference = abs(got - want)
    if difference < 1e-12:
        return "="
    return "~" if difference < loose + 1e-12 else "≠"


def compare(want, records, prompt, table):
    """Prints what differs, and with `table` all steps; a tally per budget."""
    if len(records) != len(want):
        sys.exit(f"kvrecall has {len(records)} steps instead of {len(want)}")
    tallies = [Tally() for _ in BUDGETS]
    if table:
        print("  step     N" + "".join(f"{f'r = {r}':>22}" for r in BUDGETS))
    for t, (step, record) in enumerate(zip(want, records)):
        n = prompt + t
        cells = []
        for b, ((recall, loose), lane) in enumerate(
                zip(step, record["recalls"], strict=True)):
            place = (record["n"], lane["scope"], float(lane["budget"]),
                     lane["k"])
            expected = (n, "layer", BUDGETS[b], max(1, int(BUDGETS[b] * n)))
            if place != expected:
                sys.exit(f"step {t + 1}: kvrecall's lane is {place} instead "
                         f"of {expected}")
            verdict = verdict_of(lane["recall"], recall, loose)
            tallies[b].add(verdict, recall)
            cells.append(f"{lane['recall']:10.6f} {verdict} {recall:8.6f}")
        if table or any("≠" in cell for cell in cells):
            print(f"  {t + 1:4} {n:5}" + "".join(f"{c:>22}" for c in cells))
    return tallies


def print_tallies(tallies):
    print(f"  {'budget':>8}{'mean recall':>14}{'steps':>8}{'equal':>8}"
          f"{'near ties':>12}{'otherwise':>12}")
    for ratio, tally in zip(BUDGETS, tallies):
        steps = tally.equal + tally.near_ties + tally.otherwise
        print(f"  {ratio:8}{tally.sum / steps:14.4f}{steps:8}{tally.equal:8}"
              f"{tally.near_ties:12}{tally.otherwise:12}")


def run(name, args):
    """True if all recalls of the checkpoint agree."""
    import torch
    from transformers import AutoModelForCausalLM
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        directory, tokens = prepare(name, args.prompt + args.steps, scratch)
        prompt, forced = tokens[:args.prompt], tokens[args.prompt:]
        if len(forced) < args.steps:
            sys.exit(f"{name}: its text has only {len(tokens)} tokens")
        print(f"{name}: {len(prompt)} prompt tokens, {len(forced)} forced "
              f"ones; kvrecall = recipe", flush=True)
        torch.set_num_threads(args.threads)
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, attn_implementation="eager").eval()
        want = recipe(model, prompt, forced)
        records = kvrecall(directory, prompt, forced, args.threads, scratch)
        tallies = compare(want, records, args.prompt, args.table)
    print_tallies(tallies)
    return not any(tally.otherwise for tally in tallies)


# The command line.

def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--checkpoint", choices=["nano", "parity", "both"], default="nano")
    add("--prompt", type=int, default=1000, help="tokens (1000)")
    add("--steps", type=int, default=64, help="forced tokens (64)")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)),
        help="all cores")
    add("--table", action="store_true", help="show every step")
    add("--venv", type=pathlib.Path, default=BUILD / "compare-venv",
        help="virtual environment (build/compare-venv), made where missing")
    args = parser.parse_args()
    if args.prompt < 2 or args.steps < 1:
        parser.error("at least two prompt tokens and one step are needed")
    args.venv = args.venv.resolve()
    return args


def main():
    args = parse_arguments()
    if not BENCH.exists():
        sys.exit(f"{BENCH} is missing: cmake --preset release && cmake "
                 f"--build --preset release --target kvrecall-bench")
    python, versions = ensure_environment(args.venv)
    if pathlib.Path(sys.prefix).resolve() != args.venv:
        os.execv(python, [str(python), __file__, *sys.argv[1:]])
    print(f"{versions}; {args.threads} threads, float32, w = {WINDOW}, "
          f"scope layer", flush=True)
    names = ["nano", "parity"] if args.checkpoint == "both" else [
        args.checkpoint]
    try:
        agree = [run(name, args) for name in names]
    except ContestantFailed as failure:
        sys.exit(f"window_recipe.py: kvrecall-bench: {failure}")
    print("all agree" if all(agree) else "NOT EQUAL")
    sys.exit(0 if all(agree) else 1)


if __name__ == "__main__":
    main()
