#pragma once

// A database with two runs, one with events of all kinds, as the bytes of its
// file, and what is to be read from such a file.

#include <string>

#include "common/records_db/reader.h"

namespace kvrecall {

// `strict`: as the program makes it. Otherwise its columns take any value, as a
// file of another origin may.
std::string SmallDatabase(bool strict);

// All that a server and a client read of a file: what comes is whole, and what
// is wrong is said in one line.
void ReadEverything(const std::string& path);

}  // namespace kvrecall
