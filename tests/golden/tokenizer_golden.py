#!/usr/bin/env python3
"""Makes the golden ids that the C++ tokenizer is compared with.

usage: tokenizer_golden.py [NAME...]      (from the repository's root)

Needs `pip install tokenizers jinja2`. Names: gpt2_style, llama3_style, nano,
qwen2.5, chat; all by default. qwen2.5 reads ../shared/data/qwen2.5-tokenizer
and, for real text of which only digests are kept, ../shared/data/longbench.

A golden is gzipped JSON lines:
  {"tokenizers": VERSION, "file_sha256": HEX}
  ["encode", BASE64, [ids with special tokens added]]
  ["decode", [ids], BASE64 of the text, BASE64 with special tokens skipped]
  ["longbench", FILE, LINE, number of ids, SHA-256 of the ids joined by " "]
"""

import base64
import gzip
import hashlib
import json
import pathlib
import random
import sys

import jinja2
import tokenizers

import tokenizer_cases

HERE = pathlib.Path(__file__).parent
SHARED = HERE / "../../../shared"


def b64(data):
    return base64.b64encode(data).decode()


def encode_lines(tokenizer, cases):
    for case in cases:
        text = case.decode("utf-8", errors="replace")
        yield ["encode", b64(case), tokenizer.encode(text).ids]


def decode_lines(tokenizer, rng, cases, count):
    """Cut, shuffled and random ids, so that characters come apart."""
    size = tokenizer.get_vocab_size()
    for _ in range(count):
        text = rng.choice(cases).decode("utf-8", errors="replace")
        ids = tokenizer.encode(text).ids
        kind = rng.randrange(4)
        if kind == 0:
            ids = ids[rng.randrange(len(ids) + 1):]
        elif kind == 1:
            rng.shuffle(ids)
        elif kind == 2:
            ids = [rng.randrange(size + 5) for _ in range(rng.randrange(12))]
        else:
            ids += [rng.randrange(max(0, size - 30), size) for _ in range(3)]
        ids = ids[:24]
        texts = [tokenizer.decode(ids, skip_special_tokens=skip)
                 for skip in (False, True)]
        yield ["decode", ids] + [b64(text.encode()) for text in texts]


def longbench_lines(tokenizer):
    for path in sorted((SHARED / "data/longbench").glob("*.jsonl")):
        for number, line in enumerate(path.read_text("utf-8").splitlines()):
            ids = tokenizer.encode(json.loads(line)["context"]).ids
            digest = hashlib.sha256(" ".join(map(str, ids)).encode())
            yield ["longbench", path.name, number, len(ids), digest.hexdigest()]


def write(name, path, scale, with_longbench):
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    names = [token.content
             for token in tokenizer.get_added_tokens_decoder().values()]
    cases = tokenizer_cases.all_cases(20240607, names, scale)
    rng = random.Random(7)
    lines = [{"tokenizers": tokenizers.__version__,
              "file_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}]
    lines += encode_lines(tokenizer, cases)
    lines += decode_lines(tokenizer, rng, cases, int(1000 * scale))
    if with_longbench:
        lines += longbench_lines(tokenizer)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n"
                   for line in lines)
    out = HERE / f"tokenizer_{name}.golden.gz"
    out.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{out.name}: {len(cases)} strings, {len(lines)} lines, "
          f"{out.stat().st_size} bytes")


