"""Accuracy by number of hops of a run of the demo task through the server.

    python make_demo.py --seed 31338 --samples 200 --two-hop 70 --hops \\
        --out /tmp/fresh
    kvrecall-client submit --task demo --data /tmp/fresh/demo.jsonl
    kvrecall-client export RUN --out /tmp/fresh/run.jsonl
    python accuracy.py /tmp/fresh/demo.jsonl /tmp/fresh/run.jsonl

An answer is right if the text says "The answer is X." with the right X.
"""

import argparse
import collections
import json


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", help="JSONL that make_demo.py --hops wrote")
    parser.add_argument("export", help="JSON lines of kvrecall-client export")
    args = parser.parse_args()

    texts = {
        line["sample_id"]: line["text"]
        for line in lines(args.export)
        if line["type"] == "sample"
    }
    right, count = collections.Counter(), collections.Counter()
    for sample in lines(args.data):
        answer = f"The answer is {sample['answers'][0]}."
        for group in (sample["hops"], "all"):
            count[group] += 1
            right[group] += answer in texts[sample["_id"]]
    for group in sorted(count, key=str):
        print(f"hops {group}: {right[group]} / {count[group]}")


if __name__ == "__main__":
    main()
