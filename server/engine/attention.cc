#include "server/engine/attention.h"

namespace kvrecall {

std::unique_ptr<KvCache> MakeKvCache(const KvShape& shape,
                                     const at::TensorOptions& options) {
  return MakeAtenKvCache(shape, options);
}

}  // namespace kvrecall
