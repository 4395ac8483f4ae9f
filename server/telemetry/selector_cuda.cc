#include "server/telemetry/selector_cuda.h"

#include <algorithm>
#include <cstring>

#include "ATen/ATen.h"

#include "server/host_copies.h"
#include "server/telemetry/selection_cuda.h"

namespace kvrecall {
namespace {

// The kernel's masks: rows of packed int16, long enough.
void CheckMasks(const at::Tensor& masks, const at::Tensor& weights) {
  TORCH_CHECK(masks.scalar_type() == at::kShort &&
              masks.size(0) == weights.size(0) &&
              masks.size(1) >= weights.size(1) && masks.stride(1) == 1 &&
              masks.device() == weights.device());
}

at::Tensor WithPackedRows(const at::Tensor& t) {
  return t.size(1) < 2 || t.stride(1) == 1 ? t : t.contiguous();
}

// Gathers jobs and their numbers for one copy, and keeps alive what the jobs
// point to.
class Batch {
 public:
  void Add(const SetJob& job, double* figures) {
    const at::Tensor weights = Kept(WithPackedRows(job.weights));
    const at::Tensor scores = Kept(WithPackedRows(job.scores.values));
    Check(job, scores);
    DeviceSetJob d{};
    d.scores = scores.const_data_ptr();
    d.score_stride = scores.stride(0);
    d.is_double = scores.scalar_type() == at::kDouble;
    d.weights = weights.const_data_ptr<float>();
    d.weight_stride = weights.stride(0);
    if (job.other.defined()) {
      CheckMasks(job.other, weights);
      d.other = job.other.const_data_ptr<int16_t>();
      d.other_stride = job.other.stride(0);
    }
    if (job.held.defined()) {
      CheckMasks(job.held, weights);
      d.held = job.held.mutable_data_ptr<int16_t>();
      d.held_stride = job.held.stride(0);
    }
    d.figures = figures;
    d.first_row = static_cast<int32_t>(rows_);
    d.rows = static_cast<int32_t>(weights.size(0));
    d.n = static_cast<int32_t>(weights.size(1));
    d.budgets = job.budgets;
    d.sizes = Append(job.ks);
    d.size_stride = std::ssize(job.ks) > job.budgets ? job.budgets : 0;
    d.last = Append(job.scores.last);
    d.last_stride = job.scores.last.size() > 1;
    d.had = job.had.empty() ? -1 : Append(job.had);
    d.count_fetched = job.count_fetched;
    rows_ += d.rows;
    jobs_.push_back(d);
  }

  void Run(at::Device device) const {
    if (jobs_.empty()) return;
    const size_t job_bytes = jobs_.size() * sizeof(DeviceSetJob);
    const size_t number_bytes = numbers_.size() * sizeof(int32_t);
    std::vector<uint8_t> bytes(job_bytes + number_bytes);
    std::memcpy(bytes.data(), jobs_.data(), job_bytes);
    std::memcpy(bytes.data() + job_bytes, numbers_.data(), number_bytes);
    FormRowsCuda(
        CopyToDevice(std::span<const uint8_t>(bytes), at::kByte, device),
        std::ssize(jobs_), rows_);
  }

 private:
  static void Check(const SetJob& job, const at::Tensor& scores) {
    const int64_t n = job.weights.size(1);
    const auto budgets = static_cast<size_t>(job.budgets);
    const std::vector<int64_t>& last = job.scores.last;
    TORCH_CHECK(job.budgets >= 1 && job.budgets <= kMostBudgets);
    TORCH_CHECK(job.weights.scalar_type() == at::kFloat && n >= 1);
    TORCH_CHECK(last.size() == 1 || last.size() == budgets);
    TORCH_CHECK((scores.scalar_type() == at::kFloat ||
                 scores.scalar_type() == at::kDouble) &&
                scores.size(0) == job.weights.size(0) &&
                scores.size(1) >=
                    n - *std::min_element(last.begin(), last.end()) &&
                scores.device() == job.weights.device());
    TORCH_CHECK(job.ks.size() == budgets ||
                std::ssize(job.ks) == job.weights.size(0) * job.budgets);
    TORCH_CHECK(*std::min_element(job.ks.begin(), job.ks.end()) >= 1 &&
                *std::max_element(job.ks.begin(), job.ks.end()) <= n);
    TORCH_CHECK(job.had.empty() ||
                (job.had.size() == budgets && job.held.defined()));
  }

  const at::Tensor& Kept(at::Tensor t) {
    return kept_.emplace_back(std::move(t));
  }

  int32_t Append(const std::vector<int64_t>& numbers) {
    const auto offset = static_cast<int32_t>(numbers_.size());
    for (const int64_t number : numbers)
      numbers_.push_back(static_cast<int32_t>(number));
    return offset;
  }

  std::vector<DeviceSetJob> jobs_;
  std::vector<int32_t> numbers_;
  std::vector<at::Tensor> kept_;
  int64_t rows_ = 0;
};

}  // namespace

std::vector<at::Tensor> FormSetsOnCuda(std::span<const SetJob> jobs) {
  if (jobs.empty()) return {};
  const at::Device device = jobs[0].weights.device();
  int64_t total = 0;
  for (const SetJob& job : jobs)
    total += kSetFigures * job.weights.size(0) * job.budgets;
  const at::Tensor all =
      at::empty({total}, at::TensorOptions(at::kDouble).device(device));
  std::vector<at::Tensor> figures;
  // All rows of a launch run at once, so those that others are compared with
  // have one of their own, before.
  Batch first, second;
  int64_t begin = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const SetJob& job = jobs[i];
    const at::Tensor& own = figures.emplace_back(
        all.narrow(0, begin, kSetFigures * job.weights.size(0) * job.budgets)
            .view({kSetFigures, job.weights.size(0), job.budgets}));
    (WaitsFor(jobs, i) == i ? first : second)
        .Add(job, own.mutable_data_ptr<double>());
    begin += own.numel();
  }
  first.Run(device);
  second.Run(device);
  return figures;
}

}  // namespace kvrecall
