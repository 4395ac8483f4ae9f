#include "tests/client/fake_server.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/base/digest.h"
#include "proto/convert/record_convert.h"
#include "proto/convert/run_convert.h"

namespace kvrecall {

FakeServer::FakeServer(FakeScript script) : script_(std::move(script)) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(static_cast<v1::RunService::Service*>(this));
  builder.RegisterService(static_cast<v1::ModelService::Service*>(this));
  builder.RegisterService(static_cast<v1::AdminService::Service*>(this));
  server_ = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
}

FakeServer::~FakeServer() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

FakeScript FakeServer::script() const {
  std::lock_guard lock(mutex_);
  return script_;
}

grpc::Status FakeServer::Known(const std::string& run_id) const {
  if (run_id == script_.run.run_id) return grpc::Status::OK;
  return {grpc::StatusCode::NOT_FOUND, "run_id: no run '" + run_id + "'"};
}

grpc::Status FakeServer::CreateRun(grpc::ServerContext*,
                                   const v1::CreateRunRequest* request,
                                   v1::Run* response) {
  std::lock_guard lock(mutex_);
  script_.creates.push_back(*request);
  if (!script_.create_status.ok()) return script_.create_status;
  RunInfo run = script_.run;
  run.state = RunState::kQueued;
  run.samples_submitted = run.samples_done = run.samples_failed = 0;
  run.last_sequence = 0;
  *response = ToProto(run);
  return grpc::Status::OK;
}

grpc::Status FakeServer::GetRun(grpc::ServerContext*,
                                const v1::GetRunRequest* request,
                                v1::Run* response) {
  std::lock_guard lock(mutex_);
  *response = ToProto(script_.run);
  return Known(request->run_id());
}

grpc::Status FakeServer::ListRuns(grpc::ServerContext*,
                                  const v1::ListRunsRequest* request,
                                  v1::ListRunsResponse* response) {
  std::lock_guard lock(mutex_);
  // Two pages of one run each.
  *response->add_runs() = ToProto(script_.run);
  if (request->page_token().empty()) response->set_next_page_token("second");
  return grpc::Status::OK;
}

grpc::Status FakeServer::CancelRun(grpc::ServerContext*,
                                   const v1::CancelRunRequest* request,
                                   v1::Run* response) {
  std::lock_guard lock(mutex_);
  ++script_.cancels;
  script_.run.state = RunState::kCancelled;
  *response = ToProto(script_.run);
  return Known(request->run_id());
}

grpc::Status FakeServer::GetStatus(grpc::ServerContext*,
                                   const v1::GetStatusRequest*,
                                   v1::ServerStatus* response) {
  std::lock_guard lock(mutex_);
  *response = script_.status;
  return script_.admin_status;
}

grpc::Status FakeServer::DeleteRun(grpc::ServerContext*,
                                   const v1::DeleteRunRequest* request,
                                   v1::DeleteRunResponse* response) {
  std::lock_guard lock(mutex_);
  if (!script_.admin_status.ok()) return script_.admin_status;
  if (const grpc::Status known = Known(request->run_id()); !known.ok())
    return known;
  script_.deleted.push_back(request->run_id());
  response->set_samples(script_.run.samples_submitted);
  response->set_events(script_.run.last_sequence);
  return grpc::Status::OK;
}

grpc::Status FakeServer::Backup(grpc::ServerContext*,
                                const v1::BackupRequest* request,
                                v1::BackupResponse* response) {
  std::lock_guard lock(mutex_);
  script_.backups.push_back(request->path());
  response->set_bytes(1'234'567);
  return script_.admin_status;
}

grpc::Status FakeServer::Checkpoint(grpc::ServerContext*,
                                    const v1::CheckpointRequest*,
                                    v1::CheckpointResponse* response) {
  std::lock_guard lock(mutex_);
  response->set_bytes_before(4'000'000);
  response->set_bytes_after(script_.log_bytes_after);
  return script_.admin_status;
}

grpc::Status FakeServer::Drain(grpc::ServerContext*,
                               const v1::DrainRequest* request,
                               v1::DrainResponse*) {
  std::lock_guard lock(mutex_);
  script_.drains.push_back(request->reason());
  return script_.admin_status;
}

