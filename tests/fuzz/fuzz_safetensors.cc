// The header of a safetensors file: as the file has it, and with the length
// before it made right.

#include <cstring>
#include <map>
#include <string>

#include "server/engine/safetensors.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

void CheckView(const TensorView& view, std::span<const std::byte> file) {
  uint64_t elements = 1;
  for (const int64_t size : view.shape) {
    Require(size >= 0, "a size is not negative");
    elements *= static_cast<uint64_t>(size);
  }
  Require(elements <= view.data.size(), "each element has a byte at least");
  Require(elements == 0 ? view.data.empty() : view.data.size() % elements == 0,
          "all elements have as many bytes");
  if (view.data.empty()) return;
  Require(view.data.data() >= file.data() &&
              view.data.data() + view.data.size() <= file.data() + file.size(),
          "a tensor lies in its file");
}

void ParseFile(const std::string& bytes) {
  const auto file = std::as_bytes(std::span(bytes));
  const auto tensors = ParseSafetensors(file);
  RequireReadable(tensors.status());
  if (!tensors.ok()) return;
  for (const auto& [name, view] : *tensors) CheckView(view, file);
}

}  // namespace

void FuzzSafetensors(std::string_view input) {
  ParseFile(std::string(input));
  InputBytes bytes(input);
  const std::string_view header = bytes.Part();
  std::string file(sizeof(uint64_t), '\0');
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, sizeof(length));
  file.append(header).append(bytes.Rest());
  ParseFile(file);
}

}  // namespace kvrecall
