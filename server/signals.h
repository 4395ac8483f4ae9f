#pragma once

// SIGTERM and SIGINT, handed from a handler to a thread of their own.
//
// Not by blocking them and sigwait: OpenBLAS makes its threads before main,
// which leave them unblocked, and the kernel would let such a thread end the
// process.

#include <condition_variable>
#include <mutex>
#include <thread>

namespace kvrecall {

// One at a time in a process: handlers are the process's.
//
// A signal before Arm ends the process at once (exit status 128 + signal):
// while the server starts there is nothing to save. The next one makes Wait
// return. One after that ends the process at once again; the database survives
// that. SIGPIPE is ignored: a peer that hangs up is an error of its connection.
class SignalWaiter {
 public:
  SignalWaiter();
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

  // From now on a signal is kept for Wait.
  void Arm();
  // As the first signal after Arm, but for one that follows it: that one counts
  // as the first, so that whoever asked may also stop the process as usual. Any
  // thread; idempotent.
  void Request();
  // Waits for a signal and returns its number, or 0 for a request. Call once,
  // after Arm.
  int Wait();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable arrived_;
  bool armed_ = false;
  bool stopping_ = false;
  bool requested_ = false;
  int signal_ = 0;
  std::thread thread_;
};

}  // namespace kvrecall
