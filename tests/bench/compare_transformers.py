#!/usr/bin/env python3
"""kvrecall beside Hugging Face transformers: time, memory and equal recalls.

    tests/bench/compare_transformers.py --shape qwen2.5-0.5b --prompt 4096 \\
        --decode 32 --json compare.json

Same random checkpoint, prompt, dtype (bfloat16) and threads for all; each
contestant is a process of its own; rounds alternate over the contestants, and
a ratio is the median of the rounds' ratios. README.md says who they are.
The first run makes a virtual environment with torch and transformers.

Exits 0 when it ran to the end, 1 where it could not or where the recalls of
the two are not equal.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build"
BENCH = BUILD / "release" / "bin" / "kvrecall-bench"
PACKAGES = ["torch", "transformers", "numpy"]
VERSIONS = ("import numpy, torch, transformers as t; print('torch', "
            "torch.__version__, 'transformers', t.__version__, 'numpy', "
            "numpy.__version__)")
MIB = 1 << 20


class ContestantFailed(RuntimeError):
    pass


# The environment.

def ensure_environment(directory):
    """Makes the virtual environment where it does not work yet. Returns its
    Python and the packages' versions."""
    python = directory / "bin" / "python"
    if versions := versions_in(python):
        return python, versions
    print(f"making {directory} with {', '.join(PACKAGES)}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES],
                   check=True)
    if versions := versions_in(python):
        return python, versions
    sys.exit(f"{directory}: {', '.join(PACKAGES)} were installed but cannot "
             f"be imported")


