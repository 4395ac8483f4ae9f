#include "server/service/validate.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/longbench/prompt.h"
#include "common/longbench/task.h"
#include "common/longbench/unicode.h"
#include "proto/convert/field.h"
#include "proto/convert/sample_convert.h"
#include "proto/convert/time_convert.h"

namespace kvrecall {
namespace {

constexpr int64_t kAnyLength = std::numeric_limits<int64_t>::max();

// Code points of well-formed UTF-8: the bytes that do not continue one.
int64_t Characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (c & 0xC0) != 0x80; });
}

absl::Status CheckChat(const v1::Sample& sample, std::string_view field) {
  const std::string path = FieldPath(field, "messages");
  for (const v1::ChatMessage& message : sample.messages())
    RETURN_IF_ERROR(CheckText(path, message.content(), 0, kAnyLength));
  const absl::Status chat = CheckMessages(FromProto(sample).messages);
  return chat.ok()
             ? chat
             : FieldError(path, absl::StrCat("is no chat: ", chat.message()));
}

absl::Status CheckSampleText(const v1::Sample& sample, std::string_view field) {
  const auto check = [&](std::string_view name, std::string_view text) {
    return CheckText(FieldPath(field, name), text, 0, kAnyLength);
  };
  RETURN_IF_ERROR(check("input", sample.input()));
  RETURN_IF_ERROR(check("context", sample.context()));
  RETURN_IF_ERROR(check("dataset", sample.dataset()));
  RETURN_IF_ERROR(check("language", sample.language()));
  for (const std::string& answer : sample.answers())
    RETURN_IF_ERROR(check("answers", answer));
  for (const std::string& name : sample.all_classes())
    RETURN_IF_ERROR(check("all_classes", name));
  RETURN_IF_ERROR(check("forced_text", sample.forced_text()));
  for (const auto& [name, value] : sample.fields()) {
    RETURN_IF_ERROR(check("fields", name));
    RETURN_IF_ERROR(check("fields", value));
  }
  if (!sample.messages().empty()) {
    RETURN_IF_ERROR(CheckChat(sample, field));
  } else if (sample.input().empty() && sample.context().empty() &&
             sample.fields().empty()) {
    return FieldError(FieldPath(field, "context"),
                      "is empty, and so is the input: there is no prompt");
  }
  if (sample.length() < 0)
    return FieldError(FieldPath(field, "length"),
                      absl::StrCat(sample.length(), " is negative"));
  if (sample.ordinal() < 0 || sample.ordinal() > kMostOrdinal)
    return FieldError(
        FieldPath(field, "ordinal"),
        absl::StrCat(sample.ordinal(), " is not in 0 to ", kMostOrdinal));
  return absl::OkStatus();
}

// That the run's template can be filled with the sample, and gives something.
absl::Status CheckTemplate(const v1::Sample& sample, const RunConfig& config,
                           std::string_view field) {
  const std::string_view own = config.prompt_template;
  const absl::StatusOr<std::string> prompt =
      FillOwnTemplate(own.empty() ? kCustomTemplate : own, FromProto(sample));
  if (!prompt.ok())
    return FieldError(field, std::string(prompt.status().message()));
  if (prompt->empty())
    return FieldError(field, own.empty()
                                 ? "has no input, and the run has no template"
                                 : "gives an empty prompt");
  return absl::OkStatus();
}

// Fields and messages are read for task custom alone.
absl::Status CheckCustom(const v1::Sample& sample, const RunConfig& config,
                         std::string_view field) {
  if (config.task == kCustomTask)
    return sample.messages().empty() ? CheckTemplate(sample, config, field)
                                     : absl::OkStatus();
  const auto other = [&](const char* name) {
    return FieldError(FieldPath(field, name),
                      absl::StrCat("is of task ", std::string(kCustomTask),
                                   " only; the run's is ", config.task));
  };
  if (!sample.messages().empty()) return other("messages");
  if (!sample.fields().empty()) return other("fields");
  return absl::OkStatus();
}

absl::Status CheckTimeLimit(const v1::CreateRunRequest& request) {
  if (!request.has_time_limit()) return absl::OkStatus();
  const absl::Duration limit = FromProto(request.time_limit());
  const std::string text = absl::FormatDuration(limit);
  if (limit <= absl::ZeroDuration())
    return FieldError("time_limit", absl::StrCat(text, " is not above 0"));
  if (limit > kMaxTimeLimit)
    return FieldError("time_limit",
                      absl::StrCat(text,
                                   " is more than 366 days; leave it "
                                   "unset for no limit"));
  return absl::OkStatus();
}

