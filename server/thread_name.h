#pragma once

// Names for the server's threads, as ARCHITECTURE.md has them, so that top -H,
// perf and a debugger tell which is which.

#include <pthread.h>

namespace kvrecall {

// Of the calling thread, and of those that it starts later, a library's workers
// too. At most 15 characters.
inline void NameThread(const char* name) {
  pthread_setname_np(pthread_self(), name);
}

}  // namespace kvrecall
