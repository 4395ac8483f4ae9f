#pragma once

// GPT-2's byte alphabet: every byte has one printable character, and token
// strings in tokenizer.json are written in those characters ("Ġ" is a space).
// Pure functions; thread-safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvrecall {

// The character that stands for a byte, U+0021 to U+0143.
char32_t ByteToAlphabet(uint8_t byte);

// Bytes written in the alphabet, as UTF-8.
std::string BytesToAlphabet(std::string_view bytes);

// The bytes that a token string stands for; nothing if it has a character
// outside the alphabet.
std::optional<std::string> AlphabetToBytes(std::string_view token);

}  // namespace kvrecall
