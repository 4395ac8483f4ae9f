#pragma once

// How the engine's CPU kernels (cpu/kernels.h) get their threads and their
// memory.

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "ATen/Parallel.h"

#include "server/cpu/kernels.h"

namespace kvrecall {

constexpr int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Runs body(worker) once for each of `workers` on libtorch's pool; neighbours
// share a thread where there are more workers than threads.
template <typename Body>
void RunWorkers(int64_t workers, const Body& body) {
  at::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
    const cpu::FlushTinyNumbers guard;
    for (int64_t worker = begin; worker < end; ++worker) body(worker);
  });
}

// Memory that grows and is not initialised.
template <typename T>
class Buffer {
 public:
  // Room for `size`; what was written stays only where it had room already.
  // Throws std::bad_alloc, and then holds nothing.
  T* Reserve(int64_t size) {
    if (size > size_) {
      // In this order: where there is no memory, the buffer is an empty one.
      size_ = 0;
      data_.reset();
      data_.reset(static_cast<T*>(std::aligned_alloc(
          64, static_cast<size_t>(RoundUp(size * sizeof(T), 64)))));
      if (data_ == nullptr) throw std::bad_alloc();
      size_ = size;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T[], Free> data_;
  int64_t size_ = 0;
};

}  // namespace kvrecall