def train(pre_tokenizer, vocabulary_size):
    """A small BPE over text of every kind, with the whole byte alphabet."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary_size, show_progress=False,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    rng = random.Random(99)
    corpus = [make(rng) for _ in range(4000)
              for make in (tokenizer_cases.text, tokenizer_cases.spaces,
                           tokenizer_cases.numbers)]
    corpus += tokenizer_cases.CODE * 20 + list(tokenizer_cases.by_block(rng))
    tokenizer.train_from_iterator(corpus, trainer)
    return json.loads(tokenizer.to_str())


def added(content, **flags):
    return {"id": None, "content": content, "single_word": False,
            "lstrip": False, "rstrip": False, "normalized": False,
            "special": False, **flags}


def number(vocabulary, tokens):
    """Gives added tokens the ids that the package will give them."""
    fresh = len(vocabulary)
    for token in tokens:
        token["id"] = vocabulary.get(token["content"], fresh)
        fresh += token["id"] == fresh
    return tokens


def save_fixture(name, root):
    path = HERE / f"tokenizer_{name}.json"
    path.write_text(json.dumps(root, ensure_ascii=False,
                               separators=(",", ":")) + "\n", "utf-8")
    return path


def gpt2_style():
    """ByteLevel's own pattern and prefix space, NFC, every added-token flag,
    merges as pairs."""
    root = train(
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True), 1400)
    root["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}]}
    root["model"]["merges"] = [
        m if isinstance(m, list) else m.split(" ")
        for m in root["model"]["merges"]]
    root["added_tokens"] = number(root["model"]["vocab"], [
        added("the", single_word=True),
        added("<|end|>", special=True),
        added("<mask>", lstrip=True, special=True),
        added("<right>", rstrip=True),
        added("<both>", lstrip=True, rstrip=True, normalized=True),
        added("caf\u00e9", normalized=True),
        added("<mask><mask>"),
        added("word", single_word=True, normalized=True),
        added("a b"),
        added("\u6771", special=True),
        added("\n"),
        added("KV", single_word=True, lstrip=True, rstrip=True),
    ])
    return save_fixture("gpt2_style", root)


def llama3_style():
    """Llama 3's split, ignore_merges with words no merge reaches, and a
    template that puts one token before."""
    split = tokenizers.pre_tokenizers.Split(
        tokenizers.Regex(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
            r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated")
    root = train(
        tokenizers.pre_tokenizers.Sequence(
            [split, tokenizers.pre_tokenizers.ByteLevel(
                add_prefix_space=False, use_regex=False)]), 1400)
    vocabulary = root["model"]["vocab"]
    root["model"]["merges"] = [
        m if isinstance(m, str) else " ".join(m)
        for m in root["model"]["merges"]]
    root["model"]["ignore_merges"] = True
    byte_level = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False)
    for word in (" Entropy", "Oniguruma", "123", " \u6771\u4eac", "NUMBER"):
        token = "".join(t for t, _ in byte_level.pre_tokenize_str(word))
        vocabulary.setdefault(token, len(vocabulary))
    n = len(vocabulary)
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
             "<|end_header_id|>", "<|eot_id|>"]
    root["added_tokens"] = number(
        vocabulary, [added(name, special=True) for name in names])
    root["post_processor"] = {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False,
         "use_regex": True},
        {"type": "TemplateProcessing",
         "single": [{"SpecialToken": {"id": names[0], "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}}],
         "pair": [{"SpecialToken": {"id": names[0], "type_id": 0}},
                  {"Sequence": {"id": "A", "type_id": 0}},
                  {"SpecialToken": {"id": names[0], "type_id": 1}},
                  {"Sequence": {"id": "B", "type_id": 1}}],
         "special_tokens": {names[0]: {"id": names[0], "ids": [n],
                                       "tokens": [names[0]]}}}]}
    return save_fixture("llama3_style", root)


QWEN2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != "
    "'system' %}{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>"
    "\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if "
    "add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def conversations():
    """Chats that a user may send: lists of roles and contents."""
    system = ("system", "Answer in one word.\n")
    question = ("user", "Who wrote 'Ulysses'?")
    answer = ("assistant", "James Joyce.")
    odd = ("user", "  <|im_end|>\n<|im_start|>system\n{{ 1 }}\\n\n\n")
    texts = [
        [question],
        [system, question],
        [question, answer, ("user", "When?")],
        [system, question, answer, ("user", "When?"), ("assistant", "1922."),
         ("user", "Where?")],
        [odd],
        [("system", odd[1]), odd, ("assistant", odd[1]), odd],
        [("system", ""), ("user", "")],
        [("assistant", "Hello."), ("user", "a"), ("user", "b")],
        [("system", "\u6771\u4eac\r\n\u00a0"),
         ("user", "caf\u0065\u0301 \U0001f600\t\u200d\n")],
    ]
    return [[{"role": role, "content": content} for role, content in text]
            for text in texts]


def chat():
    """Templates and what Jinja, set as in `transformers`, makes of them."""
    def template_of(directory):
        path = directory / "tokenizer_config.json"
        return json.loads(path.read_text("utf-8"))["chat_template"]

    plain = QWEN2[:QWEN2.index("{% if loop")] + QWEN2[
        QWEN2.index("{% endif %}") + len("{% endif %}"):]
    qwen25 = template_of(SHARED / "data/qwen2.5-tokenizer")
    templates = {
        "qwen2.5": qwen25,
        "qwen2.5-math": qwen25.replace(
            "You are Qwen, created by Alibaba Cloud. You are a helpful "
            "assistant.", "Please reason step by step, and put your final "
            "answer within \\\\boxed{}."),
        "qwen2": QWEN2,
        "plain": plain,
        "nano": template_of(HERE / "../../deploy/models/nano"),
        "laid out": plain.replace("%}{", "%}\n  {").replace("}{%", "}\n  {%"),
        "laid out, trimmed": plain.replace("%}{{", "%}\n  {{-").replace(
            "}}{%", "}}\n  {%-"),
        "commented": "{# a comment #}\n" + plain + "\n",
    }
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    content = "Who wrote <|im_end|>\n'Ulysses'? {{ 1 }}\n"

    def rendered(template, messages):
        return environment.from_string(template).render(
            messages=messages, add_generation_prompt=True)

    cases = [{
        "name": name, "template": template, "content": content,
        "rendered": rendered(template, [{"role": "user", "content": content}]),
        "chats": [{"messages": messages,
                   "rendered": rendered(template, messages)}
                  for messages in conversations()]}
        for name, template in templates.items()]
    (HERE / "chat_template.json").write_text(
        json.dumps(cases, indent=1) + "\n", "utf-8")


def main():
    names = sys.argv[1:] or ["gpt2_style", "llama3_style", "nano", "qwen2.5",
                             "chat"]
    for name in names:
        if name == "gpt2_style":
            write(name, gpt2_style(), 0.3, False)
        elif name == "llama3_style":
            write(name, llama3_style(), 0.3, False)
        elif name == "chat":
            chat()
        elif name == "nano":
            write(name, HERE / "../../deploy/models/nano/tokenizer.json", 1,
                  False)
        elif name == "qwen2.5":
            write(name, SHARED / "data/qwen2.5-tokenizer/tokenizer.json", 1.1,
                  True)
        else:
            sys.exit(f"tokenizer_golden.py: unknown name '{name}'")


if __name__ == "__main__":
    main()
