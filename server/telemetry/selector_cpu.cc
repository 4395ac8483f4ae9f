#include "server/telemetry/selector_cpu.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ATen/ATen.h"

#include "server/cpu/row_kernels.h"
#include "server/telemetry/row_selection.h"
#include "server/telemetry/row_workers.h"

namespace kvrecall {
namespace {

constexpr std::array<uint16_t, kMostBudgets> kBits = [] {
  std::array<uint16_t, kMostBudgets> bits{};
  for (int b = 0; b < kMostBudgets; ++b)
    bits[b] = static_cast<uint16_t>(1u << b);
  return bits;
}();

uint16_t* MaskRow(const at::Tensor& masks, int64_t r) {
  if (!masks.defined()) return nullptr;
  return reinterpret_cast<uint16_t*>(masks.data_ptr<int16_t>()) +
         r * masks.stride(0);
}

at::Tensor WithPackedRows(const at::Tensor& t) {
  return !t.defined() || t.stride(-1) == 1 ? t : t.contiguous();
}

// Per thread, kept between steps.
struct Workspace {
  RowSelection<float> floats;
  RowSelection<double> doubles;
  std::vector<uint16_t> masks;
};

Workspace& ThreadWorkspace() {
  static thread_local Workspace workspace;
  return workspace;
}

// A job's arrays, kept alive.
struct JobRows {
  explicit JobRows(const SetJob& set_job)
      : job(set_job),
        rows(job.weights.size(0)),
        n(job.weights.size(1)),
        values(WithPackedRows(job.scores.values)),
        rounded(WithPackedRows(job.scores.rounded)),
        weights(job.weights.contiguous()),
        figures(at::zeros({kSetFigures, rows, job.budgets}, at::kDouble)) {}

  const SetJob& job;
  const int64_t rows, n;
  const at::Tensor values, rounded, weights;
  const at::Tensor figures;
};

// One row of one job.
class RowJob {
 public:
  RowJob(const JobRows& rows, int64_t row)
      : rows_(rows),
        job_(rows.job),
        row_(row),
        n_(rows.n),
        budgets_(rows.job.budgets),
        workspace_(ThreadWorkspace()),
        held_(MaskRow(rows.job.held, row)),
        figures_(rows.figures.data_ptr<double>() + row * budgets_) {}

  void Run() {
    if (!job_.had.empty()) {
      GoOnFromHeld();
      Weigh(held_);
      return;
    }
    workspace_.masks.assign(static_cast<size_t>(n_), 0);
    uint16_t* masks = workspace_.masks.data();
    SelectAnew(masks);
    if (held_ != nullptr) {
      if (job_.count_fetched) CountFetched(masks);
      std::copy_n(masks, n_, held_);
    }
    Weigh(masks);
  }

 private:
  int64_t K(int b) const {
    const bool by_row = std::ssize(job_.ks) > budgets_;
    return job_.ks[static_cast<size_t>((by_row ? row_ * budgets_ : 0) + b)];
  }

  // How many of the last positions budget b holds before all others.
  int64_t Last(int b) const {
    const std::vector<int64_t>& last = job_.scores.last;
    return std::min(last[last.size() > 1 ? static_cast<size_t>(b) : 0], n_);
  }

  double& Figure(SetFigure figure, int b) const {
    return figures_[figure * rows_.rows * budgets_ + b];
  }

  void SelectAnew(uint16_t* masks) {
    std::array<int64_t, kMostBudgets> wanted;
    for (int b = 0; b < budgets_; ++b) {
      const int64_t last = std::min(Last(b), K(b));
      wanted[b] = K(b) - last;
      for (int64_t j = n_ - last; j < n_; ++j)
        masks[j] = static_cast<uint16_t>(masks[j] | kBits[b]);
    }
    if (job_.scores.last.size() <= 1) {
      SelectScores(n_ - Last(0), 0, budgets_, wanted.data(), masks);
      return;
    }
    for (int b = 0; b < budgets_; ++b)
      SelectScores(n_ - Last(b), b, 1, wanted.data() + b, masks);
  }

