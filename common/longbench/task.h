#pragma once

// The tasks that kvrecall runs: LongBench v1's own, the reasoning variants of
// them, the demonstration of the embedded model, and one for anybody's samples.
// One row of a table each, so that a further LongBench task is a row (and a
// metric, where it needs a new one). Immutable, thread-safe; everything lives
// as long as the program.

#include <span>
#include <string_view>

#include "absl/status/statusor.h"

namespace kvrecall {

// How an answer is compared with a reference. See scoring.h.
enum class Metric {
  kQaF1,            // token F1
  kRougeL,          // of summaries
  kClassification,  // the right class among those named
  kRetrieval,       // the paragraph's number among those named
  kRetrievalChinese,
  kCount,           // the right number among those named
  kCodeSimilarity,  // of the next line of code
  kQaF1Chinese,     // these are not scored: see UnscoredReason
  kRougeLChinese,
  kNone,
};

// "qa_f1", "rouge_l", "classification", …: as the API names it.
std::string_view MetricName(Metric metric);

// Which part of the generated text is the answer. See ExtractAnswer.
enum class AnswerRule {
  kWholeText,
  // LongBench's rule for its few-shot tasks: the first line, line feeds before
  // it skipped.
  kFirstLine,
  // What follows the last marker, on the first line there that is not blank.
  // The last, because the reasoning before it may quote the marker.
  kLastMarkedLine,
  // What follows the first marker, up to the next full stop or the end. The
  // first, because text after the answer is no part of it.
  kFirstMarkedSentence,
};

struct Task {
  // As users and records name it; unique.
  std::string_view name;
  // Whose samples it takes: the `dataset` field of the JSONL.
  std::string_view dataset;
  // With the placeholders {context} and {input}.
  std::string_view prompt_template;
  // Tokens to generate at most.
  int max_new_tokens;
  // Whether the filled (and truncated) template is put into the model's chat
  // template.
  bool chat;
  Metric metric;
  AnswerRule answer_rule;
  // Where the marked rules look; empty for the others. Case-sensitive.
  std::string_view answer_marker;
  // Template, length and score are LongBench's own, so the score may stand
  // beside LongBench's; never the case for our own templates.
  bool is_longbench;
  // LongBench-E has a variant of it, under its name and "_e".
  bool in_longbench_e = false;
  // It is that variant.
  bool is_longbench_e = false;
  // A line feed ends the text too, and neither it nor an EOS may come first.
  bool ends_at_newline = false;
};

// The task of samples that are anybody's: its template is the run's.
inline constexpr std::string_view kCustomTask = "custom";
// Where the run has none.
inline constexpr std::string_view kCustomTemplate = "{input}";

// Every task, in the order in which they are to be listed.
std::span<const Task> AllTasks();

// The task of that name, exactly. NOT_FOUND otherwise; the message gives the
// nearest name.
absl::StatusOr<const Task*> FindTask(std::string_view name);

}  // namespace kvrecall
