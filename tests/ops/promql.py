"""As much of PromQL as is needed to ask for what an expression is made of."""

import re

TOKEN = re.compile(r"""
    (?P<space>\s+) |
    (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`) |
    (?P<window>\[[^\]]*\]) |
    (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?:ms|[smhdwy\d])*) |
    (?P<name>[A-Za-z_:][A-Za-z0-9_:]*) |
    (?P<comparison>==|!=|<=|>=|<|>) |
    (?P<sign>=~|!~|[-+*/%^=,@(){}])
    """, re.VERBOSE)

SET_OPERATORS = {"and", "or", "unless"}
# A list of labels in parentheses follows these.
WITH_LABELS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
AGGREGATIONS = {
    "sum", "min", "max", "avg", "group", "stddev", "stdvar", "count",
    "count_values", "bottomk", "topk", "quantile"}
WORDS = SET_OPERATORS | WITH_LABELS | AGGREGATIONS | {"bool", "offset"}
NUMBERS = {"inf", "nan"}


def tokens(expression):
    """[(kind, text, from, to)] without spaces."""
    found, at = [], 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        if not match:
            raise ValueError(f"not PromQL at {at}: {expression}")
        if match.lastgroup != "space":
            found.append((match.lastgroup, match.group(), at, match.end()))
        at = match.end()
    return found


def after_labels(found, i):
    """The index after (a, b) at i, if such a list is there."""
    if i < len(found) and found[i][1] == "(":
        while found[i][1] != ")":
            i += 1
        return i + 1
    return i


def metrics(expression):
    """The names of the metrics that an expression reads."""
    found, names, i = tokens(expression), set(), 0
    while i < len(found):
        kind, text = found[i][:2]
        i += 1
        if text == "{":
            while found[i][1] != "}":
                i += 1
        elif kind == "name" and text.lower() in WITH_LABELS:
            i = after_labels(found, i)
        elif kind == "name" and text.lower() not in WORDS | NUMBERS:
            if i == len(found) or found[i][1] != "(":  # else a function
                names.add(text)
    return names


def split(expression, kinds_or_words):
    """The parts between top-level tokens of these, and these."""
    parts, between, depth, start = [], [], 0, 0
    for kind, text, at, end in tokens(expression):
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(
            text if kind == "sign" else "", 0)
        if depth == 0 and (kind in kinds_or_words or
                           (kind == "name" and text in kinds_or_words)):
            parts.append(expression[start:at].strip())
            between.append(text)
            start = end
    return parts + [expression[start:].strip()], between


def without_modifiers(operand):
    """What follows `bool` and `on (...)` after an operator."""
    while True:
        found = tokens(operand)
        if not found or found[0][1] not in WITH_LABELS | {"bool"}:
            return operand
        end = after_labels(found, 1)
        operand = operand[found[end][2]:]


def is_in_parentheses(expression):
    found, depth = tokens(expression), 0
    for i, (kind, text, *_) in enumerate(found):
        depth += {"(": 1, ")": -1}.get(text if kind == "sign" else "", 0)
        if depth == 0:
            return i == len(found) - 1 and i > 0
    return False


def is_number(expression):
    return all(kind == "number" or text in "+-*/^()"
               for kind, text, *_ in tokens(expression))


def operands(expression):
    """What an alert looks at: its expression without set operators and without
    the comparisons with a number."""
    looked_at = []
    for part in split(expression, SET_OPERATORS)[0]:
        part = without_modifiers(part)
        sides, operators = split(part, {"comparison"})
        if not operators and is_in_parentheses(part):
            inner = part[1:-1].strip()
            simpler = operands(inner)
            looked_at += [part] if simpler == [inner] else simpler
        elif not operators:
            looked_at.append(part)
        else:
            for side in map(without_modifiers, sides):
                if not is_number(side):
                    looked_at += operands(side)
    return looked_at
