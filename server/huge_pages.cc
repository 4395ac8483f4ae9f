#include "server/huge_pages.h"

#include <new>

#include "ATen/ATen.h"
#include <sys/mman.h>

namespace kvrecall {
namespace {

// Of x86-64 and of most ARM systems. Less than one is not worth it.
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLeastBytes = kHugePage;

// Bytes of a tensor, to the next cache line.
int64_t LinesOf(at::IntArrayRef shape, at::ScalarType dtype) {
  constexpr int64_t kLine = 64;
  auto bytes = static_cast<int64_t>(c10::elementSize(dtype));
  for (const int64_t size : shape) bytes *= size;
  return (bytes + kLine - 1) / kLine * kLine;
}

}  // namespace

at::Tensor ZerosOnHugePages(at::IntArrayRef shape,
                            const at::TensorOptions& options) {
  size_t bytes = options.dtype().itemsize();
  for (const int64_t size : shape) bytes *= static_cast<size_t>(size);
  if (!options.device().is_cpu() || bytes < kLeastBytes)
    return at::zeros(shape, options);
  // One page more than is needed, so that a whole one begins somewhere in the
  // first; what lies around the tensor is never touched.
  const size_t mapped = bytes + kHugePage;
  void* begin = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) throw std::bad_alloc();
  const auto first =
      (reinterpret_cast<uintptr_t>(begin) + kHugePage - 1) & -kHugePage;
  void* data = reinterpret_cast<void*>(first);
  // Advice: where it is refused, the memory serves as it is.
  ::madvise(data, bytes, MADV_HUGEPAGE);
  return at::from_blob(
      data, shape, [begin, mapped](void*) { ::munmap(begin, mapped); },
      options);
}

void SharedHugePages::Add(at::IntArrayRef shape, at::ScalarType dtype) {
  asked_ += LinesOf(shape, dtype);
}

at::Tensor SharedHugePages::Take(at::IntArrayRef shape, at::ScalarType dtype,
                                 at::Device device) {
  if (!bytes_.defined())
    bytes_ =
        ZerosOnHugePages({asked_}, at::TensorOptions(at::kByte).device(device));
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  const at::Tensor part =
      bytes_
          .narrow(0, taken_,
                  count * static_cast<int64_t>(c10::elementSize(dtype)))
          .view(dtype);
  taken_ += LinesOf(shape, dtype);
  return part.view(shape);
}

}  // namespace kvrecall
