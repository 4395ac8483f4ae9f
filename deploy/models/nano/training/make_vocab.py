"""Trains the tokenizer on generated text and writes it to `vocab.json`.

Names are added to the text until each is one token with its leading space: a
model of this size learns to copy names of several tokens many times more
slowly.
"""

import argparse
import random

import bpe
import worldgen


def training_text(seed):
    rng = random.Random(seed)
    samples = [worldgen.sample(rng, rng.randint(4, 16)) for _ in range(400)]
    text = "".join(worldgen.prompt(s) + worldgen.target(s) for s in samples)
    text += "".join(f" {name}." * 40 for name in worldgen.NAMES)
    for token in bpe.SPECIAL:
        text = text.replace(token, "\n")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--vocab-size",
        type=int,
        default=1408,
        help="at most; merging stops when every frequent word is one token",
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", default="vocab.json")
    args = parser.parse_args()

    vocab, merges = bpe.train(
        training_text(args.seed), args.vocab_size - len(bpe.SPECIAL)
    )
    tokenizer = bpe.Tokenizer(vocab, merges)

    s = worldgen.sample(random.Random(args.seed), 8, 2)
    text = worldgen.prompt(s) + worldgen.target(s)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    split_names = [
        n for n in worldgen.NAMES if len(tokenizer.encode(f" {n}")) != 1
    ]
    assert not split_names, f"names of several tokens: {split_names}"
    tokenizer.save(args.out)
    print(text)
    print(
        f"{len(tokenizer)} entries; {len(text)} characters, {len(ids)} tokens"
    )


if __name__ == "__main__":
    main()
