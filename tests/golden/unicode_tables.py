#!/usr/bin/env python3
"""Prints the tables that pin the tokenizer to the Unicode of `tokenizers`.

usage: unicode_tables.py > server/engine/tokenizer/unicode_16.cc

Oniguruma, inside the `tokenizers` package, knows Unicode 16; PCRE2 10.42 in
Debian 12 knows Unicode 14. This asks Oniguruma for every general category that
a split pattern may name and prints what Unicode 14 (this Python's
`unicodedata` must be of that version) does not have. With --nfc it prints
instead the characters that utf8proc reorders and the package does not.
"""

import ctypes
import ctypes.util
import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

CATEGORIES = [
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "P", "S",
]
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def members(category):
    """The code points that Oniguruma counts to a category."""
    split = pre_tokenizers.Split(Regex(r"\p{%s}" % category), "removed")
    found = []
    for start in range(0, len(CODE_POINTS), 20000):
        block = CODE_POINTS[start : start + 20000]
        pieces = split.pre_tokenize_str("".join(map(chr, block)))
        rest = set("".join(piece for piece, _ in pieces))
        found += [c for c in block if chr(c) not in rest]
    return found


def ranges(code_points):
    out = []
    for c in sorted(code_points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def print_additions():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit("unicode_tables.py: needs a Python with Unicode 14 (3.11), "
                 f"this one has {unicodedata.unidata_version}")
    rows = []
    for category in CATEGORIES:
        new = [c for c in members(category)
               if not unicodedata.category(chr(c)).startswith(category)]
        rows += [(first, last, category) for first, last in ranges(new)]
    print('#include "server/engine/tokenizer/unicode_16.h"\n')
    print("namespace kvrecall {\nnamespace {\n")
    print("// Printed by tests/golden/unicode_tables.py.")
    print("constexpr CategoryRange kAdditions[] = {")
    for first, last, category in sorted(rows):
        print(f'    {{0x{first:X}, 0x{last:X}, "{category}"}},')
    print("};\n\n}  // namespace\n")
    print("std::span<const CategoryRange> AddedAfterUnicode14() {")
    print("  return kAdditions;\n}\n\n}  // namespace kvrecall")


def print_nfc():
    library = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
    library.utf8proc_NFD.restype = ctypes.c_void_p
    free = ctypes.CDLL(None).free
    free.argtypes = [ctypes.c_void_p]

    def utf8proc(text):
        pointer = library.utf8proc_NFD(text.encode())
        value = ctypes.string_at(pointer).decode()
        free(pointer)
        return value

    package = normalizers.NFD().normalize_str

    def differs(c):
        """Seen between marks of class 1 and 240: does it move?"""
        for text in (chr(c), "a" + chr(c) + "\u0334", "a\u0345" + chr(c)):
            if utf8proc(text) != package(text):
                return True
        return False

    for first, last in ranges([c for c in CODE_POINTS[1:] if differs(c)]):
        print(f"0x{first:X} 0x{last:X}")


if __name__ == "__main__":
    print_nfc() if "--nfc" in sys.argv[1:] else print_additions()
