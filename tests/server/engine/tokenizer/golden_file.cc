#include "tests/server/engine/tokenizer/golden_file.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/escaping.h"
#include <zlib.h>

#include "server/engine/tokenizer/byte_level.h"

namespace kvrecall {

std::vector<nlohmann::json> ReadGoldenLines(const std::string& path) {
  std::vector<nlohmann::json> values;
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return values;
  std::string text;
  char buffer[65536];
  for (int n = 0; (n = gzread(file, buffer, sizeof(buffer))) > 0;)
    text.append(buffer, static_cast<size_t>(n));
  gzclose(file);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    values.push_back(nlohmann::json::parse(line));
  return values;
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

std::string FromBase64(const nlohmann::json& text) {
  std::string bytes;
  absl::Base64Unescape(text.get<std::string>(), &bytes);
  return bytes;
}

std::string SharedDirectory() {
  const char* const named = std::getenv("KVRECALL_SHARED");
  return named == nullptr ? "../shared" : named;
}

nlohmann::json ByteTokenizerJson() {
  nlohmann::json json = {
      {"version", "1.0"},
      {"added_tokens", nlohmann::json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "ByteLevel"},
        {"add_prefix_space", false},
        {"use_regex", false}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"merges", nlohmann::json::array()}}}};
  for (int byte = 0; byte < 256; ++byte)
    json["model"]["vocab"]
        [BytesToAlphabet(std::string(1, static_cast<char>(byte)))] = byte;
  return json;
}

}  // namespace kvrecall
