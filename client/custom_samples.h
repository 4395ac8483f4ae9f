#pragma once

// Samples of the user's own, for task "custom". Thread-safe if the stream is.

#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/longbench/jsonl.h"

namespace kvrecall {

// What the user gave; exactly one of the two is not empty.
struct CustomSource {
  std::string prompt;  // a file that is one prompt, or - for standard input
  std::string jsonl;   // a file of JSON lines
};

// The template that --template means: the text itself, or the content of the
// file that is named behind "@". Empty stays empty.
absl::StatusOr<std::string> ReadTemplate(const std::string& given);

// The samples, each of which `prompt_template` can be filled with (or that is a
// chat). InvalidArgument names the file, the line and what is wrong; also where
// a sample has a context and no template says where it goes.
absl::StatusOr<std::vector<Sample>> ReadCustomSamples(
    const CustomSource& source, const std::string& prompt_template,
    std::istream& standard_input);

}  // namespace kvrecall
