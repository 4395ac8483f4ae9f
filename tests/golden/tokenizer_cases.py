"""Seeded strings that tokenizers tend to disagree about."""

import random
import unicodedata

SPACES = [chr(c) for c in (
    0x9, 0xA, 0xB, 0xC, 0xD, 0x20, 0x85, 0xA0, 0x1680, 0x180E, 0x2000, 0x2003,
    0x2009, 0x200A, 0x200B, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF)]
EMOJI = [
    "\U0001F600", "\U0001F468\u200D\U0001F469\u200D\U0001F467", "\u2764\uFE0F",
    "\U0001F44D\U0001F3FD", "\U0001F1EB\U0001F1F7", "1\uFE0F\u20E3",
    "\U0001F3F4\U000E0067\U000E0062\U000E0065\U000E006E\U000E0067\U000E007F",
    "\U0001F9D1\U0001F3FB\u200D\U0001F680", "\U0001FAE8", "\U0001FADF",
    "\u263A", "\U0001F469\U0001F3FE\u200D\u2764\uFE0F\u200D\U0001F468"]
MARKS = [0x300, 0x301, 0x308, 0x30A, 0x323, 0x327, 0x334, 0x345, 0x5B0, 0x64B,
         0x93C, 0x94D, 0xE38, 0x3099, 0x1715, 0x1AC1, 0x1DF6, 0x897, 0x11930,
         0x10EFD, 0x113CE, 0x1E4EC, 0x16FF0, 0x1133B, 0x8CA, 0xC3C]
BASES = "aeiouAEIOUnNcCsSzZdDgGyY\u1E9B\u0391\u03B1\u0418\u0438\u05D0\u0628" \
        "\u0915\u0E01\u304B\uAC00\u1112\u11AB\u212B\u2126\uFB1D\U00011935" \
        "\U000105D2\U00011382\U00016D67\U0001D158"
CONTRACTIONS = ["'s", "'S", "'\u017F", "'t", "'T", "'re", "'RE", "'rE", "'ve",
                "'VE", "'m", "'M", "'ll", "'LL", "'lL", "'d", "'D", "'x", "'",
                "\u2019s", "'\u212A", "'r\u00E9", "''s", "'\uFB06"]
WORDS = ("the of and to in a is that it was for on are with as his they be at "
         "one have this from or had by hot word but what some we can out other "
         "were all there when up use your how said an each she which do their "
         "time if will way about many then them write would like so these her "
         "long make thing see him two has look more day could go come did "
         "number sound no most people my over know water than call first who "
         "may down side been now find any new work part take get place made "
         "live where after back little only round man year came show every "
         "good me give our under name very through just form sentence great "
         "think say help low line differ turn cause much mean before move "
         "Entropy KV-cache attention eviction Oniguruma L\u00fcbeck na\u00efve "
         "\u041c\u043e\u0441\u043a\u0432\u0430 \u6771\u4eac "
         "\u0627\u0644\u0642\u0627\u0647\u0631\u0629 \u05d9\u05e8\u05d5\u05e9"
         "\u05dc\u05d9\u05dd \u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e "
         "\u0926\u093f\u0932\u094d\u0932\u0940 \uc11c\uc6b8").split()
CODE = ["def f(x):\n    return x**2  # square\n",
        "for (int i = 0; i < n; ++i) {",
        "\t\tif (p != nullptr) { p->next = q; }\r\n",
        "SELECT * FROM t WHERE a>=1;",
        "<div class=\"a b\">&nbsp;</div>", "{\"k\": [1, 2.5e-3, null]}\n\n\n",
        "x = y[::-1]\n\n\n    pass", "//====----====//", "#include <vector>\n",
        "$HOME/.cache && echo \"${A[@]}\" | sed 's/a/b/g'", "a_b__c-d--e==f",
        "http://example.org/a?b=c&d=%20#e", "\\frac{1}{2} \\in \\mathbb{R}"]


def any_character(rng):
    while True:
        c = rng.choice((rng.randrange(0x80), rng.randrange(0x3000),
                        rng.randrange(0x10000), rng.randrange(0x20000),
                        rng.randrange(0x110000)))
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def by_block(rng):
    """Every page of 128 code points in planes 0 and 1 and some beyond."""
    pages = list(range(0, 0x20000, 128)) + list(range(0x20000, 0x32400, 4096))
    pages += [0xE0000, 0xE0080, 0xE0100, 0xF0000, 0x10FF80]
    for page in pages:
        if 0xD800 <= page < 0xE000:
            continue
        if 0xE100 <= page < 0xF800 and page % 1024:
            continue
        out = []
        for _ in range(10):
            out.append(chr(page + rng.randrange(128)))
            out.append(rng.choice(["", "", "", " ", "a", "1", ".", "\n"]))
        yield "".join(out)


