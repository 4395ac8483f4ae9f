#include "server/engine/huge_pages.h"

#include <new>

#include "ATen/ATen.h"
#include <sys/mman.h>

namespace kvrecall {
namespace {

// Of x86-64 and of most ARM systems. Less than a few would be wasted on the
// rest of the last one.
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLeastBytes = 4 * kHugePage;

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

}  // namespace kvrecall
