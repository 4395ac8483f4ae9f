#include "server/signals.h"

#include <atomic>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <unistd.h>

namespace kvrecall {
namespace {

// A handler reaches nothing but globals; these are lock-free, as it needs.
std::atomic<int> write_end = -1;
std::atomic<bool> waiting = false;
std::atomic<int> received = 0;
static_assert(std::atomic<int>::is_always_lock_free);

void OnSignal(int signal) {
  const int saved_errno = errno;
  int none = 0;
  if (!waiting || !received.compare_exchange_strong(none, signal))
    _exit(128 + signal);
  const char byte = 0;
  // The pipe is empty but for this byte, so the write cannot fail.
  [[maybe_unused]] const ssize_t written = write(write_end, &byte, 1);
  errno = saved_errno;
}

}  // namespace

SignalWaiter::SignalWaiter() {
  int ends[2];
  // No descriptors are left for a process that has opened none yet: a server
  // that cannot be stopped must not start.
  if (pipe2(ends, O_CLOEXEC) != 0) _exit(1);
  read_end_ = ends[0];
  write_end = ends[1];
  waiting = false;
  received = 0;
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

SignalWaiter::~SignalWaiter() {
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  close(write_end.exchange(-1));
  close(read_end_);
}

int SignalWaiter::Wait() {
  waiting = true;
  char byte;
  while (read(read_end_, &byte, 1) != 1) {
  }
  return received;
}

}  // namespace kvrecall