absl::Status CheckForcedText(const v1::Sample& sample, Force force,
                             std::string_view field) {
  if (force == Force::kGold && sample.answers().empty())
    return FieldError(FieldPath(field, "answers"),
                      "is empty; the run forces the first answer, so every "
                      "sample needs one");
  if (force == Force::kText && !sample.has_forced_text())
    return FieldError(FieldPath(field, "forced_text"),
                      "is not set; the run forces it, so every sample needs "
                      "one");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckText(std::string_view field, std::string_view text,
                       int64_t min, int64_t max) {
  if (const auto at = FirstInvalidUtf8(text))
    return FieldError(field, absl::StrCat("is not UTF-8 at byte ", *at));
  if (text.find('\0') != std::string_view::npos)
    return FieldError(field, "holds a NUL character");
  const int64_t characters = Characters(text);
  if (characters == 0 && min > 0) return FieldError(field, "is empty");
  if (characters < min || characters > max)
    return FieldError(
        field, absl::StrCat("has ", characters, " characters; it must have ",
                            min, " to ", max));
  return absl::OkStatus();
}

absl::Status CheckBackupPath(std::string_view path) {
  RETURN_IF_ERROR(CheckText("path", path, 1, 4000));
  if (path.front() != '/')
    return FieldError("path", "is not absolute; it is one on the server");
  return path.back() == '/' ? FieldError("path", "is a folder's; name a file")
                            : absl::OkStatus();
}

absl::Status CheckNewRun(const v1::CreateRunRequest& request) {
  RETURN_IF_ERROR(CheckText("request_id", request.request_id(), 1, 64));
  RETURN_IF_ERROR(CheckText("config.task", request.config().task(), 1, 64));
  RETURN_IF_ERROR(CheckText("config.prompt_template",
                            request.config().prompt_template(), 0,
                            kMaxMessageBytes));
  return CheckTimeLimit(request);
}

absl::Status CheckTokenize(const v1::TokenizeRequest& request) {
  const std::string& text = request.text();
  if (std::ssize(text) > kMaxTokenizeBytes)
    return FieldError("text",
                      absl::StrCat("has ", text.size(), " bytes; at most ",
                                   kMaxTokenizeBytes, " a call"));
  return CheckText("text", text, 0, kAnyLength);
}

absl::Status CheckRunId(std::string_view run_id) {
  return CheckText("run_id", run_id, 1, 64);
}

absl::Status CheckAfterSequence(int64_t after_sequence) {
  if (after_sequence >= 0) return absl::OkStatus();
  return FieldError(
      "after_sequence",
      absl::StrCat(after_sequence, " is negative; 0 reads from the start"));
}

absl::StatusOr<int> PageSize(int32_t requested, int fallback) {
  if (requested < 0)
    return FieldError("page_size",
                      absl::StrCat(requested, " is negative; give 1 to ",
                                   kMaxPageSize, ", or 0 for ", fallback));
  return requested == 0 ? fallback : std::min(requested, kMaxPageSize);
}

absl::Status CheckSubmission(const v1::SubmitSamplesRequest& request) {
  RETURN_IF_ERROR(CheckRunId(request.run_id()));
  if (request.samples_size() > kMaxSamplesPerCall)
    return FieldError("samples", absl::StrCat("has ", request.samples_size(),
                                              " entries; at most ",
                                              kMaxSamplesPerCall, " a call"));
  if (request.samples_size() == 0 && !request.complete())
    return FieldError("samples",
                      "is empty; only a call with complete set may have none");
  for (int i = 0; i < request.samples_size(); ++i)
    RETURN_IF_ERROR(
        CheckText(FieldPath(FieldPath("", "samples", i), "sample_id"),
                  request.samples(i).sample_id(), 1, 128));
  return absl::OkStatus();
}

std::optional<std::string> WhyRefused(const v1::Sample& sample, int index,
                                      const RunConfig& config) {
  const std::string field = FieldPath("", "samples", index);
  absl::Status status = CheckSampleText(sample, field);
  if (status.ok()) status = CheckCustom(sample, config, field);
  if (status.ok()) status = CheckForcedText(sample, config.force, field);
  if (status.ok()) return std::nullopt;
  return std::string(status.message());
}

}  // namespace kvrecall
