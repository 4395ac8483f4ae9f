#pragma once

// Reads the golden files of tests/golden/tokenizer_golden.py, whose docstring
// has the format, and the fixtures beside them. For tests only.

#include <cstdint>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace kvrecall {

// The JSON values of a gzipped file of JSON lines; none if it is not there.
std::vector<nlohmann::json> ReadGoldenLines(const std::string& path);

std::string ReadText(const std::string& path);

std::string FromBase64(const nlohmann::json& text);

// The directory beside the repository that holds data which is not part of it.
std::string SharedDirectory();

// A tokenizer.json of the 256 byte tokens (id = byte), ready to be edited.
nlohmann::json ByteTokenizerJson();

}  // namespace kvrecall
