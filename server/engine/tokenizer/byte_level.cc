#include "server/engine/tokenizer/byte_level.h"

#include <array>

#include "server/engine/tokenizer/utf8.h"

namespace kvrecall {
namespace {

constexpr char32_t kAlphabetEnd = 0x144;

constexpr bool StandsForItself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
         byte >= 0xAE;
}

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, kAlphabetEnd> byte{};  // -1: not in the alphabet
};

constexpr Alphabet MakeAlphabet() {
  Alphabet alphabet;
  for (auto& byte : alphabet.byte) byte = -1;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t c =
        StandsForItself(byte) ? static_cast<char32_t>(byte) : next++;
    alphabet.character[byte] = c;
    alphabet.byte[c] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = MakeAlphabet();

}  // namespace

char32_t ByteToAlphabet(uint8_t byte) { return kAlphabet.character[byte]; }

std::string BytesToAlphabet(std::string_view bytes) {
  std::string token;
  token.reserve(bytes.size() * 2);
  for (const char byte : bytes)
    AppendUtf8(ByteToAlphabet(static_cast<uint8_t>(byte)), token);
  return token;
}

std::optional<std::string> AlphabetToBytes(std::string_view token) {
  std::string bytes;
  bytes.reserve(token.size());
  while (!token.empty()) {
    const Utf8Step step = NextUtf8(token);
    if (step.character >= kAlphabetEnd || kAlphabet.byte[step.character] < 0)
      return std::nullopt;
    bytes.push_back(static_cast<char>(kAlphabet.byte[step.character]));
    token.remove_prefix(step.length);
  }
  return bytes;
}

}  // namespace kvrecall
