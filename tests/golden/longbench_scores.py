#!/usr/bin/env python3
"""Makes longbench_scores.json: what LongBench's own metrics say of many pairs.

Needs LongBench's metrics.py (LongBench/LongBench/metrics.py of
github.com/THUDM/LongBench) and what it imports, the versions that its
requirements give; python-Levenshtein must not be there, which would change
fuzzywuzzy's numbers.

    python3 -m venv venv
    venv/bin/pip install rouge==1.0.1 fuzzywuzzy==0.18.0 jieba
    venv/bin/python tests/golden/longbench_scores.py METRICS_PY

For each kind of metric one task stands; predictions are made from the answers
by edits (seeded), so that scores fall everywhere between 0 and 1. The rules of
LongBench's eval.py are applied: the first line of few-shot tasks, the best of
all answers.
"""

import importlib.util
import json
import pathlib
import random
import sys
import warnings

SEED = 20261125
PAIRS = 520
FIRST_LINE = {"trec", "triviaqa", "samsum", "lsht"}

WORDS = ("the a report of agency found that costs rose in 2019, while programs "
         "were cut. Officials said: no; yes! café naïve Zürich It's well-known "
         "(see above) an end-of-year \"review\" is due. data, data data model "
         "U.S. e.g. 3.5 percent Anna and Ben will meet at noon.").split()
CODE = ["    return self.name", "for (int i = 0; i < n; i++) {", "x = x + 1",
        "if err != nil {", "import numpy as np", "    def run(self, args):",
        "result.append(value)", "System.out.println(\"done\");", "}",
        "public static void Main(string[] args)",
        "assert response.status_code == 200, response.text"]
CLASSES = ["Food", "Date", "Number", "Person", "Individual person", "Title",
           "Group or organization of person", "Other number", "Other location",
           "City", "Country", "Description of a person", "Other entity",
           "Abbreviation", "Expression abbreviated", "Speed", "Event"]
CLASSES_ZH = ["体育", "军事", "财政", "经济", "社会", "体育赛事", "法律", "教育"]


def sentence(rng, low, high):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def edited(rng, text, pieces):
    """The text with some pieces lost, doubled, moved or replaced."""
    out = []
    rate = rng.random()
    for piece in text:
        if rng.random() > rate:
            out.append(piece)
        elif rng.random() < 0.5:
            out.append(rng.choice(pieces))
        elif rng.random() < 0.3:
            out += [piece, piece]
    if rng.random() < 0.2:
        rng.shuffle(out)
    return out


def around(rng, text):
    """With what models put before and behind an answer."""
    before = rng.choice(["", "", "", "\n", "\n\n", " ", "Answer: ", "It is "])
    after = rng.choice(["", "", "", ".", "\n", "\nPassage 2:\n", " \n\nmore", "!"])
    return before + text + after


def words_case(rng):
    answer = sentence(rng, 1, 6)
    answers = [answer] + [sentence(rng, 1, 6) for _ in range(rng.randint(0, 2))]
    return around(rng, " ".join(edited(rng, answer.split(), WORDS))), answers, []


def summary_case(rng):
    answer = " ".join(sentence(rng, 3, 15) + rng.choice([".", ". ", " ."])
                      for _ in range(rng.randint(1, 5)))
    prediction = " ".join(edited(rng, answer.split(" "), WORDS))
    if rng.random() < 0.05:
        prediction = rng.choice(["", ".", "...", " . ", "\n", "a. .b"])
    return prediction, [answer], []


def dialogue_case(rng):
    prediction, answers, classes = summary_case(rng)
    return around(rng, prediction), answers, classes


def class_case(classes):
    def make(rng):
        answer = rng.choice(classes)
        named = [answer] if rng.random() < 0.7 else []
        named += [rng.choice(classes) for _ in range(rng.randint(0, 3))]
        rng.shuffle(named)
        return (around(rng, rng.choice([" ", ", ", " or "]).join(named)),
                [answer], classes)
    return make


def retrieval_case(word):
    def make(rng):
        number = rng.randint(1, 30)
        said = [rng.choice([number, rng.randint(1, 30)])
                for _ in range(rng.randint(0, 4))]
        text = ", ".join(rng.choice([word, "", "no. "]) + str(n) for n in said)
        if rng.random() < 0.1:
            text += " ٣ 12a3 0" + str(number)
        return around(rng, text), [word + str(number)], []
    return make


def count_case(rng):
    number = rng.randint(1, 30)
    said = [rng.choice([number, rng.randint(1, 30)])
            for _ in range(rng.randint(0, 3))]
    return around(rng, " of ".join(map(str, said))), [str(number)], []


def code_case(rng):
    answer = rng.choice(CODE)
    if rng.random() < 0.3:  # long enough for difflib's own rule
        answer = " ".join(rng.choice(CODE) for _ in range(rng.randint(6, 12)))
    line = "".join(edited(rng, answer, "abcxyz (){};=+_"))
    before = "\n".join(rng.choice(["# comment", "```python", "// note", ""])
                       for _ in range(rng.randint(0, 3)))
    prediction = before + rng.choice(["", "\n"]) + line
    return prediction + rng.choice(["", "\nmore()"]), [answer], []


KINDS = {
    "hotpotqa": ("qa_f1_score", words_case),
    "triviaqa": ("qa_f1_score", words_case),
    "gov_report": ("rouge_score", summary_case),
    "samsum": ("rouge_score", dialogue_case),
    "trec": ("classification_score", class_case(CLASSES)),
    "lsht": ("classification_score", class_case(CLASSES_ZH)),
    "passage_retrieval_en": ("retrieval_score", retrieval_case("Paragraph ")),
    "passage_retrieval_zh": ("retrieval_zh_score", retrieval_case("段落")),
    "passage_count": ("count_score", count_case),
    "lcc": ("code_sim_score", code_case),
}


def load_metrics(path):
    spec = importlib.util.spec_from_file_location("metrics", path)
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if importlib.util.find_spec("Levenshtein"):
        sys.exit("python-Levenshtein is installed; remove it")
    metrics = load_metrics(sys.argv[1])
    tasks = {}
    for task, (name, make) in KINDS.items():
        rng = random.Random(f"{SEED} {task}")
        metric = getattr(metrics, name)
        rows = tasks[task] = []
        for _ in range(PAIRS):
            prediction, answers, classes = make(rng)
            scored = prediction
            if task in FIRST_LINE:
                scored = scored.lstrip("\n").split("\n")[0]
            score = max(float(metric(scored, answer, all_classes=classes))
                        for answer in answers)
            rows.append({"prediction": prediction, "answers": answers,
                         "classes": classes, "score": score})
        mean = sum(row["score"] for row in rows) / PAIRS
        print(f"{task}: {PAIRS} pairs, mean {mean:.3f}", file=sys.stderr)
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"tasks": tasks}, ensure_ascii=False,
                               separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
