#!/usr/bin/env python3
"""A table of the kernels in a profile of kvrecall-bench --profile.

    tests/bench/kernel_times.py profile.json [--top 30]

For each kernel its launches, time and share; then how much of the whole the
GPU stood still, and between how many launches.
"""

import argparse
import collections
import json
import re


def short(name):
    """A kernel's name without parameters and namespaces."""
    name = re.sub(r"\(anonymous namespace\)::", "", name)
    name = re.sub(r"^void ", "", name)
    base = re.split(r"[<(]", name)[0].split("::")[-1]
    rest = re.findall(r"<([^(]*)", name)
    return (base + ("<" + rest[0][:44] if rest else ""))[:72]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("--top", type=int, default=30)
    options = parser.parse_args()
    events = json.load(open(options.profile))["traceEvents"]
    kernels = sorted((e for e in events if e.get("cat", "").lower() in
                      ("kernel", "gpu_memcpy", "gpu_memset")),
                     key=lambda e: e["ts"])
    if not kernels:
        raise SystemExit("the profile holds no kernels")
    times = collections.defaultdict(list)
    for event in kernels:
        times[short(event["name"])].append(event["dur"])
    busy = sum(sum(t) for t in times.values())
    end, gaps, idle = kernels[0]["ts"], 0, 0.0
    for event in kernels:
        if event["ts"] > end:
            idle += event["ts"] - end
            gaps += 1
        end = max(end, event["ts"] + event["dur"])
    whole = end - kernels[0]["ts"]
    print(f"{'kernel':72} {'launches':>8} {'ms':>9} {'us each':>8} {'%':>5}")
    for name, t in sorted(times.items(), key=lambda i: -sum(i[1]))[:options.top]:
        print(f"{name:72} {len(t):8} {sum(t) / 1e3:9.3f} "
              f"{sum(t) / len(t):8.1f} {100 * sum(t) / whole:5.1f}")
    print(f"{len(kernels)} launches, {busy / 1e3:.3f} ms busy of "
          f"{whole / 1e3:.3f}; idle {idle / 1e3:.3f} ms in {gaps} gaps")


if __name__ == "__main__":
    main()