  void SelectScores(int64_t count, int first, int budgets,
                    const int64_t* wanted, uint16_t* masks) {
    const std::span<const int64_t> ks(wanted, static_cast<size_t>(budgets));
    const std::span<const uint16_t> bits(kBits.data() + first,
                                         static_cast<size_t>(budgets));
    // Nothing is left to choose where the last positions are all there is.
    if (std::all_of(ks.begin(), ks.end(), [](int64_t k) { return k == 0; }))
      return;
    const at::Tensor& values = rows_.values;
    const float* rounded =
        rows_.rounded.defined()
            ? rows_.rounded.data_ptr<float>() + row_ * rows_.rounded.stride(0)
            : nullptr;
    const int64_t offset = row_ * values.stride(0);
    if (values.scalar_type() == at::kDouble)
      workspace_.doubles.Select(values.data_ptr<double>() + offset, rounded,
                                count, ks, bits, masks);
    else
      workspace_.floats.Select(values.data_ptr<float>() + offset, rounded,
                               count, ks, bits, masks);
  }

  void GoOnFromHeld() {
    for (int b = 0; b < budgets_; ++b) {
      held_[n_ - 1] = static_cast<uint16_t>(held_[n_ - 1] | kBits[b]);
      const int64_t had = job_.had[static_cast<size_t>(b)] + 1;
      for (int64_t size = had; size > K(b); --size) {
        const int64_t j = LowestHeld(n_ - Last(b), b);
        held_[j] = static_cast<uint16_t>(held_[j] & ~kBits[b]);
      }
    }
  }

  int64_t LowestHeld(int64_t count, int b) const {
    const at::Tensor& values = rows_.values;
    const int64_t offset = row_ * values.stride(0);
    const cpu::RowKernels& kernels = cpu::BestRowKernels();
    return values.scalar_type() == at::kDouble
               ? kernels.lowest_of_doubles(values.data_ptr<double>() + offset,
                                           held_, count, kBits[b])
               : kernels.lowest_of_floats(values.data_ptr<float>() + offset,
                                          held_, count, kBits[b]);
  }

  void CountFetched(const uint16_t* masks) const {
    for (int64_t j = 0; j + 1 < n_; ++j) {
      const unsigned fetched = masks[j] & ~static_cast<unsigned>(held_[j]);
      if (fetched == 0) continue;
      for (int b = 0; b < budgets_; ++b)
        Figure(kFetched, b) += (fetched >> b) & 1;
    }
  }

  void Weigh(const uint16_t* masks) const {
    const uint16_t* other = MaskRow(job_.other, row_);
    std::array<int64_t, kMostBudgets> common;
    std::array<double, kMostBudgets> mass;
    cpu::BestRowKernels().weigh_sets(
        masks, other, rows_.weights.data_ptr<float>() + row_ * n_, n_, budgets_,
        common.data(), mass.data());
    for (int b = 0; b < budgets_; ++b) {
      Figure(kCommon, b) =
          other == nullptr ? 0 : static_cast<double>(common[b]);
      Figure(kMass, b) = mass[b];
      Figure(kHasLast, b) = (masks[n_ - 1] >> b) & 1;
      Figure(kEarned, b) = static_cast<double>(K(b));
      Figure(kCommonEarned, b) = Figure(kCommon, b);
    }
    for (int64_t j = 0; j < n_; ++j) {
      if (j == kFirstFree) j = std::max(kFirstFree, n_ - kLastFree);
      if (j >= n_) break;
      const unsigned both = other == nullptr ? 0u : masks[j] & other[j];
      for (int b = 0; b < budgets_; ++b) {
        Figure(kEarned, b) -= (masks[j] >> b) & 1;
        Figure(kCommonEarned, b) -= (both >> b) & 1;
      }
    }
  }

  const JobRows& rows_;
  const SetJob& job_;
  const int64_t row_, n_;
  const int budgets_;
  Workspace& workspace_;
  uint16_t* const held_;
  double* const figures_;  // the row's of the first figure
};

}  // namespace

std::vector<at::Tensor> FormSetsOnCpu(std::span<const SetJob> jobs) {
  std::vector<at::Tensor> figures;
  std::vector<JobRows> all;
  all.reserve(jobs.size());
  // Jobs that go over the same rows together, the one they wait for first: a
  // row is compared while it is near.
  std::vector<std::vector<const JobRows*>> groups(jobs.size());
  int64_t most_rows = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const JobRows& added = all.emplace_back(jobs[i]);
    figures.push_back(added.figures);
    groups[WaitsFor(jobs, i)].push_back(&added);
    most_rows = std::max(most_rows, added.rows);
  }
  RunRowWorkers(most_rows, [&](int64_t worker, int64_t workers) {
    for (const std::vector<const JobRows*>& group : groups)
      for (int64_t row = worker; !group.empty() && row < group[0]->rows;
           row += workers)
        for (const JobRows* job : group) RowJob(*job, row).Run();
  });
  return figures;
}

}  // namespace kvrecall