def text(rng):
    out = []
    for _ in range(rng.randrange(1, 9)):
        word = rng.choice(WORDS)
        word = rng.choice([word, word, word, word.upper(), word.capitalize()])
        out.append(word + rng.choice(["", "", rng.choice(CONTRACTIONS)]))
        out.append(rng.choice([" ", " ", " ", ", ", ". ", "  ", "\n", "-", ""]))
    return "".join(out)


def numbers(rng):
    forms = [str(rng.randrange(10 ** rng.randrange(1, 16))),
             f"{rng.random() * 1e6:,.3f}", hex(rng.randrange(1 << 40)),
             "\u0663\u0664\u0665", "\u2167\u00BD\u00B2\u2460", "1st 2nd",
             f"{rng.randrange(24)}:{rng.randrange(60):02}", "-1e-9"]
    return rng.choice(["", " ", "$", "a"]).join(
        rng.choice(forms) for _ in range(rng.randrange(1, 4)))


def spaces(rng):
    out = []
    for _ in range(rng.randrange(1, 7)):
        out.append(rng.choice(SPACES) * rng.choice((1, 1, 2, 3, 9, 40)))
        out.append(rng.choice(["", "", "a", "!", "7", "\r\n", "\n", "\n\n"]))
    return "".join(out)


def marks(rng):
    out = []
    for _ in range(rng.randrange(1, 8)):
        out.append(rng.choice(BASES))
        out += [chr(rng.choice(MARKS)) for _ in range(rng.randrange(4))]
    form = rng.choice(["NFC", "NFD", "NFKD", None, None])
    joined = "".join(out)
    return unicodedata.normalize(form, joined) if form else joined


def control(rng):
    return "".join(chr(rng.choice((rng.randrange(32), rng.randrange(0x7F, 0xA0),
                                   0x200E, 0x202E, 0x2066, 0xAD, 0x61, 0x20)))
                   for _ in range(rng.randrange(1, 10)))


def special(rng, names):
    out = []
    for _ in range(rng.randrange(1, 5)):
        name = rng.choice(names)
        out.append(rng.choice([name, name, name, name[:-1], name + name[1:],
                               name.upper(),
                               unicodedata.normalize("NFD", name)]))
        out.append(rng.choice(["", " ", "  ", "\n", "a", "\u00E9", "_",
                               "\u3000", "user\n", "e\u0301", text(rng)]))
    return rng.choice(["", " ", "x"]) + "".join(out)


def malformed(rng):
    """Bytes: cut, overlong, surrogate and random."""
    parts = []
    for _ in range(rng.randrange(1, 6)):
        character = any_character(rng).encode()
        parts.append(rng.choice((
            character, character[:-1], character[1:],
            bytes([rng.randrange(256)]), rng.choice(WORDS).encode(),
            b"\xC0\xAF", b"\xE0\x80\xAF", b"\xED\xA0\x80", b"\xF4\x90\x80\x80",
            b"\xF0\x9F\x98", b"\xE2\x82", b"\xF8\x88\x80\x80\x80", b" ")))
    return b"".join(parts)


def all_cases(seed, names, scale):
    """Byte strings; `scale` of 1 makes some 5 000."""
    rng = random.Random(seed)
    cases = ["", " ", "\n", "a", "'", "\u0000"]
    blocks = list(by_block(rng))
    cases += blocks if scale >= 1 else rng.sample(blocks, int(900 * scale))
    makers = [
        (500, text), (250, numbers), (450, spaces), (600, marks),
        (150, control), (500, lambda r: special(r, names)),
        (250, lambda r: "".join(r.choice(EMOJI) + r.choice(["", " ", "a"])
                                for _ in range(r.randrange(1, 5)))),
        (200, lambda r: "".join(r.choice(CODE)
                                for _ in range(r.randrange(1, 4)))),
        (250, lambda r: "".join(r.choice("ab 1") + r.choice(CONTRACTIONS)
                                for _ in range(r.randrange(1, 5)))),
        (400, lambda r: "".join(any_character(r)
                                for _ in range(r.randrange(1, 9)))),
    ]
    for count, make in makers:
        cases += [make(rng) for _ in range(int(count * scale))]
    encoded = [case.encode() for case in cases]
    return encoded + [malformed(rng) for _ in range(int(500 * scale))]
