#include "server/telemetry/policy_registry.h"

#include <optional>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/record/policy_catalog.h"
#include "server/telemetry/h2o.h"
#include "server/telemetry/h2o_evict.h"
#include "server/telemetry/h2o_mean.h"
#include "server/telemetry/h2o_window.h"
#include "server/telemetry/keydiff.h"
#include "server/telemetry/knorm.h"
#include "server/telemetry/oracle.h"
#include "server/telemetry/pyramidkv.h"
#include "server/telemetry/random_policy.h"
#include "server/telemetry/snapkv.h"
#include "server/telemetry/streaming.h"
#include "server/telemetry/tova.h"

namespace kvrecall {
namespace {

using Made = std::unique_ptr<Policy>;

struct Maker {
  std::string_view name;
  // `spec` is complete: every parameter present.
  Made (*make)(const PolicySpec& spec, const PolicyContext& context);
};

int64_t Whole(const PolicySpec& spec, const char* parameter) {
  return static_cast<int64_t>(spec.parameters.at(parameter));
}

template <typename T>
Made MakePlain(const PolicySpec&, const PolicyContext&) {
  return std::make_unique<T>();
}

template <typename T>
Made MakeIrreversible(const PolicySpec& spec, const PolicyContext& context) {
  std::optional<Trigger> trigger;
  if (spec.trigger) trigger.emplace(*spec.trigger, context.sample_key);
  return std::make_unique<T>(trigger);
}

template <typename T>
Made MakeSnap(const PolicySpec& spec, const PolicyContext&) {
  return std::make_unique<T>(Whole(spec, "w"), Whole(spec, "kernel"));
}

constexpr Maker kMakers[] = {
    {"h2o",
     [](const PolicySpec& spec, const PolicyContext&) -> Made {
       return std::make_unique<H2oPolicy>(Whole(spec, "self") != 0);
     }},
    {"h2o_window",
     [](const PolicySpec& spec, const PolicyContext&) -> Made {
       return std::make_unique<H2oWindowPolicy>(Whole(spec, "w"));
     }},
    {"h2o_mean", MakePlain<H2oMeanPolicy>},
    {"h2o_evict", MakeIrreversible<H2oEvictPolicy>},
    {"streaming",
     [](const PolicySpec& spec, const PolicyContext&) -> Made {
       return std::make_unique<StreamingPolicy>(Whole(spec, "sinks"));
     }},
    {"snapkv", MakeSnap<SnapKvPolicy>},
    {"tova", MakeIrreversible<TovaPolicy>},
    {"pyramidkv", MakeSnap<PyramidKvPolicy>},
    {"knorm", MakePlain<KnormPolicy>},
    {"keydiff", MakePlain<KeyDiffPolicy>},
    {"random",
     [](const PolicySpec& spec, const PolicyContext& context) -> Made {
       return std::make_unique<RandomPolicy>(
           static_cast<uint64_t>(spec.parameters.at("seed")),
           context.sample_key);
     }},
    {"oracle", MakePlain<OraclePolicy>},
};

// What grows by doubling has twice the room, beside the old while it grows.
int64_t RowBytes(const PolicySpec& spec) {
  if (spec.name == "h2o") return Whole(spec, "self") != 0 ? 0 : 8;
  if (spec.name == "h2o_mean") return 8;
  if (spec.name == "snapkv" || spec.name == "pyramidkv") return 8;
  if (spec.name == "knorm") return 2 * 4 + 4;
  if (spec.name == "keydiff") return 8;
  if (spec.name == "random") return 2 * (8 + 4) + 4;
  return 0;
}

}  // namespace

PolicyNeeds NeedsOf(const PolicySpec& spec) {
  PolicyNeeds needs;
  if (spec.name == "snapkv" || spec.name == "pyramidkv")
    needs.window = Whole(spec, "w");
  needs.key_norms = spec.name == "knorm";
  needs.key_similarities = spec.name == "keydiff";
  needs.row_bytes = RowBytes(spec);
  return needs;
}

absl::StatusOr<std::unique_ptr<Policy>> MakePolicy(
    const PolicySpec& spec, const PolicyContext& context) {
  ASSIGN_OR_RETURN(const PolicySpec complete, CompletePolicySpec(spec));
  for (const Maker& maker : kMakers)
    if (maker.name == complete.name) return maker.make(complete, context);
  return absl::InternalError(
      absl::StrCat("policy '", complete.name, "' has no maker"));
}

}  // namespace kvrecall
