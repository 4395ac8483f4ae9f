// What a client may send: a kind in the first byte, then the message, in
// protobuf's text form or as it is on the wire. It goes through all that a
// handler does with it before and behind the store.

#include <string>

#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/stubs/logging.h"
#include "google/protobuf/text_format.h"

#include "common/base/error_reason.h"
#include "common/longbench/sample_json.h"
#include "common/longbench/task.h"
#include "common/record/json.h"
#include "common/record/run_config.h"
#include "kvrecall/v1/model_service.pb.h"
#include "kvrecall/v1/run_service.pb.h"
#include "proto/convert/error_convert.h"
#include "proto/convert/record_convert.h"
#include "proto/convert/run_convert.h"
#include "proto/convert/sample_convert.h"
#include "proto/convert/time_convert.h"
#include "server/service/defaults.h"
#include "server/service/grpc_status.h"
#include "server/service/validate.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

constexpr int64_t kWindow = 32768;
// Of trailers that a client takes; the details are base64 there.
constexpr size_t kMostTrailerBytes = 8 << 10;

// False where the bytes are no such message, or would not be on the wire.
template <typename Message>
bool ReadMessage(std::string_view bytes, Message& message) {
  static const google::protobuf::LogSilencer silence;
  const std::string copy(bytes);
  if (message.ParseFromString(copy)) return true;
  google::protobuf::TextFormat::Parser parser;
  class Quiet final : public google::protobuf::io::ErrorCollector {
    void AddError(int, int, const std::string&) override {}
  } quiet;
  parser.RecordErrorsTo(&quiet);
  Message written;
  return parser.ParseFromString(copy, &written) &&
         message.ParseFromString(written.SerializeAsString());
}

template <typename Message>
std::string Wire(const Message& message) {
  return message.SerializeAsString();
}

// What the client is told of it, and what its library makes of that.
void CheckRefusal(const absl::Status& status) {
  if (status.ok()) return;
  RequireReadable(status);
  const grpc::Status told = ToGrpcStatus(status);
  RequireOneLine(told.error_message());
  Require(told.error_message().size() + told.error_details().size() * 4 / 3 <
              kMostTrailerBytes,
          "a refusal fits into a trailer");
  const absl::Status read = WithErrorDetails(
      absl::Status(status.code(), "told"), told.error_details());
  Require(ReasonOf(read) == ReasonOf(status), "the reason arrives");
  Require(FactsOf(read) == FactsOf(status), "facts arrive");
}

void CheckConfig(const RunConfig& config) {
  const absl::StatusOr<RunConfig> from_json =
      ConfigFromJson(ConfigToJson(config).dump());
  Require(from_json.ok() && *from_json == config, "JSON keeps the config");
  const absl::StatusOr<RunConfig> from_proto = FromProto(ToProto(config), "");
  Require(from_proto.ok() && *from_proto == config, "a message keeps it");
}

void OnCreateRun(const v1::CreateRunRequest& request) {
  const absl::Status bad = CheckNewRun(request);
  CheckRefusal(bad);
  if (!bad.ok()) return;
  if (request.has_time_limit()) {
    const absl::Duration limit = FromProto(request.time_limit());
    Require(limit > absl::ZeroDuration() && limit <= kMaxTimeLimit,
            "a time limit is above 0 and has an end");
  }
  absl::StatusOr<RunConfig> requested = FromProto(request.config());
  CheckRefusal(requested.status());
  if (!requested.ok()) return;
  CheckConfig(*requested);
  const absl::StatusOr<RunConfig> complete =
      CompleteDefaults(*std::move(requested), kWindow);
  CheckRefusal(complete.status());
  if (!complete.ok()) return;
  CheckConfig(*complete);
  Require(!Lanes(*complete).empty(), "a run measures something");
  Require(complete->max_new_tokens >= 1 && complete->max_prompt_tokens >= 1 &&
              complete->max_new_tokens + complete->max_prompt_tokens <= kWindow,
          "a run fits into the window");
}

