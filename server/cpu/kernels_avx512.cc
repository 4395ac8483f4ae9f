#include "server/cpu/kernels_impl.h"
#include "server/cpu/tables.h"

namespace kvrecall::cpu {

const Kernels kAvx512Kernels = KVRECALL_CPU_KERNELS("avx512");

}  // namespace kvrecall::cpu
