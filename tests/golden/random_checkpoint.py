"""Makes a Qwen2 checkpoint of any shape with random but reproducible weights.

Every weight is a fixed function of its tensor's name and its index, so this
script and tests/reference/random_checkpoint.cc write the same bytes, and a
golden file needs no weights beside it:

    u     = splitmix64(fnv1a64(name) + index) >> 40        # 24 bits
    value = float32((2 * u / 2**24 - 1) * scale(name))

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
}
EOS = {"parity": [151645, 151643], "qwen2.5-0.5b": [151645, 151643]}
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


def weights(name, shape):
    scale = scale_of(name, shape)
    count = math.prod(shape)
    if scale is None:
        return np.ones(shape, np.float32)
    with np.errstate(over="ignore"):
        index = np.arange(count, dtype=np.uint64) + np.uint64(fnv1a64(name))
    u = (splitmix64(index) >> np.uint64(40)).astype(np.float32)
    unit = u * np.float32(2.0**-23) - np.float32(1)
    return (unit * np.float32(scale)).reshape(shape)


def tensors(c):
    """(name, shape) of every tensor, in the order of the file."""
    h, f = c["hidden_size"], c["intermediate_size"]
    q = c["num_attention_heads"] * c["head_dim"]
    kv = c["num_key_value_heads"] * c["head_dim"]
    out = [("model.embed_tokens.weight", (c["vocab_size"], h))]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out += [(p + "input_layernorm.weight", (h,)),
                (p + "self_attn.q_proj.weight", (q, h)),
                (p + "self_attn.q_proj.bias", (q,)),
                (p + "self_attn.k_proj.weight", (kv, h)),
                (p + "self_attn.k_proj.bias", (kv,)),
                (p + "self_attn.v_proj.weight", (kv, h)),
                (p + "self_attn.v_proj.bias", (kv,)),
                (p + "self_attn.o_proj.weight", (h, q)),
                (p + "post_attention_layernorm.weight", (h,)),
                (p + "mlp.gate_proj.weight", (f, h)),
                (p + "mlp.up_proj.weight", (f, h)),
                (p + "mlp.down_proj.weight", (h, f))]
    out.append(("model.norm.weight", (h,)))
    if not c["tie_word_embeddings"]:
        out.append(("lm_head.weight", (c["vocab_size"], h)))
    return out


def to_bfloat16_bytes(values):
    """Round to nearest, ties to even."""
    bits = values.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype("<u2").tobytes()


def config_of(shape, dtype):
    return {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
            "hidden_act": "silu", "rms_norm_eps": 1e-6,
            "use_sliding_window": False, "torch_dtype": dtype,
            "bos_token_id": 151643, "eos_token_id": 151645, **SHAPES[shape]}


def write(shape, dtype, out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    config = config_of(shape, dtype)
    (out / "config.json").write_text(json.dumps(config, indent=2))
    (out / "generation_config.json").write_text(
        json.dumps({"eos_token_id": EOS[shape], "do_sample": False}))
    size = {"float32": 4, "bfloat16": 2}[dtype]
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dims in tensors(config):
        end = offset + size * math.prod(dims)
        header[name] = {"dtype": {4: "F32", 2: "BF16"}[size],
                        "shape": list(dims), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(out / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, dims in tensors(config):
            values = weights(name, dims)
            file.write(values.astype("<f4").tobytes() if size == 4
                       else to_bfloat16_bytes(values))
    return config


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), required=True)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"],
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
