#pragma once

// SIGTERM and SIGINT as something to wait for.

namespace kvrecall {

// A handler that does no more than write to a pipe. Not blocked signals and
// sigwait: OpenBLAS starts its threads when the library is loaded, before
// main, so they would take a signal that all of our own threads have blocked.
//
// A signal before Wait ends the process at once (exit status 128 + signal):
// while the server starts there is nothing to save. The next one makes Wait
// return. One after that ends the process at once again; the database
// survives that. At most one object at a time.
class SignalWaiter {
 public:
  // Ignores SIGPIPE too: a peer that hangs up is an error of its connection.
  SignalWaiter();
  // Gives the signals their default effect back.
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

  // Waits for a signal and returns its number. Call once.
  int Wait();

 private:
  int read_end_ = -1;
};

}  // namespace kvrecall
