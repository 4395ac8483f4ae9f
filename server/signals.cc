#include "server/signals.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <semaphore.h>

namespace kvrecall {
namespace {

// All that a handler can reach: the last signal, and who waits for one.
volatile std::sig_atomic_t last_signal = 0;
sem_t pending;

void OnSignal(int signal) {
  const int saved = errno;
  last_signal = signal;
  sem_post(&pending);
  errno = saved;
}

void Handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

}  // namespace

SignalWaiter::SignalWaiter() {
  sem_init(&pending, 0, 0);
  Handle(SIGPIPE, SIG_IGN);
  Handle(SIGTERM, OnSignal);
  Handle(SIGINT, OnSignal);
  thread_ = std::thread([this] { Run(); });
}

SignalWaiter::~SignalWaiter() {
  Handle(SIGTERM, SIG_DFL);
  Handle(SIGINT, SIG_DFL);
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  sem_post(&pending);
  thread_.join();
}

void SignalWaiter::Arm() {
  std::lock_guard lock(mutex_);
  armed_ = true;
}

void SignalWaiter::Request() {
  std::lock_guard lock(mutex_);
  requested_ = true;
  arrived_.notify_one();
}

int SignalWaiter::Wait() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return signal_ != 0 || requested_; });
  return signal_;
}

void SignalWaiter::Run() {
  while (true) {
    if (sem_wait(&pending) != 0) continue;  // EINTR
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    if (!armed_ || signal_ != 0) std::_Exit(128 + last_signal);
    signal_ = last_signal;
    arrived_.notify_one();
  }
}

}  // namespace kvrecall
