#pragma once

// Root may read every file: tests of what is not permitted put it off.

#include <unistd.h>

namespace kvrecall {

// While it lives the process acts as a user who owns nothing; as it is where it
// is not root's. One at a time; nothing else may run beside it.
class Unprivileged {
 public:
  Unprivileged() : was_root_(geteuid() == 0) {
    if (was_root_ && seteuid(kNobody) != 0) was_root_ = false;
  }
  ~Unprivileged() {
    if (was_root_) [[maybe_unused]]
      const int back = seteuid(0);
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
  bool was_root_;
};

}  // namespace kvrecall
