"""Makes a checkpoint of any shape with random but reproducible weights.

Every weight is a fixed function of its tensor's name and its index, so this
script and tests/reference/random_checkpoint.cc write the same bytes, and a
golden file needs no weights beside it:

    u     = splitmix64(fnv1a64(name) + index) >> 40        # 24 bits
    value = float32((2 * u / 2**24 - 1) * scale(name))

Norms are all ones, but those of queries and keys, which are 1.5 + value.
The scales make attention rows peaked, as a trained model's are, so that
recalls are neither all 0 nor decided by ties.

    python3 tests/golden/random_checkpoint.py --shape qwen2.5-0.5b \
        --dtype bfloat16 --tokenizer DIR --out DIR
"""

import argparse
import json
import math
import pathlib
import shutil
import struct

import numpy as np

SHAPES = {
    # The parity tests' model: 4 layers, 8 query heads on 2 KV heads, a head
    # size that is not hidden / heads, an untied head.
    "parity": dict(hidden_size=64, intermediate_size=160, num_hidden_layers=4,
                   num_attention_heads=8, num_key_value_heads=2, head_dim=16,
                   vocab_size=151936, rope_theta=1e6,
                   max_position_embeddings=4096, tie_word_embeddings=False),
    "qwen2.5-0.5b": dict(hidden_size=896, intermediate_size=4864,
                         num_hidden_layers=24, num_attention_heads=14,
                         num_key_value_heads=2, head_dim=64,
                         vocab_size=151936, rope_theta=1e6,
                         max_position_embeddings=32768,
                         tie_word_embeddings=True),
    # One of each further architecture, between them with every kind of RoPE
    # scaling: bias on all four projections; norms of queries and keys and a
    # head size that is not hidden / heads; one KV head.
    "llama": dict(architectures=["LlamaForCausalLM"], model_type="llama",
                  hidden_size=64, intermediate_size=160, num_hidden_layers=3,
                  num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                  vocab_size=1000, max_position_embeddings=2048,
                  attention_bias=True, tie_word_embeddings=False,
                  rope_theta=10000.0,
                  rope_scaling=dict(rope_type="llama3", factor=8.0,
                                    low_freq_factor=1.0, high_freq_factor=4.0,
                                    original_max_position_embeddings=256),
                  bos_token_id=0, eos_token_id=[1, 2]),
    "qwen3": dict(architectures=["Qwen3ForCausalLM"], model_type="qwen3",
                  hidden_size=64, intermediate_size=160, num_hidden_layers=3,
                  num_attention_heads=8, num_key_value_heads=2, head_dim=16,
                  vocab_size=1000, max_position_embeddings=512,
                  attention_bias=False, tie_word_embeddings=False,
                  rope_parameters=dict(rope_type="yarn", factor=4.0,
                                       rope_theta=10000.0,
                                       original_max_position_embeddings=128),
                  bos_token_id=0, eos_token_id=[1, 2]),
    "mistral": dict(architectures=["MistralForCausalLM"], model_type="mistral",
                    hidden_size=64, intermediate_size=160, num_hidden_layers=3,
                    num_attention_heads=4, num_key_value_heads=1, head_dim=16,
                    vocab_size=1000, max_position_embeddings=8192,
                    sliding_window=None, tie_word_embeddings=False,
                    rms_norm_eps=1e-5, rope_theta=10000.0,
                    rope_scaling=dict(type="linear", factor=4.0),
                    bos_token_id=0, eos_token_id=[1, 2]),
}
# The Qwen shapes' generation_config.json names more than their config.json.
EOS = {"parity": [151645, 151643], "qwen2.5-0.5b": [151645, 151643]}
SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
STORED = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
MASK = np.uint64(0xFFFFFFFFFFFFFFFF)


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def splitmix64(x):
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def scale_of(name, shape):
    """Half the width of the uniform distribution that a tensor is drawn from."""
    if "layernorm" in name or name == "model.norm.weight":
        return None  # all ones
    if name.endswith("bias"):
        return 0.25
    if "embed_tokens" in name:
        return 1.0
    gain = 1.0
    if "q_proj" in name or "k_proj" in name:
        gain = 2.0
    if name == "lm_head.weight":
        gain = 2.0
    return gain * math.sqrt(3.0 / shape[-1])