grpc::Status FakeServer::SubmitSamples(grpc::ServerContext*,
                                       const v1::SubmitSamplesRequest* request,
                                       v1::SubmitSamplesResponse* response) {
  std::lock_guard lock(mutex_);
  script_.submits.push_back(*request);
  if (script_.unavailable_submits > 0) {
    --script_.unavailable_submits;
    return {grpc::StatusCode::UNAVAILABLE, "restarting"};
  }
  int64_t room = script_.room_per_call;
  for (const v1::Sample& sample : request->samples()) {
    auto* result = response->add_results();
    result->set_sample_id(sample.sample_id());
    const bool refused = sample.sample_id() == script_.refused_sample;
    result->set_outcome(refused ? v1::SubmitSamplesResponse::OUTCOME_REFUSED
                                : v1::SubmitSamplesResponse::OUTCOME_ACCEPTED);
    if (refused) result->set_message("context: too long");
    if (!refused && room-- <= 0) {
      result->set_outcome(v1::SubmitSamplesResponse::OUTCOME_QUEUE_FULL);
      response->mutable_retry_delay()->set_nanos(1'000'000);
    }
  }
  return grpc::Status::OK;
}

grpc::Status FakeServer::WatchRun(
    grpc::ServerContext* context, const v1::WatchRunRequest* request,
    grpc::ServerWriter<v1::WatchRunResponse>* writer) {
  std::vector<Event> events;
  int limit = -1;
  int64_t last = 0;
  bool never_ends = false;
  grpc::StatusCode break_code = grpc::StatusCode::UNAVAILABLE;
  {
    std::lock_guard lock(mutex_);
    if (grpc::Status known = Known(request->run_id()); !known.ok()) {
      return known;
    }
    const size_t stream = script_.watched_after.size();
    script_.watched_after.push_back(request->after_sequence());
    if (stream < script_.breaks.size()) limit = script_.breaks[stream];
    events = script_.events;
    last = events.empty() ? 0 : events.back().sequence;
    never_ends = script_.never_ends;
    break_code = script_.break_code;
  }
  v1::WatchRunResponse heartbeat;
  heartbeat.set_last_sequence(last);
  heartbeat.set_samples_ahead(script_.samples_ahead);
  if (limit != 0) writer->Write(heartbeat);
  int sent = 0;
  for (const Event& event : events) {
    if (event.sequence <= request->after_sequence()) continue;
    if (sent++ == limit) break;
    v1::WatchRunResponse response;
    *response.add_events() = ToProto(event);
    response.set_last_sequence(last);
    if (!writer->Write(response)) return grpc::Status::CANCELLED;
  }
  if (limit >= 0) return {break_code, "broken by script"};
  all_sent_ = true;
  while (never_ends && !context->IsCancelled()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return grpc::Status::OK;
}

grpc::Status FakeServer::ListRecords(grpc::ServerContext*,
                                     const v1::ListRecordsRequest* request,
                                     v1::ListRecordsResponse* response) {
  std::lock_guard lock(mutex_);
  const int page = std::min(request->page_size(), script_.page_limit);
  for (const Event& event : script_.events) {
    if (event.sequence <= request->after_sequence()) continue;
    if (response->events_size() == page) break;
    *response->add_events() = ToProto(event);
  }
  return Known(request->run_id());
}

grpc::Status FakeServer::ExportRun(
    grpc::ServerContext*, const v1::ExportRunRequest* request,
    grpc::ServerWriter<v1::ExportRunResponse>* writer) {
  std::lock_guard lock(mutex_);
  if (grpc::Status known = Known(request->run_id()); !known.ok()) return known;
  v1::ExportRunResponse response;
  for (const std::string& chunk : script_.exported) {
    response.set_data(chunk);
    writer->Write(response);
  }
  if (script_.export_breaks)
    return {grpc::StatusCode::INTERNAL, "broken by script"};
  response.clear_data();
  const std::string whole = absl::StrJoin(script_.exported, "");
  response.set_size(static_cast<int64_t>(whole.size()));
  response.set_digest(Sha256Hex(script_.export_is_wrong ? "other" : whole));
  writer->Write(response);
  return grpc::Status::OK;
}

grpc::Status FakeServer::Tokenize(grpc::ServerContext*,
                                  const v1::TokenizeRequest* request,
                                  v1::TokenizeResponse* response) {
  // A token a byte.
  for (const char c : request->text()) {
    response->add_token_ids(static_cast<unsigned char>(c));
    response->add_tokens(std::string(1, c));
  }
  return grpc::Status::OK;
}

grpc::Status FakeServer::GetServerInfo(grpc::ServerContext*,
                                       const v1::GetServerInfoRequest*,
                                       v1::ServerInfo* response) {
  std::lock_guard lock(mutex_);
  response->set_max_samples_per_call(
      static_cast<int32_t>(script_.max_samples_per_call));
  response->set_max_message_bytes(script_.max_message_bytes);
  v1::TaskInfo* task = response->add_tasks();
  task->set_name("demo");
  task->set_max_new_tokens(96);
  return grpc::Status::OK;
}

FakeScript MakeScript(int samples, int steps) {
  FakeScript script;
  RunInfo& run = script.run;
  run.run_id = "run-1";
  run.state = RunState::kSucceeded;
  run.config.task = "demo";
  run.config.policies = {{.name = "h2o", .parameters = {}},
                         {.name = "oracle", .parameters = {}}};
  run.config.scopes = {Scope::kGlobal, Scope::kLayer};
  run.config.budgets = {{.kind = Budget::Kind::kCurrentRatio, .value = 0.1},
                        {.kind = Budget::Kind::kTokens, .value = 4}};
  run.config.max_new_tokens = 96;
  run.config.max_prompt_tokens = 1000;
  run.config.chat_template = "none";
  run.provenance.model = "nano";
  run.provenance.model_digest = "abc";
  run.provenance.dtype = "float32";
  run.provenance.device = "cpu";
  run.provenance.prompt_template = "{context}\n{input}";
  run.samples_submitted = run.samples_done = samples;
  run.complete = true;
  run.create_time = absl::FromUnixSeconds(1700000000);
  run.end_time = absl::FromUnixSeconds(1700000060);

  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform(0, 1);
  const auto add = [&](std::string sample_id, auto body) {
    const auto sequence = static_cast<int64_t>(script.events.size()) + 1;
    script.events.push_back({.sequence = sequence,
                             .sample_id = std::move(sample_id),
                             .attempt = 1,
                             .body = std::move(body)});
  };
  for (int s = 1; s <= samples; ++s) {
    const std::string id = absl::StrCat("s", s);
    add(id, SampleStart{.prompt_tokens = 20,
                        .raw_prompt_tokens = 20,
                        .truncated = false,
                        .queue_seconds = 0.5,
                        .length = 3000 * s,
                        .reused_from = ""});
    for (int t = 1; t <= steps; ++t) {
      StepRecord step;
      step.step = t;
      step.n = 19 + t;
      step.token_id = 100 + t;
      step.token = " t";
      step.entropy = 3.5 * uniform(random);
      step.logprob = -step.entropy;
      step.p_max = 0.5;
      step.margin = 0.25;
      step.attention_entropy = 1.5;
      step.attention_entropy_std = 0.25;
      for (const Lane& lane : Lanes(run.config)) {
        RecallRecord recall;
        recall.k = 2;
        recall.recall = lane.policy == 1 ? 1 : uniform(random);
        recall.chance = 0.125;
        recall.lift = (recall.recall - 0.125) / 0.875;
        recall.mass = 0.5;
        recall.mass_ratio = lane.policy == 1 ? 1 : 0.75;
        recall.recall_without_free_hits = recall.recall / 2;
        if (t > 1) recall.drift = 0.25;
        if (lane.scope == 1) recall.layer_recalls = {0.3f, 0.7f};
        if (lane.scope == 0 && lane.policy == 0)
          recall.lost = {{7, 0.25f, " lost"}, {2, 0.125f, "</script>"}};
        step.recalls.push_back(recall);
      }
      add(id, step);
    }
    add(id, SampleResult{.generated_tokens = steps,
                         .text = "text of " + id,
                         .score = s % 2 == 1 ? 1.0 : 0.5,
                         .gap_scores = {},
                         .finish_reason = FinishReason::kEos,
                         .prefill_seconds = 0.1,
                         .decode_seconds = 0.2});
  }
  add("", RunEnd{.state = RunState::kSucceeded,
                 .samples_done = samples,
                 .samples_failed = 0});
  run.last_sequence = static_cast<int64_t>(script.events.size());
  return script;
}

void AddGaps(FakeScript* script) {
  RunConfig& config = script->run.config;
  config.gaps = {
      {GapSpec::Kind::kWithoutGold, {}, config.budgets[0], Scope::kGlobal},
      {GapSpec::Kind::kOnlyPred, config.policies[0], config.budgets[1],
       Scope::kLayer}};
  for (Event& event : script->events) {
    if (auto* step = std::get_if<StepRecord>(&event.body)) {
      const double t = static_cast<double>(step->step);
      step->gaps = {{0.5 * t, 0.25, -0.125 * t, step->token_id, true},
                    {0.0, -0.5, 0.5, 7, false}};
    }
    if (auto* result = std::get_if<SampleResult>(&event.body)) {
      result->gap_scores = {0.25, *result->score};
    }
  }
}

}  // namespace kvrecall
