"""Measures an exported model with PyTorch and transformers.

Answers fresh samples greedily (float32 arithmetic, whatever the weights are
stored in) and prints, by number of hops, how many answers are right: the text
has to contain "The answer is X." with the right X. Also counts generation
steps by the entropy of the next-token distribution, in nats.

With `--check` it first verifies that the directory is what training meant: the
chat template gives the training prompt, and the tokenizer the training ids.

Samples come from `--seed` (training draws from string seeds, so any integer is
fresh), or from a LongBench-style file with `--data`.
"""

import argparse
import collections
import json
import os
import random
import re

import torch
import transformers

import bpe
import worldgen

ENTROPY_EDGES = (1.0, 2.5)


def fresh_samples(seed, count, passages):
    rng = random.Random(seed)
    return [worldgen.sample(rng, rng.randint(*passages)) for _ in range(count)]


def hops(s):
    """Number of facts in the chain, read off the question's wording."""
    question = s["input"].removesuffix(" Then invent a traveller.")
    for kind, wording, chain in worldgen.QUESTIONS:
        pattern = re.escape(wording).replace(r"\{a\}", "(.+)")
        match = re.fullmatch(pattern, question)
        if match and len(match[1].split()) == (2 if kind == "person" else 1):
            return len(chain)
    raise ValueError(f"no such question: {question}")


def chat_prompt(tokenizer, s):
    content = worldgen.PROMPT.format(context=s["context"], input=s["input"])
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=False,
        add_generation_prompt=True,
    )


@torch.no_grad()
def answer(model, tokenizer, s, max_new_tokens):
    """Greedy (ids, entropies): entropies[i] of the distribution of ids[i]."""
    end = set(model.generation_config.eos_token_id)
    ids = tokenizer(chat_prompt(tokenizer, s), return_tensors="pt").input_ids
    generated, entropies, cache = [], [], None
    while len(generated) < max_new_tokens:
        out = model(ids, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        log_p = out.logits[0, -1].log_softmax(-1)
        generated.append(int(log_p.argmax()))
        entropies.append(float(-(log_p.exp() * log_p).sum()))
        if generated[-1] in end:
            break
        ids = torch.tensor([generated[-1:]])
    return generated, entropies


def is_right(s, text):
    return f"The answer is {s['answers'][0]}." in text


def check(model, tokenizer, directory, samples, max_new_tokens):
    """The tokenizer, its template and generate() agree with training's."""
    with open(os.path.join(directory, "tokenizer.json"), encoding="utf-8") as f:
        data = json.load(f)["model"]
    own = bpe.Tokenizer(
        data["vocab"],
        [m if isinstance(m, list) else m.split(" ") for m in data["merges"]],
    )
    assert len(own) == len(tokenizer) == model.config.vocab_size
    for s in samples:
        prompt = chat_prompt(tokenizer, s)
        assert prompt == worldgen.prompt(s)
        for text in (prompt, s.get("rationale", "") + s.get("traveller", "")):
            ids = tokenizer(text).input_ids
            assert ids == own.encode(text)
            assert tokenizer.decode(ids) == text == own.decode(ids)
    for s in samples[:20]:
        ids = tokenizer(chat_prompt(tokenizer, s), return_tensors="pt")
        out = model.generate(
            **ids, max_new_tokens=max_new_tokens, do_sample=False
        )
        out = out[0, ids.input_ids.shape[1] :].tolist()
        assert out == answer(model, tokenizer, s, max_new_tokens)[0]
    print(f"checks passed on {len(samples)} samples")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="..", help="exported directory")
    parser.add_argument("--data", help="JSONL file instead of fresh samples")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument(
        "--passages",
        type=int,
        nargs=2,
        default=(16, 16),
        metavar=("FEWEST", "MOST"),
    )
    parser.add_argument("--seed", type=int, default=31337)
    parser.add_argument("--max-new-tokens", type=int, default=96)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--show", type=int, default=0, help="answers to print")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        args.model, dtype=torch.float32
    ).eval()
    if args.data:
        with open(args.data, encoding="utf-8") as f:
            samples = [json.loads(line) for line in f]
    else:
        samples = fresh_samples(args.seed, args.samples, args.passages)
    if args.check:
        check(model, tokenizer, args.model, samples, args.max_new_tokens)

    right, asked = collections.Counter(), collections.Counter()
    steps, lengths = collections.Counter(), []
    for i, s in enumerate(samples):
        ids, entropies = answer(model, tokenizer, s, args.max_new_tokens)
        text = tokenizer.decode(ids)
        lengths.append(len(tokenizer(chat_prompt(tokenizer, s)).input_ids))
        asked[hops(s)] += 1
        right[hops(s)] += is_right(s, text)
        for entropy in entropies:
            steps[sum(entropy > edge for edge in ENTROPY_EDGES)] += 1
        if i < args.show or (args.show < 0 and not is_right(s, text)):
            print(f"{s['input']}\n  wanted {s['answers'][0]}\n  {text}")

    print(f"prompt tokens: {min(lengths)} to {max(lengths)}")
    print("| hops | samples | right | share |\n|---|---|---|---|")
    for h in sorted(asked):
        print(f"| {h} | {asked[h]} | {right[h]} | {right[h] / asked[h]:.3f} |")
    n, ok = sum(asked.values()), sum(right.values())
    print(f"| all | {n} | {ok} | {ok / n:.3f} |")
    low, high = ENTROPY_EDGES
    print(
        f"steps with entropy <= {low} nats: {steps[0]}, between: {steps[1]},"
        f" > {high}: {steps[2]}"
    )


if __name__ == "__main__":
    main()
