"""Makes tests/golden/rope.json.gz: the inverse frequencies, cosines and sines
that Hugging Face transformers computes for every kind of RoPE scaling.
tests/server/engine/rope_test.cc checks server/engine/rope against it.

    pip install torch transformers
    python3 tests/golden/rope_golden.py
"""

import copy
import gzip
import json
import pathlib

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

HERE = pathlib.Path(__file__).parent
POSITIONS = [0, 1, 2, 63, 777, 4000]
LLAMA3 = dict(rope_type="llama3", low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=8192)

# name: (head size, max_position_embeddings, what else config.json says).
CASES = {
    "default": (64, 4096, dict()),
    "default, theta 1e6": (128, 32768, dict(rope_theta=1e6)),
    "linear, old spelling": (64, 16384, dict(
        rope_theta=10000.0, rope_scaling=dict(type="linear", factor=4.0))),
    "linear, new spelling": (80, 16384, dict(rope_parameters=dict(
        rope_type="linear", factor=2.5, rope_theta=5e5))),
    "llama3, Llama 3.1": (128, 131072, dict(
        rope_theta=5e5, rope_scaling=dict(LLAMA3, factor=8.0))),
    "llama3, Llama 3.2": (64, 131072, dict(
        rope_theta=5e5, rope_scaling=dict(LLAMA3, factor=32.0))),
    "yarn, Qwen2.5": (128, 32768, dict(
        rope_theta=1e6, rope_scaling=dict(
            type="yarn", factor=4.0, original_max_position_embeddings=32768))),
    "yarn, Qwen3 in the new spelling": (128, 131072, dict(rope_parameters=dict(
        rope_type="yarn", factor=4.0, rope_theta=1e6,
        original_max_position_embeddings=32768))),
    "yarn, original length absent": (64, 2048, dict(
        rope_scaling=dict(rope_type="yarn", factor=8.0))),
    "yarn, factor null": (64, 16384, dict(rope_scaling=dict(
        rope_type="yarn", factor=None,
        original_max_position_embeddings=4096))),
    "yarn, mscale": (64, 163840, dict(rope_scaling=dict(
        type="yarn", factor=40, mscale=1.0, mscale_all_dim=0.707,
        beta_fast=32, beta_slow=1, original_max_position_embeddings=4096))),
    "yarn, attention_factor, betas, no truncation": (64, 8192, dict(
        rope_theta=150000.0, rope_scaling=dict(
            rope_type="yarn", factor=3.0, attention_factor=1.25,
            beta_fast=24.0, beta_slow=2.0, truncate=False,
            original_max_position_embeddings=2048))),
    "yarn, bounds that meet": (16, 64, dict(rope_scaling=dict(
        rope_type="yarn", factor=2.0, original_max_position_embeddings=4))),
    # It has precedence over the one in rope_scaling.
    "llama3, original length at the top level": (64, 131072, dict(
        original_max_position_embeddings=1024, rope_theta=5e5,
        rope_scaling=dict(LLAMA3, factor=8.0))),
}


def floats(tensor):
    """Nine digits name a float32."""
    return [float(f"{v:.9g}") for v in tensor.flatten().tolist()]


def case(name, head_dim, max_positions, settings):
    # transformers changes the dictionaries that it is given.
    config = LlamaConfig(hidden_size=4 * head_dim, num_attention_heads=4,
                         head_dim=head_dim,
                         max_position_embeddings=max_positions,
                         **copy.deepcopy(settings))
    rope = LlamaRotaryEmbedding(config)
    cos, sin = rope(torch.zeros(1), torch.tensor([POSITIONS]))
    half = head_dim // 2
    return dict(name=name, head_dim=head_dim,
                config=dict(max_position_embeddings=max_positions, **settings),
                inverse_frequencies=floats(rope.inv_freq),
                attention_factor=rope.attention_scaling,
                cos=floats(cos[0, :, :half]), sin=floats(sin[0, :, :half]))


def main():
    body = dict(made_by="tests/golden/rope_golden.py", positions=POSITIONS,
                cases=[case(name, *rest) for name, rest in CASES.items()])
    path = HERE / "rope.json.gz"
    path.write_bytes(gzip.compress(json.dumps(body).encode(), 9, mtime=0))
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