// The runs that a sample may be for.
std::vector<RunConfig> Runs() {
  RunConfig plain;
  plain.task = "hotpotqa";
  RunConfig gold = plain;
  gold.force = Force::kGold;
  RunConfig custom;
  custom.task = std::string(kCustomTask);
  RunConfig with_template = custom;
  with_template.prompt_template = "{context}\n{input}{a}";
  with_template.force = Force::kText;
  return {plain, gold, custom, with_template};
}

void CheckTaken(const v1::Sample& message) {
  const Sample sample = FromProto(message);
  const absl::StatusOr<std::string> stored = SampleToJson(sample);
  Require(stored.ok(), "a sample that is taken can be kept");
  const absl::StatusOr<Sample> again = ParseSample(*stored);
  Require(again.ok(), "a sample that is kept can be read");
  Require(ToProto(*again).SerializeAsString().size() ==
              ToProto(sample).SerializeAsString().size(),
          "it is the same sample");
}

void OnSubmit(const v1::SubmitSamplesRequest& request) {
  const absl::Status bad = CheckSubmission(request);
  CheckRefusal(bad);
  if (!bad.ok()) return;
  for (const RunConfig& run : Runs())
    for (int i = 0; i < request.samples_size(); ++i) {
      const auto why = WhyRefused(request.samples(i), i, run);
      if (why)
        RequireOneLine(*why);
      else
        CheckTaken(request.samples(i));
    }
}

void OnRead(const v1::ListRecordsRequest& request) {
  CheckRefusal(CheckRunId(request.run_id()));
  CheckRefusal(CheckAfterSequence(request.after_sequence()));
  const absl::StatusOr<int> size =
      PageSize(request.page_size(), kDefaultRecordsPage);
  CheckRefusal(size.status());
  if (size.ok())
    Require(*size >= 1 && *size <= kMaxPageSize, "a page has a size");
}

void OnTokenize(const v1::TokenizeRequest& request) {
  CheckRefusal(CheckTokenize(request));
}

// What a client reads from a server: twice converted is once converted.
void OnRun(const v1::Run& message) {
  const absl::StatusOr<RunInfo> run = FromProto(message, "run");
  CheckRefusal(run.status());
  if (!run.ok()) return;
  const v1::Run once = ToProto(*run);
  const absl::StatusOr<RunInfo> again = FromProto(once, "run");
  Require(again.ok() && again->config == run->config &&
              again->provenance == run->provenance,
          "a message keeps the run");
  Require(Wire(ToProto(*again)) == Wire(once), "converting is stable");
}

void OnEvent(const v1::Event& message) {
  const absl::StatusOr<Event> event = FromProto(message, "event");
  CheckRefusal(event.status());
  if (!event.ok()) return;
  const v1::Event once = ToProto(*event);
  const absl::StatusOr<Event> again = FromProto(once, "event");
  Require(again.ok() && Wire(ToProto(*again)) == Wire(once),
          "converting is stable");
}

template <typename Message>
void Handle(std::string_view bytes, void (*handler)(const Message&)) {
  Message message;
  if (ReadMessage(bytes, message)) handler(message);
}

}  // namespace

void FuzzRequest(std::string_view input) {
  InputBytes bytes(input);
  switch (bytes.Byte()) {
    case 'c':
      return Handle<v1::CreateRunRequest>(bytes.Rest(), OnCreateRun);
    case 's':
      return Handle<v1::SubmitSamplesRequest>(bytes.Rest(), OnSubmit);
    case 'l':
      return Handle<v1::ListRecordsRequest>(bytes.Rest(), OnRead);
    case 't':
      return Handle<v1::TokenizeRequest>(bytes.Rest(), OnTokenize);
    case 'r':
      return Handle<v1::Run>(bytes.Rest(), OnRun);
    case 'e':
      return Handle<v1::Event>(bytes.Rest(), OnEvent);
    default:
      return;
  }
}

}  // namespace kvrecall
