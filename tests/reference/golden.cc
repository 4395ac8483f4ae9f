#include "tests/reference/golden.h"

#include <stdexcept>

#include <zlib.h>

namespace kvrecall {

nlohmann::json ReadGolden(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) throw std::runtime_error("cannot open " + path);
  std::string text;
  char buffer[1 << 16];
  int count = 0;
  while ((count = gzread(file, buffer, sizeof(buffer))) > 0)
    text.append(buffer, count);
  gzclose(file);
  if (count < 0) throw std::runtime_error("cannot read " + path);
  return nlohmann::json::parse(text);
}

}  // namespace kvrecall
