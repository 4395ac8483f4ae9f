"""Makes tests/golden/parity_*.json.gz: what Hugging Face transformers and plain
NumPy say, in float32, about a model and a prompt.
tests/server/telemetry/parity_test.cc checks engine and telemetry against it.

    pip install numpy torch transformers
    python3 tests/golden/parity_golden.py --shared ../shared

`nano` is the embedded model on two demo samples; `random` is a 4-layer GQA
checkpoint with random weights (random_checkpoint.py) on text tokenised with
the Qwen2.5 tokenizer, at several prompt lengths; `llama`, `qwen3` and `mistral`
are small random checkpoints of these architectures on random tokens, whose
files carry the configuration that the test writes the checkpoint from.
"""

import argparse
import gzip
import json
import pathlib
import tempfile

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import random_checkpoint
import recall_reference

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
POLICIES = ["h2o", "random", "oracle"]
SCOPES = ["global", "layer"]
BUDGETS = [0.05, 0.1, 0.2, 0.3, 0.5]
FEW_BUDGETS = [0.1, 0.3]
KEY = 0x0123456789ABCDEF
LOGIT_STRIDE = {"nano": 8, "random": 499, "small": 37}
# What the weights of each architecture's checkpoint are stored in.
STORAGE = {"llama": "float16", "qwen3": "bfloat16", "mistral": "float32"}


def case(model, ids, new_tokens, stride, eos, budgets=BUDGETS):
    prompt = torch.tensor([ids])
    with torch.no_grad():
        out = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
            repetition_penalty=1.0, max_new_tokens=new_tokens,
            eos_token_id=eos, pad_token_id=eos[0])
        tokens = out[0, len(ids):].tolist()
        text = torch.tensor([ids + tokens[:-1]])
        result = model(text, output_attentions=True)
    attentions = torch.stack(result.attentions)[:, 0].float().numpy()
    logits = result.logits[0].float().numpy()
    records = recall_reference.steps(attentions, logits, len(ids), tokens,
                                     POLICIES, SCOPES, budgets, KEY)
    near = sum(any(r["near"] for r in s["recalls"]) for s in records)
    print(f"  {len(ids)} prompt tokens, {len(tokens)} steps, "
          f"{near} with a near-tied cut")
    own = logits[len(ids) - 1:]
    # Column sums over the prompt's queries but the last, group means.
    groups = model.config.num_key_value_heads
    prefill = attentions[:, :, : len(ids) - 1, : len(ids) - 1].astype(
        np.float64).sum(2)
    prefill = prefill.reshape(prefill.shape[0], groups,
                              prefill.shape[1] // groups,
                              prefill.shape[-1]).mean(2)
    return dict(prompt=ids, tokens=tokens, steps=records,
                max_logit=float(np.abs(own).max()), logit_stride=stride,
                logits=[[float(f"{v:.8g}") for v in row[::stride]]
                        for row in own],
                prefill_sums=[[[float(f"{v:.9g}") for v in row]
                               for row in layer] for layer in prefill])


def load(directory):
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def write(name, cases, budgets=BUDGETS, **more):
    body = dict(made_by="tests/golden/parity_golden.py", policies=POLICIES,
                scopes=SCOPES, budgets=budgets, sample_key=f"{KEY:016x}",
                cases=cases, **more)
    path = HERE / f"parity_{name}.json.gz"
    # mtime 0: the same content gives the same file.
    path.write_bytes(gzip.compress(json.dumps(body).encode(), 9, mtime=0))
    print(f"{path.name}: {path.stat().st_size} bytes")


def nano():
    directory = ROOT / "deploy/models/nano"
    model = load(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    template = (directory / "demo/template.txt").read_text()
    lines = (directory / "demo/demo.jsonl").read_text().splitlines()
    cases = []
    for line in (lines[0], lines[7]):
        sample = json.loads(line)
        text = template.replace("{context}", sample["context"]).replace(
            "{input}", sample["input"])
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True,
            return_dict=True)["input_ids"]
        cases.append(case(model, ids, 64, LOGIT_STRIDE["nano"],
                          model.generation_config.eos_token_id))
    write("nano", cases)


def random(shared):
    with tempfile.TemporaryDirectory() as directory:
        random_checkpoint.write("parity", "float32", directory)
        model = load(directory)
        tokenizer = AutoTokenizer.from_pretrained(
            shared / "data/qwen2.5-tokenizer")
        path = shared / "data/longbench/short_hotpotqa.jsonl"
        contexts = (json.loads(line)["context"]
                    for line in path.read_text().splitlines())
        ids = next(ids for ids in (tokenizer(text)["input_ids"]
                                   for text in contexts) if len(ids) > 600)
        # One token (nothing to prefill), two, odd lengths, and a text that is
        # longer than a prefill chunk.
        cases = [case(model, ids[:p], steps, LOGIT_STRIDE["random"],
                      random_checkpoint.EOS["parity"])
                 for p, steps in ((1, 12), (2, 8), (33, 24), (600, 40))]
        write("random", cases)


def architecture(name):
    storage = STORAGE[name]
    with tempfile.TemporaryDirectory() as directory:
        config = random_checkpoint.write(name, storage, directory)
        model = load(directory)
        vocabulary = np.arange(3, config["vocab_size"])
        ids = np.random.default_rng(1).choice(vocabulary, 300).tolist()
        # One token, less than a prefill chunk of 50, and positions behind the
        # original length of every scaling.
        cases = [case(model, ids[:p], steps, LOGIT_STRIDE["small"],
                      config["eos_token_id"], FEW_BUDGETS)
                 for p, steps in ((1, 8), (40, 12), (300, 16))]
        write(name, cases, FEW_BUDGETS, config=config,
              storage=random_checkpoint.STORED[storage])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=pathlib.Path,
                        help="directory with data/qwen2.5-tokenizer and "
                             "data/longbench; for random")
    names = ["nano", "random", *STORAGE]
    parser.add_argument("--only", choices=names, nargs="+", default=names)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    if "random" in args.only and args.shared is None:
        parser.error("random needs --shared")
    for name in args.only:
        if name in STORAGE:
            architecture(name)
        elif name == "random":
            random(args.shared)
        else:
            nano()


if __name__ == "__main__":
    main()
