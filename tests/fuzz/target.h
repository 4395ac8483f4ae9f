#pragma once

// The fuzz targets: each takes any bytes, gives them to what reads such bytes,
// and ends the process where something that must hold does not. One file each,
// fuzz_NAME.cc, with its examples in corpus/NAME. Not thread-safe: one input at
// a time.

#include <span>
#include <string_view>

namespace kvrecall {

void FuzzChatTemplate(std::string_view input);
void FuzzConfig(std::string_view input);
void FuzzDatabase(std::string_view input);
void FuzzErrorDetails(std::string_view input);
void FuzzJsonl(std::string_view input);
void FuzzPageToken(std::string_view input);
void FuzzRequest(std::string_view input);
void FuzzRows(std::string_view input);
void FuzzSafetensors(std::string_view input);
void FuzzSpecs(std::string_view input);
void FuzzTokenizer(std::string_view input);
void FuzzTokenList(std::string_view input);
void FuzzZip(std::string_view input);

struct FuzzTarget {
  std::string_view name;
  void (*run)(std::string_view input);
};

inline constexpr FuzzTarget kFuzzTargets[] = {
    {"chat_template", FuzzChatTemplate},
    {"config", FuzzConfig},
    {"database", FuzzDatabase},
    {"error_details", FuzzErrorDetails},
    {"jsonl", FuzzJsonl},
    {"page_token", FuzzPageToken},
    {"request", FuzzRequest},
    {"rows", FuzzRows},
    {"safetensors", FuzzSafetensors},
    {"specs", FuzzSpecs},
    {"token_list", FuzzTokenList},
    {"tokenizer", FuzzTokenizer},
    {"zip", FuzzZip},
};

}  // namespace kvrecall
