#!/usr/bin/env python3
"""Makes qa_f1.json and unicode_text.json, what the C++ scoring is held to.

    python3 tests/golden/qa_f1_golden.py [LONGBENCH_DIR]

LONGBENCH_DIR (default ../shared/data/longbench) holds LongBench *.jsonl files;
only their answers are taken. The score is written here from its definition
(token F1 over SQuAD's normal form), with Python's own str methods and re: the
C++ code must equal these on Unicode text. Seeded; the same input gives the same
files. The tables say which version of Unicode Python had.
"""
import json
import pathlib
import random
import re
import string
import sys
import unicodedata
from collections import Counter

HERE = pathlib.Path(__file__).resolve().parent
SEED = 20240607
RANDOM_PAIRS = 420


def normalize(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


def qa_f1(prediction, truth):
    p, t = normalize(prediction).split(), normalize(truth).split()
    shared = sum((Counter(p) & Counter(t)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(p), shared / len(t)
    return 2 * precision * recall / (precision + recall)


def longbench_answers(folder):
    answers = []
    for path in sorted(pathlib.Path(folder).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            answers.append(json.loads(line)["answers"])
    if not answers:
        sys.exit(f"{folder}: no LongBench *.jsonl files there")
    return answers


FIXED = [
    ("", ""), ("", "Paris"), ("Paris", ""), ("the", "a"), ("the", "the"),
    ("The Beatles", "beatles"), ("Beatles, The", "The Beatles."),
    ("a b a b", "a b"), ("Bach Bach Bach", "Bach"), ("Bach", "Bach Bach Bach"),
    ("U.S.A.", "USA"), ("U.S. of A.", "us of"), ("it's", "its"),
    ("re-enter", "reenter"), ("snake_case", "snakecase"), ("yes.", "yes"),
    ("!!! ??? ...", "..."), ("the-end", "theend"), ("A.N.", "an"),
    ("an apple a day", "apple day"), ("anthem theater area", "anthem area"),
    ("“The” ‘a’ – an…", "– “” ‘’ …"), ("—the—", "— —"), ("l’a", "l’"),
    ("«the»", "« »"), ("the\u00a0end", "end"), ("the\u200bend", "\u200bend"),
    ("x\u3000the\u3000y", "x y"), ("x\u2028y\u0085z\x1cw\x1fv", "v w x y z"),
    ("x\u180ey", "x y"), ("x\ufeffy", "x y"), ("a\u0301 b", "\u0301 b"),
    ("thé the", "thé"), ("the\u0301", "\u0301"), ("aª anº", "aª anº"),
    ("a² the½ anⅣ", "a² the½ anⅳ"), ("a① the٣", "a① the٣"),
    ("ÉCOLE Ñandú ÇA", "école ñandú ça"), ("STRASSE straße", "STRAßE strasse"),
    ("İstanbul", "i̇stanbul"), ("ISTANBUL", "ıstanbul"), ("ǅ Ǆ", "ǆ ǆ"),
    ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"), ("ΟΔΥΣΣΕΥΣ ΣΟΦΟΣ Σ", "οδυσσευς σοφος σ"),
    ("ΑΣ. Β", "ας β"), ("ΑΣ.Β", "ασβ"), ("ΑΣ'Β ΑΣ' ΑΣ-Β", "ας"),
    ("ΑΣ\u0301", "ας\u0301"), ("ᾼΣ", "ᾳς"), ("МОСКВА Ёлка", "москва ёлка"),
    ("ＴＨＥ Ａ the", "ｔｈｅ ａ"), ("the東京", "東京"), ("東京 the 大阪", "東京 大阪"),
    ("北京。上海", "北京 上海"), ("é", "e\u0301"), ("ﬁ ﬂ", "fi fl"), ("ẞ", "ß"),
    ("🎉 the 🎉", "🎉"), ("𝐓𝐡𝐞 𐐀", "𝐓𝐡𝐞 𐐨"), ("Ⓐ Ⅷ", "ⓐ ⅷ"), ("€5 the £", "€5 £"),
    ("a\x00b", "a\x00b"), ("\ufffd the", "\ufffd"), ("\n\tThe \r\n x ", "x"),
]
PIECES = (
    "the The THE a A an AN then thea Anna of 1895 3.5 O'Neill Mary-Jane _x_ "
    "U.S. Łódź Stężyca Åland ΣΊΣΥΦΟΣ Σ' İzmir DŽ 東京 ½ x² é e\u0301 “the” ’a "
    "naïve STRAẞE ÿ the’s a– 🎉 Москва").split(" ")
JOINS = [" ", " ", " ", "", ", ", ". ", "-", "\n", "\u00a0", "\u3000", "\t",
         "\u2009", "’", "_", "\u200b", "…", "\x1d", "\u0301"]


def random_text(rng):
    return "".join(rng.choice(PIECES) + rng.choice(JOINS)
                   for _ in range(rng.randrange(9)))


def any_text(rng):
    planes = [(0, 0x250), (0, 0x3000), (0x3000, 0xD800), (0xE000, 0x11000),
              (0x11000, 0x20000)]
    return "".join(rng.choice([chr(rng.randrange(*rng.choice(planes))), " ",
                               "a", "the", "Σ"])
                   for _ in range(rng.randrange(12)))


def damaged(rng, text):
    """What a model may make of the right answer."""
    words = text.split(" ")
    change = rng.randrange(6)
    if change == 0:
        rng.shuffle(words)
    elif change == 1:
        words = words[: rng.randrange(len(words) + 1)]
    elif change == 2:
        words = ["The", "answer", "is"] + words + ["."]
    elif change == 3:
        words = words + words[-1:]
    elif change == 4:
        words = [w.upper() + rng.choice(string.punctuation) for w in words]
    return " ".join(words)


def cases(folder):
    rng = random.Random(SEED)
    for prediction, truth in FIXED:
        yield prediction, [truth]
    answers = longbench_answers(folder)
    for truths in answers:
        yield damaged(rng, rng.choice(truths)), truths
    for i in range(RANDOM_PAIRS):
        make = random_text if i % 3 else any_text
        truth = make(rng)
        prediction = damaged(rng, truth) if i % 2 else make(rng)
        yield prediction, [truth] + [make(rng) for _ in range(rng.randrange(3))]


def ranges(holds):
    """The code points (surrogates left out) where `holds`, as [first, last]."""
    out = []
    for c in (*range(0xD800), *range(0xE000, 0x110000)):
        if not holds(chr(c)):
            continue
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def unicode_tables():
    # Only what a sigma reveals is visible from outside: it is final after a
    # cased character, case-ignorable ones being skipped.
    def final(text):
        return text.lower().endswith("ς")

    return {
        "unicode": unicodedata.unidata_version,
        # Later versions of Unicode say more of the others.
        "assigned": ranges(lambda c: unicodedata.category(c) != "Cn"),
        "lower": [[ord(c), [ord(x) for x in c.lower()]]
                  for c in map(chr, range(0x110000)) if c.lower() != c],
        "word": ranges(lambda c: re.fullmatch(r"\w", c)),
        "space": ranges(str.isspace),
        "sigma_final_after": ranges(lambda c: final("." + c + "Σ")),
        "sigma_final_across": ranges(lambda c: final("A" + c + "Σ")),
    }


def write(name, head, rows_name, rows):
    """One row a line, so that a change can be read."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows)
    body = json.dumps(head)[1:-1]
    text = f'{{{body}, "{rows_name}": [\n{lines}\n]}}\n'
    (HERE / name).write_text(text, encoding="ascii")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else (
        HERE.parent.parent.parent / "shared" / "data" / "longbench")
    rows = [{"prediction": p, "answers": a, "normal": normalize(p),
             "f1": [qa_f1(p, truth) for truth in a]} for p, a in cases(folder)]
    write("qa_f1.json", {"seed": SEED}, "cases", rows)
    tables = unicode_tables()
    write("unicode_text.json", {"unicode": tables.pop("unicode")}, "tables",
          [{"name": k, "rows": v} for k, v in tables.items()])
    pairs = sum(len(row["answers"]) for row in rows)
    print(f"{len(rows)} cases, {pairs} pairs")


if __name__ == "__main__":
    main()
