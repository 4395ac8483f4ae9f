#pragma once

// Ctrl-C, turned from a signal into a request that the work in progress can
// answer. Thread-safe.

#include <functional>
#include <memory>
#include <mutex>

namespace kvrecall {

class Interrupt {
 public:
  // While a scope lives, an interrupt calls `handler` on another thread and
  // the program goes on; without one, an interrupt ends the program. The
  // destructor waits for a handler that is running. At most one at a time.
  class Scope {
   public:
    Scope(Interrupt& interrupt, std::function<void()> handler);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Interrupt& interrupt_;
  };

  // True from the first interrupt that a handler took.
  bool requested() const;

  // One press of Ctrl-C: the first one is handed to the handler. False where
  // there is none, or for the second: the program should end.
  bool Press();

 private:
  mutable std::mutex mutex_;
  std::function<void()> handler_;
  bool requested_ = false;
};

// Blocks SIGINT in this thread and all that it starts from now on, and starts
// a thread that waits for it for as long as the program lives. Call first in
// main. Where nobody handles it, the program ends with 130, as a shell expects.
void HandleInterrupts(std::shared_ptr<Interrupt> interrupt);

}  // namespace kvrecall