def uniform(name, shape, scale):
    count = math.prod(shape)
    with np.errstate(over="ignore"):
        index = np.arange(count, dtype=np.uint64) + np.uint64(fnv1a64(name))
    u = (splitmix64(index) >> np.uint64(40)).astype(np.float32)
    unit = u * np.float32(2.0**-23) - np.float32(1)
    return (unit * np.float32(scale)).reshape(shape)


def weights(name, shape):
    # Far from 1, so that a norm that is left out is seen.
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        return np.float32(1.5) + uniform(name, shape, 1.0)
    scale = scale_of(name, shape)
    if scale is None:
        return np.ones(shape, np.float32)
    return uniform(name, shape, scale)


def tensors(c):
    """(name, shape) of every tensor, in the order of the file."""
    architecture = c["architectures"][0]
    o_bias = c.get("attention_bias", False)
    qkv_bias = o_bias or architecture == "Qwen2ForCausalLM"
    h, f = c["hidden_size"], c["intermediate_size"]
    q = c["num_attention_heads"] * c["head_dim"]
    kv = c["num_key_value_heads"] * c["head_dim"]
    out = [("model.embed_tokens.weight", (c["vocab_size"], h))]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out.append((p + "input_layernorm.weight", (h,)))
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            out.append((p + f"self_attn.{name}_proj.weight", (rows, h)))
            if qkv_bias:
                out.append((p + f"self_attn.{name}_proj.bias", (rows,)))
        if architecture == "Qwen3ForCausalLM":
            out += [(p + "self_attn.q_norm.weight", (c["head_dim"],)),
                    (p + "self_attn.k_norm.weight", (c["head_dim"],))]
        out.append((p + "self_attn.o_proj.weight", (h, q)))
        if o_bias:
            out.append((p + "self_attn.o_proj.bias", (h,)))
        out += [(p + "post_attention_layernorm.weight", (h,)),
                (p + "mlp.gate_proj.weight", (f, h)),
                (p + "mlp.up_proj.weight", (f, h)),
                (p + "mlp.down_proj.weight", (h, f))]
    out.append(("model.norm.weight", (h,)))
    if not c["tie_word_embeddings"]:
        out.append(("lm_head.weight", (c["vocab_size"], h)))
    return out


def to_bytes(values, dtype):
    """Round to nearest, ties to even."""
    if dtype != "bfloat16":
        return values.astype({"float32": "<f4", "float16": "<f2"}[dtype])\
            .tobytes()
    bits = values.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype("<u2").tobytes()


def config_of(shape, dtype):
    return {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
            "hidden_act": "silu", "rms_norm_eps": 1e-6,
            "use_sliding_window": False, "torch_dtype": dtype,
            "bos_token_id": 151643, "eos_token_id": 151645, **SHAPES[shape]}


# What writes into the residual stream.
RESIDUAL = ("o_proj.weight", "down_proj.weight")


def write(shape, dtype, out, calm=False):
    """`calm`: what writes into the residual stream is scaled by 1/layers, and the
    head is not tied, or a text would only repeat itself. Without it a deep
    network of random weights is chaotic: rounding errors of 1e-7 grow to 1e-3
    over 24 layers, in any implementation."""
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    config = config_of(shape, dtype)
    if calm:
        config["tie_word_embeddings"] = False
    (out / "config.json").write_text(json.dumps(config, indent=2))
    if shape in EOS:
        (out / "generation_config.json").write_text(
            json.dumps({"eos_token_id": EOS[shape], "do_sample": False}))
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dims in tensors(config):
        end = offset + SIZES[dtype] * math.prod(dims)
        header[name] = {"dtype": STORED[dtype], "shape": list(dims),
                        "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(out / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, dims in tensors(config):
            values = weights(name, dims)
            if calm and name.endswith(RESIDUAL):
                values *= np.float32(1 / config["num_hidden_layers"])
            file.write(to_bytes(values, dtype))
    return config


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), required=True)
    parser.add_argument("--dtype", choices=sorted(SIZES),
                        default="float32")
    parser.add_argument("--tokenizer",
                        help="directory whose tokenizer files are copied")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    write(args.shape, args.dtype, args.out)
    if args.tokenizer:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(pathlib.Path(args.tokenizer) / name, args.out)


if __name__ == "__main__":
    main()
