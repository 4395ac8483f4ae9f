#include "client/interrupt.h"

#include <thread>
#include <utility>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

namespace kvrecall {

Interrupt::Scope::Scope(Interrupt& interrupt, std::function<void()> handler)
    : interrupt_(interrupt) {
  std::lock_guard lock(interrupt_.mutex_);
  interrupt_.handler_ = std::move(handler);
}

Interrupt::Scope::~Scope() {
  std::lock_guard lock(interrupt_.mutex_);
  interrupt_.handler_ = nullptr;
}

bool Interrupt::requested() const {
  std::lock_guard lock(mutex_);
  return requested_;
}

bool Interrupt::Press() {
  std::lock_guard lock(mutex_);
  if (handler_ == nullptr || requested_) return false;
  requested_ = true;
  handler_();
  return true;
}

void HandleInterrupts(std::shared_ptr<Interrupt> interrupt) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals, interrupt = std::move(interrupt)] {
    int signal = 0;
    while (sigwait(&signals, &signal) == 0) {
      if (!interrupt->Press()) _exit(130);
    }
  }).detach();
}

}  // namespace kvrecall
