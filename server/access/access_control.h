#pragma once

// Decides who may call what. Thread-safe.
//
// Where a token file is given, its tokens decide, and changes to it count
// within a second: a file that has become wrong changes nothing and is reported
// in the log. Where none is, whoever reaches the server may do everything.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/access/access_scope.h"
#include "server/access/token_list.h"

namespace kvrecall {

struct Caller {
  std::string name;  // empty where it is not known
  AccessScope scope = AccessScope::kAdmin;
};

class AccessControl {
 public:
  // Everyone may do everything.
  AccessControl() = default;
  // As the token file says, which is looked at every `reload`. NotFound,
  // PermissionDenied, InvalidArgument: it cannot be read, or says nothing that
  // makes sense, in one line that begins with the path.
  static absl::StatusOr<std::unique_ptr<AccessControl>> WithTokens(
      std::string path, absl::Duration reload = absl::Seconds(1));
  ~AccessControl();
  AccessControl(const AccessControl&) = delete;
  AccessControl& operator=(const AccessControl&) = delete;

  bool needs_token() const { return !path_.empty(); }

  // Whose call this is. `authorization` is the header of that name, empty where
  // there is none; `method` the RPC's name. Unauthenticated: no token, or none
  // of ours. PermissionDenied: its scope is not enough. Neither says anything
  // of what was asked for.
  absl::StatusOr<Caller> Admit(std::string_view authorization,
                               std::string_view method) const;

 private:
  AccessControl(std::string path, std::string text, TokenList tokens);
  void Reload(absl::Duration interval);

  const std::string path_;
  std::string text_;  // of the file as last read; the reloading thread's
  mutable std::mutex mutex_;
  std::condition_variable stopping_;
  TokenList tokens_;          // guarded by mutex_
  bool is_stopping_ = false;  // guarded by mutex_
  std::thread reloading_;
};

}  // namespace kvrecall
