"""Byte-level BPE: trains merges, encodes, decodes, writes `tokenizer.json`.

It splits text as Qwen2 does (SPLIT below is Qwen2's pattern restricted to
ASCII, which is all that the generated text has) and maps bytes to characters
as GPT-2 does, so Qwen2's own tokenizer class reads the result.
"""

import collections
import json
import re

SPLIT = re.compile(
    r"'(?:[sdmt]|ll|ve|re)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]"
    r"| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def _byte_alphabet():
    """GPT-2's map from each byte to a printable character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {b: chr(b) for b in printable}
    for b in range(256):
        if b not in alphabet:
            alphabet[b] = chr(256 + len(alphabet) - len(printable))
    return alphabet


BYTE_TO_CHAR = _byte_alphabet()
CHAR_TO_BYTE = {c: b for b, c in BYTE_TO_CHAR.items()}


def to_chars(text):
    return "".join(BYTE_TO_CHAR[b] for b in text.encode())


def _merge(symbols, left, right):
    out, i = [], 0
    while i < len(symbols):
        if symbols[i : i + 2] == [left, right]:
            out.append(left + right)
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def train(text, vocab_size):
    """Learns merges until the vocabulary has `vocab_size` entries.

    Returns (vocab: {token: id}, merges: [(left, right)]). Stops early when no
    pair occurs twice. Ties go to the pair that sorts last, so the result does
    not depend on hashing.
    """
    counts = collections.Counter(to_chars(m) for m in SPLIT.findall(text))
    words = {word: list(word) for word in counts}
    vocab = {c: i for i, c in enumerate(sorted(BYTE_TO_CHAR.values()))}
    merges = []
    while len(vocab) < vocab_size:
        pairs = collections.Counter()
        for word, symbols in words.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += counts[word]
        if not pairs:
            break
        (left, right), count = max(pairs.items(), key=lambda x: (x[1], x[0]))
        if count < 2:
            break
        merges.append((left, right))
        vocab[left + right] = len(vocab)
        for word, symbols in words.items():
            if left in symbols:
                words[word] = _merge(symbols, left, right)
    return vocab, merges


class Tokenizer:
    """Encodes and decodes; special tokens take the ids after the merges'."""

    def __init__(self, vocab, merges):
        self.merges = [tuple(m) for m in merges]
        self.ids = dict(vocab)
        for token in SPECIAL:
            self.ids[token] = len(self.ids)
        self.tokens = {i: t for t, i in self.ids.items()}
        self.eos = self.ids["<|im_end|>"]
        self._rank = {m: i for i, m in enumerate(self.merges)}
        self._cache = {}
        self._special = re.compile(
            "(" + "|".join(map(re.escape, SPECIAL)) + ")"
        )

    def __len__(self):
        return len(self.ids)

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as f:
            data = json.load(f)
        return cls(data["vocab"], data["merges"])

    def save(self, path):
        vocab = {t: i for t, i in self.ids.items() if t not in SPECIAL}
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"vocab": vocab, "merges": self.merges}, f)

    def _word(self, word):
        if word in self._cache:
            return self._cache[word]
        symbols = list(word)
        while len(symbols) > 1:
            best = min(
                zip(symbols, symbols[1:]),
                key=lambda pair: self._rank.get(pair, len(self._rank)),
            )
            if best not in self._rank:
                break
            symbols = _merge(symbols, *best)
        self._cache[word] = [self.ids[s] for s in symbols]
        return self._cache[word]

    def encode(self, text):
        out = []
        for part in self._special.split(text):
            if part in SPECIAL:
                out.append(self.ids[part])
            else:
                for match in SPLIT.findall(part):
                    out += self._word(to_chars(match))
        return out

    def decode(self, ids):
        out = b""
        for i in ids:
            token = self.tokens[i]
            if token in SPECIAL:
                out += token.encode()
            else:
                out += bytes(CHAR_TO_BYTE[c] for c in token)
        return out.decode("utf-8", "replace")

    def write_tokenizer_json(self, path):
        """Writes the Hugging Face form of this tokenizer."""
        byte_level = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": False,
            "use_regex": False,
        }
        split = {
            "type": "Split",
            "pattern": {"Regex": QWEN2_SPLIT},
            "behavior": "Isolated",
            "invert": False,
        }
        data = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {
                    "id": self.ids[token],
                    "content": token,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
                for token in SPECIAL
            ],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [split, byte_level],
            },
            "post_processor": byte_level,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": "",
                "end_of_word_suffix": "",
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": {
                    t: i for t, i in self.ids.items() if t not in SPECIAL
                },
                "merges": [f"{left} {right}" for left, right in self.merges],
            },
        }
        with open(path, "w", encoding="utf-8") as f:
            json.dump(data, f, ensure_ascii=False)
