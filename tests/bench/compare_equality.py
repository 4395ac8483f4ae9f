"""Recalls of transformers' eager attention in float32, to be compared with
kvrecall's. Each layer's attention is reduced as soon as it exists, so that
memory holds one layer's matrix and not all layers'."""

import json
import math

import torch

import recall_reference
from compare_recalls import (BUDGETS, METRICS, POLICIES, SCOPES, Recalls,
                             distribution)
from compare_workers import load, prompt_tokens, set_threads

CHECK_PROMPT, CHECK_STEPS = 48, 6


def forced_tokens(count, vocabulary):
    return [(i * 104729 + 7) % vocabulary for i in range(count)]


class Reducer:
    """Of each layer: column sums [layers, P - 1] of the prompt's queries but
    the last and the rows of the steps [layers][steps, N], means over heads."""

    def __init__(self, model, prompt):
        self.prompt, self.sums, self.rows = prompt, [], []
        self.handles = [
            layer.self_attn.register_forward_hook(self._reduce)
            for layer in model.model.layers]

    def _reduce(self, module, inputs, output):
        weights = output[1][0]  # [query heads, T, T]
        weights[weights < recall_reference.TINY] = 0
        last = self.prompt - 1
        self.sums.append(weights[:, :last, :last].sum(
            1, dtype=torch.float64).mean(0))
        self.rows.append(weights[:, last:].double().mean(0))

    def close(self):
        for handle in self.handles:
            handle.remove()


def transformers_records(model, prompt, forced):
    """One record a step, from one forward pass over prompt and continuation."""
    reducer = Reducer(model, len(prompt))
    text = torch.tensor([prompt + forced[:-1]])
    logits = model(input_ids=text, use_cache=False,
                   logits_to_keep=len(forced)).logits[0].double()
    reducer.close()
    recalls = Recalls(len(reducer.sums), text.shape[1], exact=True)
    recalls.begin(torch.stack(reducer.sums))
    rows = torch.stack(reducer.rows)  # [layers, steps, T]
    records = []
    for i, token in enumerate(forced):
        n = len(prompt) + i
        entropy, log_p = distribution(logits[i])
        records.append(dict(step=i + 1, n=n, token_id=token, entropy=entropy,
                            logprob=float(log_p[token]),
                            recalls=recalls.observe(rows[:, i, :n])))
    return records


def check_against_reference(model):
    """That compare_recalls.py says what recall_reference.py says."""
    vocabulary = model.config.vocab_size
    prompt = prompt_tokens(CHECK_PROMPT, vocabulary)
    forced = forced_tokens(CHECK_STEPS, vocabulary)
    out = model(input_ids=torch.tensor([prompt + forced[:-1]]),
                use_cache=False, output_attentions=True)
    want = recall_reference.steps(
        torch.stack(out.attentions)[:, 0].numpy(), out.logits[0].numpy(),
        len(prompt), forced, POLICIES, SCOPES, BUDGETS, 0)
    got = transformers_records(model, prompt, forced)
    for a, b in zip(got, want, strict=True):
        for x, y in zip(a["recalls"], b["recalls"], strict=True):
            same = x["k"] == y["k"] and x["near"] == y["near"] and all(
                abs(x[m] - y[m]) < 1e-9 for m in METRICS)
            if not same:
                raise RuntimeError(
                    f"compare_recalls.py disagrees with recall_reference.py "
                    f"at step {a['step']}: {x} instead of {y}")


@torch.inference_mode()
def write_records(checkpoint, tokens_path, records_path, threads):
    set_threads(threads)
    model = load(checkpoint, "eager", torch.float32)
    check_against_reference(model)
    with open(tokens_path) as file:
        tokens = json.load(file)
    records = transformers_records(model, tokens["prompt"], tokens["forced"])
    with open(records_path, "w") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


def same_recall(got, want):
    """As tests/server/telemetry/parity_test.cc has it."""
    return (math.isclose(got["recall"], want["recall"], rel_tol=0,
                         abs_tol=1e-12)
            and math.isclose(got["chance"], want["chance"], rel_tol=0,
                             abs_tol=1e-12)
            and abs(got["mass_ratio"] - want["mass_ratio"]) < 1e-4)


def lane_name(recall):
    return recall["policy"], recall["scope"], float(recall["budget"])


def compare(got, want):
    """A tally of kvrecall's records `got` against transformers' `want`."""
    tally = dict(steps=len(want), recalls=0, equal=0, near_ties=0,
                 otherwise=0, max_entropy_difference=0.0,
                 max_logprob_difference=0.0, max_mass_difference=0.0,
                 differing=[])
    for a, b in zip(got, want, strict=True):
        if (a["step"], a["n"], a["token_id"]) != (
                b["step"], b["n"], b["token_id"]):
            raise RuntimeError(f"step {b['step']} is not the same step")
        for field in ("entropy", "logprob"):
            key = f"max_{field}_difference"
            tally[key] = max(tally[key], abs(a[field] - b[field]))
        for x, y in zip(a["recalls"], b["recalls"], strict=True):
            compare_recall(a["step"], x, y, tally)
    return tally


def compare_recall(step, got, want, tally):
    if lane_name(got) != lane_name(want) or got["k"] != want["k"]:
        raise RuntimeError(f"step {step}: {got} is not the lane of {want}")
    mass = abs(got["mass"] - want["mass"])
    tally["max_mass_difference"] = max(tally["max_mass_difference"], mass)
    tally["recalls"] += 1
    if same_recall(got, want) and mass < 1e-4:
        tally["equal"] += 1
        return
    near = want["near"] and mass < 1e-4
    tally["near_ties" if near else "otherwise"] += 1
    tally["differing"].append(
        dict(step=step, policy=want["policy"], scope=want["scope"],
             budget=want["budget"], k=want["k"], got=got["recall"],
             want=want["recall"], gap=want["gap"], mass_difference=mass))
