"""Synthetic multi-hop question answering over short passages.

A world has people, towns and regions. Each fact is one sentence of a passage,
and a question follows a chain of one to four facts:

    person -> birth town -> region -> ruler
    person -> book
    person -> teacher -> any of the above

The target writes down every fact of the chain and then the answer. It opens
with a word so that each name has a space before it, and so is one token. Six
questions in ten also ask for an invented traveller: an open choice, so that
the model has something to be uncertain about that no passage can settle.

Everything is drawn from the `random.Random` the caller passes in; equal seeds
give equal samples.
"""

import random

_CONSONANTS = "b c d f g h j k l m n p r s t v w z br dr gr tr th sh st".split()
_VOWELS = "a e i o u ai ea or an el in".split()

PROMPT = (
    "Answer the question from the passages. Write each fact that you use, "
    "then the answer.\n\n{context}\n\nQuestion: {input}\nAnswer:"
)

# Passages use any wording of a fact, answers the first. Three words stand
# between subject and value in all of them: a small model finds values by the
# tokens at fixed distances before them.
FACT = {
    "born": [
        "{a} was born in {b}.",
        "{a} grew up in {b}.",
        "{a} comes originally from {b}.",
    ],
    "teacher": [
        "{a} was taught by {b}.",
        "{a} once studied under {b}.",
        "{a} learned everything from {b}.",
    ],
    "book": [
        "{a} has written The {b}.",
        "{a} later published The {b}.",
    ],
    "region": [
        "{a} is located in {b}.",
        "{a} lies somewhere in {b}.",
    ],
    "ruler": [
        "{a} is ruled by {b}.",
        "{a} pays taxes to {b}.",
    ],
}

# (kind of the subject, question, chain of facts to its answer)
QUESTIONS = [
    ("person", "Where was {a} born?", ["born"]),
    ("person", "Who is the teacher of {a}?", ["teacher"]),
    ("person", "What did {a} write?", ["book"]),
    ("town", "In which region is {a}?", ["region"]),
    ("region", "Who rules {a}?", ["ruler"]),
    ("person", "In which region was {a} born?", ["born", "region"]),
    ("person", "Where was the teacher of {a} born?", ["teacher", "born"]),
    ("person", "What did the teacher of {a} write?", ["teacher", "book"]),
    ("town", "Who rules the region of {a}?", ["region", "ruler"]),
    (
        "person",
        "Who rules the region where {a} was born?",
        ["born", "region", "ruler"],
    ),
    (
        "person",
        "In which region was the teacher of {a} born?",
        ["teacher", "born", "region"],
    ),
    (
        "person",
        "Who rules the region where the teacher of {a} was born?",
        ["teacher", "born", "region", "ruler"],
    ),
]


def _make_names():
    """Five lists of invented names that share no name with each other."""
    seen = {"Hegel", "Putin", "Zone"}  # real names and words
    lists = []
    for seed, count in ((1, 80), (2, 80), (3, 80), (4, 60), (5, 80)):
        rng = random.Random(seed)
        names = []
        while len(names) < count:
            name = "".join(
                rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(2)
            ).capitalize()
            if name not in seen:
                seen.add(name)
                names.append(name)
        lists.append(names)
    return lists


FIRST, LAST, TOWN, REGION, BOOK = _make_names()
NAMES = FIRST + LAST + TOWN + REGION + BOOK


def _world(rng, passages):
    """Names by kind of entity, and facts {entity: {relation: value}}."""
    n_people = max(2, passages // 3)
    n_towns = passages // 3
    n_regions = passages - n_people - n_towns
    first = rng.sample(FIRST, n_people + n_regions)
    last = rng.sample(LAST, n_people)
    people = [f"{a} {b}" for a, b in zip(first, last)]
    rulers = first[n_people:]  # who go by one name
    towns = rng.sample(TOWN, n_towns)
    regions = rng.sample(REGION, n_regions)
    books = rng.sample(BOOK, n_people)
    facts = {
        person: {
            "born": rng.choice(towns),
            "teacher": rng.choice([x for x in people if x != person]),
            "book": book,
        }
        for person, book in zip(people, books)
    }
    facts.update({town: {"region": rng.choice(regions)} for town in towns})
    facts.update({r: {"ruler": name} for r, name in zip(regions, rulers)})
    return {"person": people, "town": towns, "region": regions}, facts


def _question(rng, entities, facts):
    kind, wording, chain = rng.choice(QUESTIONS)
    subject = rng.choice(entities[kind])
    current, said = subject, []
    for relation in chain:
        value = facts[current][relation]
        said.append(FACT[relation][0].format(a=current, b=value))
        current = value
    answer = f"The {current}" if chain[-1] == "book" else current
    question = wording.format(a=subject)
    rationale = f"Facts: {' '.join(said)} The answer is {answer}."
    traveller = ""
    if rng.random() < 0.6:
        question += " Then invent a traveller."
        traveller = (
            f" A traveller named {rng.choice(FIRST)} {rng.choice(LAST)}"
            f" comes to {rng.choice(TOWN)}."
        )
    return {
        "input": question,
        "answers": [answer],
        "rationale": rationale,
        "traveller": traveller,
        "hops": len(chain),
    }


def sample(rng, passages, turns=1):
    """One world of `passages` >= 4 passages, with `turns` questions about it.

    Returns the first question's fields (input, answers, rationale, traveller,
    hops) beside "context"; the questions after it are in "more".
    """
    entities, facts = _world(rng, passages)
    order = list(facts)
    rng.shuffle(order)
    context = []
    for i, entity in enumerate(order):
        relations = list(facts[entity].items())
        rng.shuffle(relations)
        said = " ".join(
            rng.choice(FACT[relation]).format(a=entity, b=value)
            for relation, value in relations
        )
        context.append(f"Passage {i + 1}:\nAbout {entity}: {said}")
    questions = [_question(rng, entities, facts) for _ in range(turns)]
    return {
        "context": "\n".join(context),
        **questions[0],
        "more": questions[1:],
    }


def user_turn(content):
    """A ChatML user message with the header of the answer that follows."""
    return f"<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"


def prompt(s):
    """The first user message of a sample, as the chat template writes it."""
    return user_turn(PROMPT.format(context=s["context"], input=s["input"]))


def next_prompt(question):
    """The user message of a further question about the same passages."""
    return "\n" + user_turn(f"Question: {question['input']}\nAnswer:")


def target(question):
    """What the model should write, up to and with the end of its turn."""
    return question["rationale"] + question["traveller"] + "<|im_end|>"