def versions_in(python):
    """The packages' versions in one line; empty where one is missing."""
    if not python.exists():
        return ""
    run = subprocess.run([python, "-c", VERSIONS], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return run.stdout.strip() if run.returncode == 0 else ""


def enter_environment(directory):
    """Goes on in the environment's Python; returns the versions there."""
    python, versions = ensure_environment(directory)
    if pathlib.Path(sys.prefix).resolve() != directory:
        os.execv(python, [str(python), __file__, *sys.argv[1:]])
    return versions


def checkpoint(shape, dtype, calm=False):
    """The directory of the random checkpoint, made on first use."""
    import random_checkpoint
    name = f"{shape}-{dtype}-calm" if calm else f"{shape}-{dtype}"
    directory = BUILD / "compare-models" / name
    if directory.exists():
        return directory
    print(f"writing {directory}", flush=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when whole: an interrupted run leaves no half checkpoint.
    partial = pathlib.Path(tempfile.mkdtemp(dir=directory.parent))
    random_checkpoint.write(shape, dtype, partial, calm)
    partial.rename(directory)
    return directory


# The contestants.

@dataclasses.dataclass(frozen=True)
class Contestant:
    mode: str  # kvrecall, kvrecall-telemetry, sdpa, eager or one-token
    prompt: int

    def __str__(self):
        return f"{self.mode} {self.prompt}"


class Runner:
    """Runs one contestant once, in a process of its own."""

    def __init__(self, args, model):
        self.args, self.model = args, model
        self.cache = args.cache

    def run(self, contestant):
        run = (self._kvrecall if contestant.mode.startswith("kvrecall")
               else self._worker)
        result = run(contestant)
        result["total_seconds"] = (result["prefill_seconds"] +
                                   self.args.decode * result["step_seconds"])
        return result

    def _kvrecall(self, contestant):
        only = ("telemetry" if contestant.mode.endswith("telemetry")
                else "plain")
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "figures.json"
            checked([self.args.bench, "--model", self.model,
                     "--dtype", "bfloat16", "--device", self.args.device,
                     "--threads", self.args.threads,
                     "--only", only, "--prompt", contestant.prompt,
                     "--decode", self.args.decode, "--repeat", 1,
                     "--json", path])
            result = json.loads(path.read_text())["results"][0]
        memory = result["memory_bytes"]
        steps = result["step_seconds"][only]
        return {"prefill_seconds": result["prefill_seconds"][only][0],
                "step_seconds": steps[0] if steps else 0.0,
                "loaded_bytes": memory["loaded"],
                "memory_bytes": memory["peak"] - memory["loaded"]}

    def _worker(self, contestant):
        output = checked(
            [sys.executable, __file__, "--worker", contestant.mode,
             "--venv", self.args.venv, "--model", self.model,
             "--prompt", contestant.prompt, "--decode", self.args.decode,
             "--cache", self.cache, "--threads", self.args.threads,
             "--device", self.args.device])
        return json.loads(output.splitlines()[-1])


def checked(command):
    """The command's output. ContestantFailed: its last words."""
    run = subprocess.run([str(part) for part in command], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode == 0:
        return run.stdout
    words = run.stderr.strip().splitlines() or ["it said nothing"]
    if run.returncode == -9:
        words = ["killed, as happens where memory runs out"]
    raise ContestantFailed(words[-1])


def choose_cache(args, model):
    """The faster of transformers' caches for plain inference."""
    if args.cache != "auto":
        return args.cache, {}
    seconds = {}
    for cache in ("dynamic", "static"):
        runner = Runner(args, model)
        runner.cache = cache
        result = runner.run(Contestant("sdpa", args.decode_at))
        seconds[cache] = result["total_seconds"]
    best = min(seconds, key=seconds.get)
    print("transformers' caches, prefill and decode at "
          f"{args.decode_at} tokens: "
          + ", ".join(f"{name} {s:.2f} s" for name, s in seconds.items())
          + f"; {best} it is", flush=True)
    return best, seconds


def plain_prompts(args):
    return sorted({args.prompt, args.decode_at, *args.sdpa_prompts} - {0})


def contestants(args):
    plain = plain_prompts(args)
    chosen = [Contestant(mode, n) for n in plain
              for mode in ("kvrecall", "sdpa")]
    if args.prompt:
        chosen += [Contestant("kvrecall-telemetry", args.prompt),
                   Contestant("eager", args.prompt)]
    if args.one_token_prompt:
        chosen += [Contestant("kvrecall-telemetry", args.one_token_prompt),
                   Contestant("one-token", args.one_token_prompt)]
    return list(dict.fromkeys(chosen))


def run_rounds(args, runner):
    """{contestant: its results, one a round}, and {contestant: why it failed}.
    Of transformers' contestants one may fail, by its memory mostly; kvrecall
    may not."""
    results = {c: [] for c in contestants(args)}
    failures = {}
    for number in range(args.repeat):
        order = list(results)
        # Each goes first in turn, so that none has the warmer machine.
        for c in order if number % 2 == 0 else reversed(order):
            if c in failures:
                continue
            print(f"round {number + 1} of {args.repeat}: {c}", flush=True)
            try:
                results[c].append(runner.run(c))
            except ContestantFailed as failure:
                if c.mode.startswith("kvrecall"):
                    raise
                print(f"  failed: {failure}", flush=True)
                failures[c] = str(failure)
                results[c] = []
    return results, failures


# Figures.

@dataclasses.dataclass(frozen=True)
class Bar:
    figure: str  # a field of a result
    above: Contestant
    below: Contestant
    relation: str
    bound: float
    # The lengths that the bound was set for; elsewhere it is shown for what it
    # is worth.
    set_for: tuple

    def name(self):
        figure = {"prefill_seconds": "prefill", "step_seconds": "decode step",
                  "total_seconds": "prefill + decode",
                  "memory_bytes": "memory"}[self.figure]
        return (f"{figure} at {self.above.prompt}: "
                f"{self.above.mode} / {self.below.mode}")


def bars(args):
    """Where the two are compared as the bars say: plain kvrecall is not slower
    than SDPA, and recalls cost far less than by way of eager attention."""
    found = []
    # On CUDA both call the same attention.
    bound = 1 if args.device == "cpu" else 1.1
    for n in plain_prompts(args):
        plain, sdpa = Contestant("kvrecall", n), Contestant("sdpa", n)
        found.append(Bar("prefill_seconds", plain, sdpa, "<=", bound,
                         (4096, 16384)))
        if args.decode:
            found.append(Bar("step_seconds", plain, sdpa, "<=", 1,
                             (1024, 4096)))
    if args.prompt:
        with_recalls = Contestant("kvrecall-telemetry", args.prompt)
        eager = Contestant("eager", args.prompt)
        found += [Bar(figure, eager, with_recalls, ">=", bound, (4096,))
                  for figure, bound in (("prefill_seconds", 3),
                                        ("total_seconds", 3),
                                        ("memory_bytes", 10))]
    if args.one_token_prompt:
        with_recalls = Contestant("kvrecall-telemetry", args.one_token_prompt)
        one_token = Contestant("one-token", args.one_token_prompt)
        found += [Bar(figure, one_token, with_recalls, ">=", 30, (2048,))
                  for figure in ("prefill_seconds", "total_seconds")]
    return found


def ratio(bar, results):
    """The median of the rounds' ratios; None where a contestant failed."""
    above, below = results[bar.above], results[bar.below]
    if not above or not below:
        return None
    return statistics.median(a[bar.figure] / max(b[bar.figure], 1)
                             if bar.figure == "memory_bytes"
                             else a[bar.figure] / b[bar.figure]
                             for a, b in zip(above, below, strict=True))


def reached(bar, value):
    if value is None:
        return None
    return value <= bar.bound if bar.relation == "<=" else value >= bar.bound


def median(results, figure):
    return statistics.median(r[figure] for r in results)


def print_figures(results, failures):
    print(f"\n{'':28}{'prefill s':>11}{'step ms':>10}{'total s':>10}"
          f"{'memory MiB':>12}")
    for c, rounds in results.items():
        if c in failures:
            print(f"{c!s:28}failed: {failures[c]}")
            continue
        print(f"{c!s:28}{median(rounds, 'prefill_seconds'):11.3f}"
              f"{1e3 * median(rounds, 'step_seconds'):10.2f}"
              f"{median(rounds, 'total_seconds'):10.3f}"
              f"{median(rounds, 'memory_bytes') / MIB:12.0f}")
    print("medians of the rounds; memory is the peak above the weights")


def print_bars(ratios):
    print(f"\n{'':62}{'ratio':>8}{'bar':>8}   set for")
    for bar, value in ratios.items():
        shown = "failed" if value is None else f"{value:.2f}"
        verdict = {True: "reached", False: "not reached",
                   None: ""}[reached(bar, value)]
        set_for = ", ".join(str(length) for length in bar.set_for)
        print(f"{bar.name():62}{shown:>8}{bar.relation:>5}{bar.bound:>3}   "
              f"{set_for:12}{verdict}")


# Equality of the recalls.

def equality(args):
    """The tally of kvrecall's recalls against transformers', in float32."""
    import compare_equality
    import random_checkpoint
    # Calm, so that what differs is not the growth of rounding errors.
    model = checkpoint(args.shape, "float32", calm=True)
    vocabulary = random_checkpoint.SHAPES[args.shape]["vocab_size"]
    tokens = {
        "prompt": compare_equality.prompt_tokens(args.equality_prompt,
                                                 vocabulary),
        "forced": compare_equality.forced_tokens(args.equality_steps,
                                                 vocabulary)}
    print(f"\nequality of the recalls, float32, {args.equality_prompt} prompt "
          f"tokens, {args.equality_steps} forced ones", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        paths = [pathlib.Path(directory) / name
                 for name in ("tokens.json", "kvrecall.jsonl",
                              "transformers.jsonl")]
        paths[0].write_text(json.dumps(tokens))
        checked([args.bench, "--model", model, "--dtype", "float32",
                 "--device", "cpu", "--threads", args.threads,
                 "--policies", "h2o,random,oracle", "--scopes",
                 "global,layer", "--budgets", "0.1,0.2,0.3",
                 "--tokens", paths[0], "--records", paths[1]])
        checked([sys.executable, __file__, "--worker", "equality",
                 "--venv", args.venv, "--model", model,
                 "--threads", args.threads, "--tokens", paths[0],
                 "--records", paths[2]])
        got, want = ([json.loads(line) for line in open(path)]
                     for path in paths[1:])
    return compare_equality.compare(got, want)


def print_equality(tally):
    print(f"  steps {tally['steps']}, recalls compared {tally['recalls']}: "
          f"{tally['equal']} equal, {tally['near_ties']} differing at near "
          f"ties, {tally['otherwise']} differing otherwise")
    print(f"  max |Δentropy| {tally['max_entropy_difference']:.2g}, max "
          f"|Δlogprob| {tally['max_logprob_difference']:.2g}, max |Δmass| "
          f"{tally['max_mass_difference']:.2g}")
    for d in tally["differing"]:
        print(f"  step {d['step']}, {d['policy']} {d['scope']} {d['budget']}: "
              f"{d['got']:.6f} instead of {d['want']:.6f}, gap at the cut "
              f"{d['gap']}, Δmass {d['mass_difference']:.2g}")
    if tally["otherwise"]:
        print("NOT EQUAL")


# The command line.

def lengths(text):
    return [int(part) for part in text.split(",") if part]


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--shape", choices=["parity", "qwen2.5-0.5b"], default="qwen2.5-0.5b")
    add("--prompt", type=int, default=4096,
        help="tokens of the comparison with eager attention (4096); 0: leave "
             "out")
    add("--sdpa-prompts", type=lengths,
        help="more lengths for the comparison with SDPA (16384, where the "
             "shape's window has room; ''): 8192,16384")
    add("--decode-at", type=int, default=1024,
        help="tokens of a further comparison of decode with SDPA (1024)")
    add("--one-token-prompt", type=int, default=2048,
        help="tokens fed one by one (2048); 0: leave out")
    add("--equality-prompt", type=int, default=2048,
        help="tokens of the comparison of recalls (2048); 0: leave out")
    add("--equality-steps", type=int, default=32)
    add("--decode", type=int, default=32, help="decode steps (32)")
    add("--repeat", type=int, default=3, help="rounds (3); 0: only equality")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)),
        help="of every contestant (all cores)")
    add("--cache", choices=["auto", "dynamic", "static"], default="auto",
        help="transformers' cache for SDPA; auto: the faster one")
    add("--device", choices=["cpu", "cuda"], default="cpu",
        help="on cuda SDPA alone is compared")
    add("--bench", type=pathlib.Path, default=BENCH,
        help="kvrecall-bench (build/release/bin/kvrecall-bench)")
    add("--venv", type=pathlib.Path, default=BUILD / "compare-venv",
        help="virtual environment (build/compare-venv), made where missing")
    add("--json", type=pathlib.Path, help="file for all figures and ratios")
    for name in ("--worker", "--model", "--tokens", "--records"):
        add(name, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.venv = args.venv.resolve()
    if args.sdpa_prompts is None:
        args.sdpa_prompts = [16384] if args.shape == "qwen2.5-0.5b" else []
    if args.device == "cuda" and not args.worker and (
            args.prompt or args.one_token_prompt or args.equality_prompt):
        parser.error("--device cuda needs --prompt 0, --one-token-prompt 0 "
                     "and --equality-prompt 0")
    return args


def work(args):
    """One contestant's process."""
    import compare_equality
    import compare_workers
    if args.worker == "equality":
        compare_equality.write_records(args.model, args.tokens, args.records,
                                       args.threads)
        return
    print(json.dumps(compare_workers.measure(
        args.worker, args.model, args.prompt, args.decode, args.cache,
        args.threads, args.device)))


def compare(args, versions):
    """The report, printed; True where the recalls are equal."""
    report = {"setting": vars(args) | {"versions": versions}}
    if args.repeat:
        model = checkpoint(args.shape, "bfloat16")
        runner = Runner(args, model)
        runner.cache, report["cache_seconds"] = choose_cache(args, model)
        results, failures = run_rounds(args, runner)
        ratios = {bar: ratio(bar, results) for bar in bars(args)}
        print_figures(results, failures)
        print_bars(ratios)
        report |= {
            "cache": runner.cache,
            "contestants": [{"mode": c.mode, "prompt": c.prompt,
                             "failure": failures.get(c), "rounds": rounds}
                            for c, rounds in results.items()],
            "ratios": [{"name": bar.name(), "ratio": value,
                        "bar": f"{bar.relation} {bar.bound}",
                        "set_for": list(bar.set_for),
                        "reached": reached(bar, value)}
                       for bar, value in ratios.items()]}
    if args.equality_prompt:
        report["equality"] = equality(args)
        print_equality(report["equality"])
    if args.json:
        args.json.write_text(json.dumps(report, indent=2, default=str) + "\n")
    return report.get("equality", {}).get("otherwise", 0) == 0


def main():
    args = parse_arguments()
    if args.worker:
        sys.path.insert(0, str(ROOT / "tests" / "golden"))
        return work(args)
    if not args.bench.exists():
        sys.exit(f"{args.bench} is missing: cmake --preset release && cmake "
                 f"--build --preset release --target kvrecall-bench")
    versions = enter_environment(args.venv)
    sys.path.insert(0, str(ROOT / "tests" / "golden"))
    print(f"{versions}; {args.threads} threads, bfloat16, "
          f"{args.device}", flush=True)
    try:
        equal = compare(args, versions)
    except ContestantFailed as failure:
        sys.exit(f"compare_transformers.py: {failure}")
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
