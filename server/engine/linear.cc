#include "server/engine/linear.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/cpu/kernels.h"
#ifdef KVRECALL_WITH_CUDA
#include "server/engine/linear_cuda.h"
#endif
#ifdef KVRECALL_WITH_ONEDNN
#include "oneapi/dnnl/dnnl.hpp"
#endif

namespace kvrecall {
namespace {

// More rows than this make the arithmetic longer than the reading, and oneDNN
// is better at it.
constexpr int64_t kFewRows = kMostLoneRows;

template <typename T>
cpu::VectorProducts<T> Products(const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& out, int64_t begin,
                                int64_t end) {
  const int64_t size = weight.size(1);
  cpu::VectorProducts<T> products;
  products.weights = static_cast<const T*>(weight.data_ptr()) + begin * size;
  products.rows = end - begin;
  products.size = size;
  products.x = static_cast<const T*>(x.data_ptr());
  products.vectors = x.size(0);
  products.out = out.data_ptr<float>() + begin;
  products.out_stride = out.size(1);
  return products;
}

// A few rows of x. Rows of the matrix are split evenly, so each thread reads
// one stream.
at::Tensor MultiplyVectors(const at::Tensor& x, const at::Tensor& weight) {
  const int64_t rows = weight.size(0);
  at::Tensor out = at::empty({x.size(0), rows}, x.options().dtype(at::kFloat));
  // Below this, waking another thread costs more than it saves.
  constexpr int64_t kLeastNumbers = 1 << 15;
  const int64_t grain = std::max<int64_t>(kLeastNumbers / weight.size(1), 1);
  const cpu::Kernels& kernels = cpu::BestKernels();
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    if (x.scalar_type() == at::kBFloat16)
      kernels.multiply_vectors_bfloat16(
          Products<cpu::Bfloat16>(x, weight, out, begin, end));
    else
      kernels.multiply_vectors_float(
          Products<float>(x, weight, out, begin, end));
  });
  return out;
}

#ifdef KVRECALL_WITH_ONEDNN
dnnl::memory::data_type OneDnnType(at::ScalarType dtype) {
  return dtype == at::kFloat ? dnnl::memory::data_type::f32
                             : dnnl::memory::data_type::bf16;
}

// x · weightᵀ + bias (undefined: none) into `result`, packed. False, and
// nothing done, where oneDNN has no such product for this processor: of
// bfloat16 below AVX-512.
bool MultiplyWithOneDnn(const at::Tensor& x, const at::Tensor& weight,
                        const at::Tensor& bias, const at::Tensor& result) {
  using dnnl::memory;
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  thread_local dnnl::stream stream(engine);
  const int64_t rows = x.size(0), in = x.size(1), out = weight.size(0);
  const memory::desc x_desc({rows, in}, OneDnnType(x.scalar_type()),
                            memory::format_tag::ab);
  const memory::desc weight_desc({in, out}, OneDnnType(weight.scalar_type()),
                                 memory::format_tag::ba);
  const memory::desc out_desc({rows, out}, OneDnnType(result.scalar_type()),
                              memory::format_tag::ab);
  std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SRC, memory(x_desc, engine, x.data_ptr())},
      {DNNL_ARG_WEIGHTS, memory(weight_desc, engine, weight.data_ptr())},
      {DNNL_ARG_DST, memory(out_desc, engine, result.data_ptr())}};
  memory::desc bias_desc;
  if (bias.defined()) {
    bias_desc = memory::desc({1, out}, OneDnnType(bias.scalar_type()),
                             memory::format_tag::ab);
    arguments[DNNL_ARG_BIAS] = memory(bias_desc, engine, bias.data_ptr());
  }
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc description(
      engine, x_desc, weight_desc, bias_desc, out_desc, dnnl::primitive_attr(),
      /*allow_empty=*/true);
#else
  const dnnl::matmul::primitive_desc description(
      dnnl::matmul::desc(x_desc, weight_desc, bias_desc, out_desc), engine,
      /*allow_empty=*/true);
#endif
  if (!description) return false;
  // Compiled once for a shape: oneDNN keeps what it has made.
  dnnl::matmul(description).execute(stream, arguments);
  stream.wait();
  return true;
}

