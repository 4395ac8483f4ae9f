#include "client/render/catalog_text.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "client/render/text_table.h"
#include "common/record/policy_catalog.h"

namespace kvrecall {
namespace {

constexpr char kExample[] =
    "h2o,h2o_evict,snapkv(w=32,kernel=7),h2o_evict@entropy(2)";

// Columns of `text` in `width` of them, spaces at its end.
std::string Padded(std::string text, int width) {
  text.append(std::max(0, width - DisplayWidth(text)), ' ');
  return text;
}

// "1 to 1023, odd".
std::string Range(const PolicyParameter& parameter) {
  const char* rule = parameter.rule == NumberRule::kAny     ? ""
                     : parameter.rule == NumberRule::kWhole ? ", whole"
                                                            : ", odd";
  return absl::StrCat(NumberText(parameter.least), " to ",
                      NumberText(parameter.most), rule);
}

std::string Origin(const PolicyEntry& policy) {
  return absl::StrCat("[", std::string(policy.source), "]",
                      policy.irreversible ? "  takes a trigger" : "",
                      policy.per_layer ? "  scopes layer and head only" : "");
}

void AppendPolicy(const PolicyEntry& policy, int name_width, std::string* out) {
  const std::string indent(name_width, ' ');
  absl::StrAppend(out, Padded(std::string(policy.name), name_width),
                  std::string(policy.summary), "\n");
  for (const PolicyParameter& parameter : policy.parameters) {
    const std::string value = absl::StrCat(std::string(parameter.name), "=",
                                           NumberText(parameter.fallback));
    absl::StrAppend(out, indent, "  ", Padded(value, 10), Range(parameter),
                    "; ", std::string(parameter.summary), "\n");
  }
  absl::StrAppend(out, indent, Origin(policy), "\n");
}

void AppendTrigger(const TriggerEntry& trigger, std::string* out) {
  const std::string form = absl::StrCat("@", std::string(trigger.name), "(",
                                        std::string(trigger.value.name), ")");
  absl::StrAppend(out, Padded(form, 22), std::string(trigger.summary), "; ",
                  Range(trigger.value), "\n");
}

}  // namespace

std::string RenderCatalog() {
  int name_width = 0;
  std::vector<std::string> irreversible;
  for (const PolicyEntry& policy : AllPolicies()) {
    name_width = std::max(name_width, DisplayWidth(policy.name) + 2);
    if (policy.irreversible) irreversible.emplace_back(policy.name);
  }
  std::string out =
      absl::StrCat(Padded("policy", name_width),
                   "what it holds; all but oracle and h2o(self=0) hold the "
                   "step's own position too\n\n");
  for (const PolicyEntry& policy : AllPolicies()) {
    AppendPolicy(policy, name_width, &out);
  }
  absl::StrAppend(&out, "\nA trigger, behind ",
                  absl::StrJoin(irreversible, " or "),
                  ", makes it take its set anew, as at step 1:\n\n");
  for (const TriggerEntry& trigger : AllTriggers())
    AppendTrigger(trigger, &out);
  return absl::StrCat(out, "\nExample: --policies \"", kExample,
                      "\"\nAll:     --policies all\n");
}

}  // namespace kvrecall
