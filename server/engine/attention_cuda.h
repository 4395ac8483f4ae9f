#pragma once

// The KV cache on CUDA, for float32 and bfloat16 on compute capability 8.0 or
// newer. Keys and values are plain [layers, 2, kv_heads, capacity, head_dim].
//
// A chunk's output and log-sum-exp come from FlashAttention (bfloat16) or from
// libtorch's operators (float32, which FlashAttention does not take); one
// query's from a kernel of the project's. Rows and column sums are the
// project's kernels in either dtype: attention_cuda_kernels.h. Groups of more
// than 8 query heads go through libtorch's operators alone.

#include <memory>

#include "ATen/core/Tensor.h"

#include "server/engine/attention.h"

namespace kvrecall {

// True if MakeCudaKvCache takes these; MakeAtenKvCache takes the rest.
bool CudaKvCacheTakes(const KvShape& shape, const at::TensorOptions& options);

// Throws c10::Error where memory runs out.
std::unique_ptr<KvCache> MakeCudaKvCache(const KvShape& shape,
                                         const at::TensorOptions& options);

}  // namespace kvrecall