// The same by float32 products, rounded at the end: for processors that have
// no others. Some rows of the matrix at a time, so that it is never there
// twice.
void MultiplyWidened(const at::Tensor& x, const at::Tensor& weight,
                     const at::Tensor& bias, const at::Tensor& result) {
  constexpr int64_t kWidenedNumbers = int64_t{1} << 21;  // 8 MiB
  const at::Tensor wide_x = x.to(at::kFloat);
  const int64_t step =
      std::max<int64_t>(kWidenedNumbers / weight.size(1), kFewRows);
  for (int64_t row = 0; row < weight.size(0); row += step) {
    const int64_t count = std::min(step, weight.size(0) - row);
    const at::Tensor wide_weight = weight.narrow(0, row, count).to(at::kFloat);
    const at::Tensor wide_bias = bias.defined()
                                     ? bias.narrow(0, row, count).to(at::kFloat)
                                     : at::Tensor();
    at::Tensor columns = at::empty({x.size(0), count}, wide_x.options());
    if (!MultiplyWithOneDnn(wide_x, wide_weight, wide_bias, columns))
      columns = at::linear(wide_x, wide_weight, wide_bias);
    result.narrow(1, row, count).copy_(columns);
  }
}

at::Tensor MultiplyRows(const at::Tensor& x, const at::Tensor& weight,
                        const at::Tensor& bias, at::ScalarType out_dtype) {
  const at::Tensor result =
      at::empty({x.size(0), weight.size(0)}, x.options().dtype(out_dtype));
  if (!MultiplyWithOneDnn(x, weight, bias, result))
    MultiplyWidened(x, weight, bias, result);
  return result;
}
#else
at::Tensor MultiplyRows(const at::Tensor& x, const at::Tensor& weight,
                        const at::Tensor& bias, at::ScalarType out_dtype) {
  // Widened first where the result must not be rounded.
  if (out_dtype != x.scalar_type())
    return at::linear(x.to(out_dtype), weight.to(out_dtype));
  return at::linear(x, weight, bias);
}
#endif

}  // namespace

std::string CpuKernelsVersion() {
  std::string text = cpu::BestKernels().name;
#ifdef KVRECALL_WITH_ONEDNN
  const dnnl::version_t* version = dnnl::version();
  absl::StrAppend(&text, ", oneDNN ", version->major, ".", version->minor, ".",
                  version->patch);
#endif
  return text;
}

absl::Status CheckCpuKernels() {
  const char* wanted = cpu::WantedKernels();
  if (wanted == nullptr) return absl::OkStatus();
  const std::vector<const cpu::Kernels*> supported = cpu::SupportedKernels();
  for (const cpu::Kernels* kernels : supported)
    if (wanted == std::string_view(kernels->name)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "KVRECALL_CPU_KERNELS is '", wanted,
      "', which are no kernels that this processor runs; it runs ",
      absl::StrJoin(supported, ", ",
                    [](std::string* out, const cpu::Kernels* kernels) {
                      out->append(kernels->name);
                    })));
}

at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight,
                  const at::Tensor& bias) {
#ifdef KVRECALL_WITH_CUDA
  if (x.device().is_cuda() && x.size(0) == 1) {
    at::Tensor out = at::empty({1, weight.size(0)}, x.options());
    MultiplyVectorCuda(x, weight, bias, /*adds=*/false, out);
    return out;
  }
#endif
  if (!x.device().is_cpu()) return at::linear(x, weight, bias);
  const at::Tensor rows = x.contiguous();
  if (rows.size(0) > kFewRows)
    return MultiplyRows(rows, weight, bias, x.scalar_type());
  at::Tensor out = MultiplyVectors(rows, weight);
  if (bias.defined()) out.add_(bias);
  return out.to(x.scalar_type());
}

void AddLinear(at::Tensor sum, const at::Tensor& x, const at::Tensor& weight,
               const at::Tensor& bias) {
#ifdef KVRECALL_WITH_CUDA
  if (x.device().is_cuda() && x.size(0) == 1) {
    MultiplyVectorCuda(x, weight, bias, /*adds=*/true, sum);
    return;
  }
#endif
  sum.add_(Linear(x, weight, bias));
}

at::Tensor LinearToFloat(const at::Tensor& x, const at::Tensor& weight) {
#ifdef KVRECALL_WITH_CUDA
  if (x.device().is_cuda()) return MultiplyVectorsCuda(x, weight);
#endif
  if (!x.device().is_cpu()) return at::linear(x, weight).to(at::kFloat);
  const at::Tensor rows = x.contiguous();
  if (rows.size(0) > kFewRows)
    return MultiplyRows(rows, weight, {}, at::kFloat);
  return MultiplyVectors(rows, weight);
}

}  // namespace kvrecall
