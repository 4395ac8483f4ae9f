"""Writes a model as a Hugging Face directory of the Qwen2 family."""

import json
import os

import safetensors.torch
import torch

import bpe

# ChatML without a default system message: a lone user message gives exactly
# the text that the model was trained on.
CHAT_TEMPLATE = (
    "{%- for message in messages %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + message.content"
    " + '<|im_end|>' + '\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|im_start|>assistant\\n' }}\n"
    "{%- endif %}\n"
)


def _config(config, tokenizer):
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": tokenizer.ids["<|endoftext|>"],
        "eos_token_id": tokenizer.ids["<|im_end|>"],
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "max_window_layers": config.num_hidden_layers,
        "model_type": "qwen2",
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_layers": config.num_hidden_layers,
        "num_key_value_heads": config.num_key_value_heads,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": config.vocab_size,
    }


def _generation_config(tokenizer):
    end = tokenizer.ids["<|endoftext|>"]
    return {
        "bos_token_id": end,
        "do_sample": False,
        "eos_token_id": [tokenizer.ids["<|im_end|>"], end],
        "pad_token_id": end,
    }


def _tokenizer_config(config, tokenizer):
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(tokenizer.ids[token]): {
                "content": token,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
            for token in bpe.SPECIAL
        },
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": config.max_position_embeddings,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def export(model, tokenizer, out):
    """Writes weights (BF16), configuration and tokenizer to folder `out`.

    Each file is replaced in one step, so a reader sees the old or the new one.
    """
    os.makedirs(out, exist_ok=True)

    def replace(name, write):
        path = os.path.join(out, name)
        write(path + ".new")
        os.chmod(path + ".new", 0o644)
        os.replace(path + ".new", path)

    def write_json(value):
        def write(path):
            with open(path, "w", encoding="utf-8") as f:
                json.dump(value, f, indent=2)
                f.write("\n")

        return write

    config = model.config
    weights = {
        name: value.detach().to(torch.bfloat16).contiguous()
        for name, value in model.state_dict().items()
    }
    replace("config.json", write_json(_config(config, tokenizer)))
    replace("generation_config.json", write_json(_generation_config(tokenizer)))
    replace(
        "tokenizer_config.json",
        write_json(_tokenizer_config(config, tokenizer)),
    )
    replace("tokenizer.json", tokenizer.write_tokenizer_json)
    replace(
        "model.safetensors",
        lambda path: safetensors.torch.save_file(
            weights, path, metadata={"format": "pt"}
        ),
    )
