"""Writes the demo task: `demo.jsonl` in LongBench v1's schema, `template.txt`.

The template is the prompt with {context} and {input} to be filled in. Samples
are drawn until the wanted number of two-hop questions is among them; training
never sees `--seed`, as it draws from string seeds.
"""

import argparse
import hashlib
import json
import os
import random

import worldgen


def record(seed, number, s, hops=False):
    text = " ".join([s["context"], s["input"], *s["answers"]])
    digest = hashlib.sha256(f"nano demo {seed} {number}".encode()).hexdigest()
    fields = {
        "input": s["input"],
        "context": s["context"],
        "answers": s["answers"],
        "length": len(text.split()),
        "dataset": "demo",
        "language": "en",
        "all_classes": None,
        "_id": digest[:48],
    }
    return {**fields, "hops": s["hops"]} if hops else fields


def draw(seed, count, two_hop, passages):
    """`count` samples in drawing order, `two_hop` of them of two hops."""
    rng = random.Random(seed)
    room = {True: two_hop, False: count - two_hop}
    samples = []
    while len(samples) < count:
        s = worldgen.sample(rng, rng.randint(*passages))
        is_two = s["hops"] == 2
        if room[is_two]:
            room[is_two] -= 1
            samples.append(s)
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="../demo")
    parser.add_argument("--seed", type=int, default=424242)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--two-hop", type=int, default=24)
    parser.add_argument(
        "--passages",
        type=int,
        nargs=2,
        default=(16, 16),
        metavar=("FEWEST", "MOST"),
    )
    parser.add_argument(
        "--hops", action="store_true", help="write the number of hops too"
    )
    args = parser.parse_args()

    os.makedirs(args.out, exist_ok=True)
    samples = draw(args.seed, args.samples, args.two_hop, args.passages)
    path = os.path.join(args.out, "demo.jsonl")
    with open(path, "w", encoding="utf-8") as f:
        for number, s in enumerate(samples):
            f.write(json.dumps(record(args.seed, number, s, args.hops)) + "\n")
    path = os.path.join(args.out, "template.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write(worldgen.PROMPT)


if __name__ == "__main__":
    main()
