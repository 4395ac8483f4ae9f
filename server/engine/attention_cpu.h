#pragma once

// Attention on the CPU by kernels of the project's own (cpu/kernels.h): a tile
// of queries runs over blocks of positions with a running maximum, as in
// FlashAttention (arXiv 2205.14135), and keeps its unnormalised weights, so
// that column sums cost one pass over what is still in the cache: Σ over rows
// of a factor that is known only when the row has ended.
//
// Deterministic for a number of threads: every tile has its place and its
// thread, whatever the load. With any number of threads outputs and rows are
// the same, and so are the sums of a single query; those of many queries differ
// in their last digits, since tiles and the order of their sums do.

#include <memory>

#include "server/engine/attention.h"

namespace kvrecall {

namespace cpu {
struct Kernels;
}

// Float32 or bfloat16 on the CPU; `kernels` are those of the processor unless
// a test asks for others.
std::unique_ptr<KvCache> MakeCpuKvCache(const KvShape& shape,
                                        const at::TensorOptions& options,
                                        const cpu::Kernels& kernels);

}  // namespace kvrecall
