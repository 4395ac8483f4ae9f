"""Trains the model on endless generated text.

Every batch is new, so the accuracy logged over the training batches is also
the accuracy on unseen samples. Training starts with few passages and goes on
to more once first questions are answered well enough. The learning rate warms
up, stays, and falls to zero over the last part of `--seconds`.

A checkpoint (`--checkpoint`) is written every few minutes; running the same
command again goes on from it.
"""

import argparse
import os
import random
import time

import torch
import torch.nn.functional as F

import bpe
import export
import model as nano
import worldgen

# Passages (fewest, most) and tokens per row, one stage after the other.
STAGES = [
    ((5, 8), 352),
    ((6, 12), 448),
    ((9, 16), 448),
    ((9, 24), 640),
]

# Loss weights. Names in the facts are what has to be retrieved. A traveller's
# name is free, so it only has to stay possible.
WEIGHT_NAME = 3.0
WEIGHT_FACT = 1.0
WEIGHT_TRAVELLER = 0.3
WEIGHT_GIVEN = 0.1


def row(rng, tokenizer, name_ids, passages, length):
    """One world with as many questions as fill `length` tokens.

    Returns (ids, weights, owner): owner[i] is the number of the question whose
    facts token i belongs to, or -1.
    """
    s = worldgen.sample(rng, passages, turns=16)
    ids, weights, owner = [], [], []

    def add(text, turn, *, facts=False, weight=WEIGHT_GIVEN):
        for token in tokenizer.encode(text):
            ids.append(token)
            owner.append(turn if facts else -1)
            if facts:
                is_name = token in name_ids
                weights.append(WEIGHT_NAME if is_name else WEIGHT_FACT)
            else:
                weights.append(weight)

    for turn, question in enumerate([s] + s["more"]):
        if len(ids) >= length:
            break
        given = worldgen.next_prompt(question) if turn else worldgen.prompt(s)
        add(given, turn)
        add(question["rationale"], turn, facts=True)
        add(question["traveller"], turn, weight=WEIGHT_TRAVELLER)
        add("<|im_end|>", turn, weight=WEIGHT_FACT)
    return ids[:length], weights[:length], owner[:length]


def batch(rng, tokenizer, name_ids, stage, tokens):
    """Tensors [rows, length] of ids, weights and owners."""
    (fewest, most), length = STAGES[stage]
    rows = [
        row(rng, tokenizer, name_ids, rng.randint(fewest, most), length)
        for _ in range(max(1, tokens // length))
    ]
    ids, weights, owner = zip(*rows)
    return torch.tensor(ids), torch.tensor(weights), torch.tensor(owner)


def loss_and_hits(model, ids, weights):
    """Weighted cross-entropy, and whether each next token was the top one."""
    logits = model.logits(model(ids[:, :-1])).float()
    targets = ids[:, 1:]
    losses = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none"
    ).view(targets.shape)
    weights = weights[:, 1:]
    loss = (losses * weights).sum() / weights.sum()
    return loss, logits.argmax(-1) == targets


def exact(hits, owner):
    """(first questions right, all of them, any questions right, all)."""
    owner = owner[:, 1:]
    first_right = right = asked = 0
    for turn in range(int(owner.max()) + 1):
        mine = owner == turn
        present = mine.any(1)
        solved = (hits | ~mine).all(1) & present
        right += int(solved.sum())
        asked += int(present.sum())
        if turn == 0:
            first_right = int(solved.sum())
    return first_right, len(owner), right, asked


def make_optimizers(model, args):
    """Muon for the layers' matrices, AdamW for everything else."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim == 2 and "layers" in name
        (matrices if is_matrix else others).append(parameter)
    return [
        torch.optim.Muon(
            matrices,
            lr=args.lr,
            weight_decay=0.01,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(
            others, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        ),
    ]


def rate(step, elapsed, args):
    """Share of the peak learning rate."""
    left = max(0.0, 1.0 - elapsed / args.seconds)
    return min(1.0, (step + 1) / args.warmup_steps, left / args.decay)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=5400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--warmup-steps", type=int, default=100)
    parser.add_argument(
        "--decay",
        type=float,
        default=0.3,
        help="last share of the time, in which the rate falls",
    )
    parser.add_argument("--batch-tokens", type=int, default=3072)
    parser.add_argument(
        "--advance-at",
        type=float,
        default=0.85,
        help="exact first answers that end a stage",
    )
    parser.add_argument("--stage", type=int, help="go to this stage now")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--vocab", default="vocab.json")
    parser.add_argument("--checkpoint", default="checkpoint.pt")
    parser.add_argument("--out", default="exported")
    return parser.parse_args()


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    tokenizer = bpe.Tokenizer.load(args.vocab)
    name_ids = {tokenizer.encode(f" {n}")[0] for n in worldgen.NAMES}
    model = nano.Nano(nano.Config(vocab_size=len(tokenizer)))
    optimizers = make_optimizers(model, args)
    state = {"step": 0, "tokens": 0, "elapsed": 0.0, "stage": 0}
    if os.path.exists(args.checkpoint):
        saved = torch.load(args.checkpoint)
        model.load_state_dict(saved["model"])
        for optimizer, values in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(values)
        state = saved["state"]
    if args.stage is not None:
        state["stage"] = args.stage
    step_loss = loss_and_hits
    if args.compile:
        step_loss = torch.compile(loss_and_hits, dynamic=False)

    def save():
        torch.save(
            {
                "model": model.state_dict(),
                "optimizers": [o.state_dict() for o in optimizers],
                "state": state,
            },
            args.checkpoint + ".new",
        )
        os.replace(args.checkpoint + ".new", args.checkpoint)
        export.export(model, tokenizer, args.out)

    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, {state}",
        flush=True,
    )
    window, window_loss = [0, 0, 0, 0], 0.0
    last = saved_at = time.monotonic()
    while state["elapsed"] < args.seconds:
        rng = random.Random(f"train {args.seed} {state['step']}")
        ids, weights, owner = batch(
            rng, tokenizer, name_ids, state["stage"], args.batch_tokens
        )
        share = rate(state["step"], state["elapsed"], args)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, hits = step_loss(model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = args.lr * share
            optimizer.step()
            optimizer.zero_grad()

        state["step"] += 1
        state["tokens"] += ids.numel()
        now = time.monotonic()
        state["elapsed"] += now - last
        last = now
        window = [a + b for a, b in zip(window, exact(hits, owner))]
        window_loss += loss.item()
        if state["step"] % 50 == 0:
            first = window[0] / window[1]
            print(
                f"{state['elapsed']:.0f}s step {state['step']}"
                f" stage {state['stage']} {state['tokens'] / 1e6:.2f}M tokens"
                f" rate {share:.2f} loss {window_loss / 50:.3f}"
                f" exact first {first:.3f} any {window[2] / window[3]:.3f}",
                flush=True,
            )
            window, window_loss = [0, 0, 0, 0], 0.0
            if first >= args.advance_at and state["stage"] + 1 < len(STAGES):
                state["stage"] += 1
        if now - saved_at > 180:
            saved_at = now
            save()
    save()


if __name__ == "__main__":
    main()
