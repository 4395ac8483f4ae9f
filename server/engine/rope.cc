#include "server/engine/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ATen/ATen.h"

namespace kvrecall {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

// Wavelengths are in positions. A frequency that turns often over the original
// positions is kept, one that turns seldom is divided by the factor.
at::Tensor Llama3(const at::Tensor& frequencies, const RopeConfig& c) {
  const at::Tensor wavelengths = at::reciprocal(frequencies) * kTurn;
  const double longest = c.original_positions / c.low_frequency_factor;
  const double shortest = c.original_positions / c.high_frequency_factor;
  const at::Tensor divided =
      at::where(wavelengths > longest, frequencies / c.factor, frequencies);
  const at::Tensor turns = at::reciprocal(wavelengths) * c.original_positions;
  const at::Tensor smooth = (turns - c.low_frequency_factor) /
                            (c.high_frequency_factor - c.low_frequency_factor);
  const at::Tensor blended =
      at::rsub(smooth, 1) * divided / c.factor + smooth * divided;
  const at::Tensor between =
      (wavelengths >= shortest).logical_and(wavelengths <= longest);
  return at::where(between, blended, divided);
}

// The index, as a real number, of the frequency that makes `turns` over the
// original positions.
double IndexOfTurns(double turns, const RopeConfig& c, int64_t head_dim) {
  return static_cast<double>(head_dim) *
         std::log(c.original_positions / (turns * kTurn)) /
         (2 * std::log(c.theta));
}

// `powers` [head_dim / 2] are the reciprocals of the plain frequencies.
at::Tensor Yarn(const at::Tensor& powers, const RopeConfig& c,
                int64_t head_dim) {
  double low = IndexOfTurns(c.beta_fast, c, head_dim);
  double high = IndexOfTurns(c.beta_slow, c, head_dim);
  if (c.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;  // as transformers avoids the division by 0
  const at::Tensor ramp =
      ((at::arange(head_dim / 2, at::kLong).to(at::kFloat) - low) /
       (high - low))
          .clamp(0, 1);
  // Rounded as transformers does: 1 − (1 − ramp) is not always the ramp.
  const at::Tensor kept = at::rsub(ramp, 1);
  return at::reciprocal(powers * c.factor) * at::rsub(kept, 1) +
         at::reciprocal(powers) * kept;
}

}  // namespace

at::Tensor InverseFrequencies(const RopeConfig& config, int64_t head_dim) {
  const at::Tensor exponents =
      at::arange(0, head_dim, 2, at::kLong).to(at::kFloat).div(head_dim);
  const at::Tensor powers = at::pow(at::Scalar(config.theta), exponents);
  const at::Tensor plain = at::reciprocal(powers);
  switch (config.type) {
    case RopeConfig::Type::kDefault:
      return plain;
    case RopeConfig::Type::kLinear:
      return plain / config.factor;
    case RopeConfig::Type::kLlama3:
      return Llama3(plain, config);
    case RopeConfig::Type::kYarn:
      return Yarn(powers, config, head_dim);
  }
  return plain;
}

Rope::Rope(const RopeConfig& config, int64_t head_dim, int64_t positions,
           at::Device device) {
  // On the CPU first, so that every device works with the same tables.
  const at::Tensor angles =
      at::arange(positions, at::kLong).to(at::kFloat).unsqueeze(1) *
      InverseFrequencies(config, head_dim).unsqueeze(0);
  const double factor = config.attention_factor;
  cos_ = (angles.cos() * factor).to(device);
  sin_ = (angles.sin() * factor).to(device);
}

Rope::Angles Rope::At(const at::Tensor& positions) const {
  return {cos_.index_select(0, positions), sin_.index_select(0, positions)};
}

}  // namespace kvrecall
