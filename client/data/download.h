#pragma once

// Downloads a file over HTTP, going on where an earlier try ended. Thread-safe:
// no shared state but the file, which its PartFile locks.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "client/data/part_file.h"

namespace kvrecall {

struct DownloadOptions {
  std::string url;
  absl::Duration connect_timeout = absl::Seconds(30);
  absl::Duration stall_timeout = absl::Seconds(60);
  // How often a lost connection is made anew without a byte more than before,
  // and the pause before the first time; it doubles each time.
  int retries = 5;
  absl::Duration first_pause = absl::Seconds(1);
};

// What the caller sees and decides meanwhile, on the calling thread.
struct DownloadHooks {
  // Bytes that are there, and of the whole (0: not known).
  std::function<void(int64_t done, int64_t total)> progress;
  // A line for the user: a lost connection, a file that starts over.
  std::function<void(std::string_view)> message;
  // Asked about once a second; true ends the download.
  std::function<bool()> cancelled;
  // Waits that long, less where the user ends it.
  std::function<void(absl::Duration)> pause;
};

// Brings `part` to the whole of what the URL has. It goes on behind the bytes
// that are there where they are of the same URL and the server says that its
// content is still the same, and starts over otherwise. A lost connection (a
// stalled one too) and a server that is busy are tried again.
//
// On an error the part stays as it is, for a later call: INVALID_ARGUMENT for a
// URL that cannot be used, NOT_FOUND where the server has nothing there,
// UNAVAILABLE where there is no answer or a refusal, RESOURCE_EXHAUSTED where
// the disk takes no more, CANCELLED. The message is the reason alone.
absl::Status Download(const DownloadOptions& options,
                      const DownloadHooks& hooks, PartFile& part);

}  // namespace kvrecall
