// The unary methods of RunService and ModelService, over a real channel.

#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/base/digest.h"
#include "common/record/json.h"
#include "proto/convert/time_convert.h"
#include "tests/server/service/run_service_fixture.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(RunServiceTest, CreateRunCompletesEveryDefault) {
  v1::Run run;
  ASSERT_TRUE(Create(NewRunRequest("a"), &run).ok());
  EXPECT_EQ(run.run_id(), "run-a");
  EXPECT_EQ(run.state(), v1::RUN_STATE_QUEUED);
  EXPECT_THAT(run.config().policies(),
              ElementsAre("h2o", "random(seed=0)", "oracle"));
  EXPECT_THAT(run.config().scopes(),
              ElementsAre(v1::SCOPE_GLOBAL, v1::SCOPE_LAYER));
  ASSERT_EQ(run.config().budgets_size(), 3);
  EXPECT_EQ(run.config().budgets(0).current_ratio(), 0.1);
  EXPECT_EQ(run.config().budgets(2).current_ratio(), 0.3);
  EXPECT_EQ(run.config().max_new_tokens(), 32);
  EXPECT_EQ(run.config().max_prompt_tokens(), 31500);
  EXPECT_EQ(run.config().chat_template(), "auto");
  EXPECT_EQ(run.provenance().model(), "fake");
  EXPECT_TRUE(run.has_create_time());
  EXPECT_EQ(observer_.handled("CreateRun 0"), 1);
}

TEST_F(RunServiceTest, CreateRunIsIdempotentByRequestIdAndBody) {
  v1::Run first, again, other;
  ASSERT_TRUE(Create(NewRunRequest("a"), &first).ok());
  ASSERT_TRUE(Create(NewRunRequest("a"), &again).ok());
  EXPECT_EQ(first.run_id(), again.run_id());
  v1::CreateRunRequest changed = NewRunRequest("a");
  changed.mutable_config()->set_ignore_eos(true);
  EXPECT_EQ(Create(changed, &other).error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(RunServiceTest, ATimeLimitIsTheRunsAndPartOfTheRequest) {
  v1::Run run;
  ASSERT_TRUE(Create(NewRunRequest("a"), &run).ok());
  EXPECT_FALSE(run.has_deadline());
  EXPECT_EQ(store_.last_new_run().time_limit, absl::InfiniteDuration());
  // What requests without a limit always had.
  RunConfig asked;
  asked.task = "hotpotqa";
  EXPECT_EQ(store_.last_new_run().body_digest,
            Sha256Hex(ConfigToJson(asked).dump()));

  v1::CreateRunRequest limited = NewRunRequest("b");
  limited.mutable_time_limit()->set_seconds(90);
  limited.mutable_time_limit()->set_nanos(5);
  ASSERT_TRUE(Create(limited, &run).ok());
  EXPECT_EQ(store_.last_new_run().time_limit,
            absl::Seconds(90) + absl::Nanoseconds(5));
  EXPECT_EQ(
      FromTimestamp(run.deadline()),
      FromTimestamp(run.create_time()) + store_.last_new_run().time_limit);
  ASSERT_TRUE(Create(limited, &run).ok());
  for (const int32_t nanos : {4, 6}) {
    limited.mutable_time_limit()->set_nanos(nanos);
    EXPECT_EQ(Create(limited, &run).error_code(),
              grpc::StatusCode::ALREADY_EXISTS);
  }
  limited.clear_time_limit();
  EXPECT_EQ(Create(limited, &run).error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
}

TEST_F(RunServiceTest, CreateRunRefusesEachBadFieldByName) {
  struct Fault {
    const char* begin;
    std::function<void(v1::CreateRunRequest*)> break_it;
  };
  const Fault faults[] = {
      {"request_id: is empty", [](auto* r) { r->clear_request_id(); }},
      {"request_id: has 65 characters",
       [](auto* r) { r->set_request_id(std::string(65, 'x')); }},
      {"request_id: holds a NUL",
       [](auto* r) { r->set_request_id(std::string("a\0b", 3)); }},
      {"time_limit: 0 is not above 0",
       [](auto* r) { r->mutable_time_limit(); }},
      {"time_limit: 8785h is more than 366 days",
       [](auto* r) { r->mutable_time_limit()->set_seconds(8785 * 3600); }},
      {"config.task: is empty", [](auto* r) { r->clear_config(); }},
      {"config.task: ", [](auto* r) { r->mutable_config()->set_task("no"); }},
      {"config.policies[0]: ",
       [](auto* r) { r->mutable_config()->add_policies("H2O"); }},
      {"config.policies[1]: h2o is given twice",
       [](auto* r) {
         r->mutable_config()->add_policies("h2o");
         r->mutable_config()->add_policies(" h2o ");
       }},
      {"unknown policy 'unheard_of'",
       [](auto* r) { r->mutable_config()->add_policies("unheard_of"); }},
      {"config.scopes[0]: unknown scope 0",
       [](auto* r) { r->mutable_config()->add_scopes(v1::SCOPE_UNSPECIFIED); }},
      {"config.scopes: has 4 entries",
       [](auto* r) {
         for (int i = 0; i < 4; ++i)
           r->mutable_config()->add_scopes(v1::SCOPE_LAYER);
       }},
      {"config.scopes[1]: head is given twice",
       [](auto* r) {
         for (int i = 0; i < 2; ++i)
           r->mutable_config()->add_scopes(v1::SCOPE_HEAD);
       }},
      {"config.policies: has 65 entries; at most 64",
       [](auto* r) {
         for (int i = 0; i < 65; ++i)
           r->mutable_config()->add_policies(absl::StrCat("p", i));
       }},
      {"config.policies[1]: pyramidkv gives each layer a budget of its own, so "
       "it is not defined in scope global; add layer or head",
       [](auto* r) {
         r->mutable_config()->add_policies("h2o");
         r->mutable_config()->add_policies("pyramidkv");
         r->mutable_config()->add_scopes(v1::SCOPE_GLOBAL);
       }},
      {"config.gaps[0]: gap lane 'gold(0.1)'",
       [](auto* r) { r->mutable_config()->add_gaps("gold(0.1)"); }},
      {"config.gaps: gap lane 'without_gold(0.15)': the run does not simulate "
       "budget 0.15",
       [](auto* r) { r->mutable_config()->add_gaps("without_gold(0.15)"); }},
      {"config.gaps: gap lane 'only_pred(h20,0.1)': unknown policy 'h20'; did "
       "you mean h2o?",
       [](auto* r) { r->mutable_config()->add_gaps("only_pred(h20,0.1)"); }},
      {"config.force: unknown forced continuation 9",
       [](auto* r) {
         r->mutable_config()->set_force(static_cast<v1::Force>(9));
       }},
      {"config.max_new_tokens: 8 does not go with force gold: the forced text "
       "decides its own length",
       [](auto* r) {
         r->mutable_config()->set_force(v1::FORCE_GOLD);
         r->mutable_config()->set_max_new_tokens(8);
       }},
      {"config.ignore_eos: does not go with force text",
       [](auto* r) {
         r->mutable_config()->set_force(v1::FORCE_TEXT);
         r->mutable_config()->set_ignore_eos(true);
       }},
      {"config.budgets[0].kind: is not set",
       [](auto* r) { r->mutable_config()->add_budgets(); }},
      {"config.budgets[1]: 0.5 is given twice",
       [](auto* r) {
         r->mutable_config()->add_budgets()->set_current_ratio(0.5);
         r->mutable_config()->add_budgets()->set_current_ratio(0.5);
       }},
      {"config.max_new_tokens: -1 is negative",
       [](auto* r) { r->mutable_config()->set_max_new_tokens(-1); }},
      {"config.max_new_tokens: 40000 is more than the model's window",
       [](auto* r) { r->mutable_config()->set_max_new_tokens(40000); }},
      {"config.max_new_tokens: ",
       [](auto* r) { r->mutable_config()->set_max_new_tokens(32700); }},
      {"config.max_prompt_tokens: -5 is negative",
       [](auto* r) { r->mutable_config()->set_max_prompt_tokens(-5); }},
      {"config.max_prompt_tokens: 32760 and 32 new tokens are more",
       [](auto* r) { r->mutable_config()->set_max_prompt_tokens(32760); }},
      {"config.chat_template: unknown template 'llama'",
       [](auto* r) { r->mutable_config()->set_chat_template("llama"); }},
      {"config.prompt_template: is of task custom only; hotpotqa has its own",
       [](auto* r) { r->mutable_config()->set_prompt_template("{input}"); }},
      {"config.prompt_template: holds a NUL character",
       [](auto* r) {
         r->mutable_config()->set_task("custom");
         r->mutable_config()->set_prompt_template(std::string("a\0b", 3));
       }},
  };
  for (const Fault& fault : faults) {
    v1::CreateRunRequest request = NewRunRequest("a");
    fault.break_it(&request);
    v1::Run run;
    ExpectInvalid(Create(request, &run), fault.begin);
  }
}

TEST_F(RunServiceTest, AForcedRunHasThePromptsOfAnUnforcedOne) {
  v1::Run free, forced;
  ASSERT_TRUE(Create(NewRunRequest("a"), &free).ok());
  v1::CreateRunRequest request = NewRunRequest("b");
  request.mutable_config()->set_force(v1::FORCE_GOLD);
  ASSERT_TRUE(Create(request, &forced).ok());
  EXPECT_EQ(forced.config().force(), v1::FORCE_GOLD);
  EXPECT_EQ(free.config().force(), v1::FORCE_NONE);
  EXPECT_EQ(forced.config().max_new_tokens(), 32);
  EXPECT_EQ(forced.config().max_prompt_tokens(),
            free.config().max_prompt_tokens());
}

TEST_F(RunServiceTest, GapLanesAreKeptWithTheSpellingOfTheirPolicies) {
  v1::CreateRunRequest request = NewRunRequest("a");
  request.mutable_config()->add_scopes(v1::SCOPE_HEAD);
  request.mutable_config()->add_gaps("only_pred(h2o(self=1),0.1,head)");
  request.mutable_config()->add_gaps("without_gold(0.3,head)");
  v1::Run run;
  const grpc::Status status = Create(request, &run);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(run.config().gaps(),
              ElementsAre("only_pred(h2o,0.1,head)", "without_gold(0.3,head)"));
}

TEST_F(RunServiceTest, GetRunAndCancelRunAnswerWithTheRun) {
  v1::GetRunRequest get;
  get.set_run_id(MakeRun("a"));
  v1::Run run;
  ASSERT_TRUE(Call(&v1::RunService::Stub::GetRun, get, &run).ok());
  EXPECT_EQ(run.run_id(), "run-a");
  v1::CancelRunRequest cancel;
  cancel.set_run_id(get.run_id());
  for (int i = 0; i < 2; ++i) {  // idempotent
    ASSERT_TRUE(Call(&v1::RunService::Stub::CancelRun, cancel, &run).ok());
    EXPECT_EQ(run.state(), v1::RUN_STATE_CANCELLED);
    EXPECT_EQ(run.last_sequence(), 1);
  }
}

TEST_F(RunServiceTest, RunsThatAreNotThereAreNotFound) {
  v1::GetRunRequest get;
  get.set_run_id("nope");
  v1::Run run;
  const grpc::Status status = Call(&v1::RunService::Stub::GetRun, get, &run);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("'nope'"));
  v1::CancelRunRequest cancel;
  cancel.set_run_id("nope");
  EXPECT_EQ(Call(&v1::RunService::Stub::CancelRun, cancel, &run).error_code(),
            grpc::StatusCode::NOT_FOUND);
  v1::SubmitSamplesResponse submitted;
  EXPECT_EQ(Submit(OneSample("nope"), &submitted).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(RunServiceTest, RunIdsAreCheckedByEveryMethod) {
  v1::Run run;
  ExpectInvalid(Call(&v1::RunService::Stub::GetRun, v1::GetRunRequest(), &run),
                "run_id: is empty");
  ExpectInvalid(
      Call(&v1::RunService::Stub::CancelRun, v1::CancelRunRequest(), &run),
      "run_id: is empty");
  v1::SubmitSamplesResponse submitted;
  ExpectInvalid(Submit(OneSample(""), &submitted), "run_id: is empty");
  v1::ListRecordsResponse records;
  ExpectInvalid(Call(&v1::RunService::Stub::ListRecords,
                     v1::ListRecordsRequest(), &records),
                "run_id: is empty");
}

TEST_F(RunServiceTest, ListRunsGoesPageByPageNewestFirst) {
  for (const char* id : {"a", "b", "c"}) MakeRun(id);
  v1::ListRunsRequest request;
  request.set_page_size(2);
  v1::ListRunsResponse page;
  ASSERT_TRUE(Call(&v1::RunService::Stub::ListRuns, request, &page).ok());
  ASSERT_EQ(page.runs_size(), 2);
  EXPECT_EQ(page.runs(0).run_id(), "run-c");
  request.set_page_token(page.next_page_token());
  ASSERT_TRUE(Call(&v1::RunService::Stub::ListRuns, request, &page).ok());
  ASSERT_EQ(page.runs_size(), 1);
  EXPECT_EQ(page.runs(0).run_id(), "run-a");
  EXPECT_EQ(page.next_page_token(), "");

  request.set_page_size(-1);
  ExpectInvalid(Call(&v1::RunService::Stub::ListRuns, request, &page),
                "page_size: -1 is negative");
  request.set_page_size(5000);  // as much as there may be
  request.set_page_token("bogus");
  ExpectInvalid(Call(&v1::RunService::Stub::ListRuns, request, &page),
                "page_token: ");
}

TEST_F(RunServiceTest, MessagesAboveTheLimitAreRefusedAndTheServerGoesOn) {
  const std::string run_id = MakeRun("a");
  v1::SubmitSamplesRequest request = OneSample(run_id);
  request.mutable_samples(0)->set_context(std::string((8 << 20) + 1, 'x'));
  v1::SubmitSamplesResponse response;
  EXPECT_EQ(Submit(request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Submit(OneSample(run_id), &response).ok());
}

TEST_F(RunServiceTest, ListRecordsReadsAfterTheCursor) {
  const std::string run_id = MakeRun("a");
  store_.Commit(run_id, Steps(5));
  v1::ListRecordsRequest request;
  request.set_run_id(run_id);
  request.set_after_sequence(1);
  request.set_page_size(3);
  v1::ListRecordsResponse page;
  ASSERT_TRUE(Call(&v1::RunService::Stub::ListRecords, request, &page).ok());
  ASSERT_EQ(page.events_size(), 3);
  EXPECT_EQ(page.events(0).sequence(), 2);
  EXPECT_EQ(page.events(0).step().step(), 2);
  EXPECT_EQ(page.last_sequence(), 5);

  request.set_page_size(-1);
  ExpectInvalid(Call(&v1::RunService::Stub::ListRecords, request, &page),
                "page_size: -1 is negative");
  request.set_page_size(0);
  request.set_after_sequence(-1);
  ExpectInvalid(Call(&v1::RunService::Stub::ListRecords, request, &page),
                "after_sequence: -1 is negative");
  request.set_after_sequence(6);
  EXPECT_EQ(
      Call(&v1::RunService::Stub::ListRecords, request, &page).error_code(),
      grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(RunServiceTest, InternalErrorsDoNotLeak) {
  const std::string run_id = MakeRun("a");
  store_.FailReads(absl::InternalError("SELECT secret FROM /home/x.db"));
  v1::GetRunRequest get;
  get.set_run_id(run_id);
  v1::Run run;
  const grpc::Status status = Call(&v1::RunService::Stub::GetRun, get, &run);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(status.error_message(), Not(HasSubstr("secret")));
  EXPECT_EQ(observer_.handled("GetRun 13"), 1);
}

TEST_F(RunServiceTest, ModelServiceSaysWhatTheServerRunsAndItsLimits) {
  v1::Model model;
  grpc::ClientContext context;
  ASSERT_TRUE(models_->GetModel(&context, {}, &model).ok());
  EXPECT_EQ(model.name(), "fake");
  v1::ServerInfo info;
  grpc::ClientContext second;
  ASSERT_TRUE(models_->GetServerInfo(&second, {}, &info).ok());
  EXPECT_EQ(info.version(), "1.2.3");
  EXPECT_EQ(info.definitions_version(), kDefinitionsVersion);
  EXPECT_EQ(info.max_samples_per_call(), 64);
  EXPECT_EQ(info.max_message_bytes(), 8 << 20);
  EXPECT_GT(info.tasks_size(), 0);
  EXPECT_GT(info.tasks(0).max_new_tokens(), 0);
}

TEST_F(RunServiceTest, GetServerInfoListsTheCatalogOfPoliciesAndTriggers) {
  v1::ServerInfo info;
  grpc::ClientContext context;
  ASSERT_TRUE(models_->GetServerInfo(&context, {}, &info).ok());
  ASSERT_EQ(info.policies_size(), 12);
  const v1::PolicyInfo& snapkv = info.policies(5);
  EXPECT_EQ(snapkv.name(), "snapkv");
  EXPECT_EQ(snapkv.source(), "arXiv 2404.14469");
  EXPECT_FALSE(snapkv.irreversible());
  ASSERT_EQ(snapkv.parameters_size(), 2);
  const v1::PolicyParameter& kernel = snapkv.parameters(0);
  EXPECT_EQ(kernel.name(), "kernel");
  EXPECT_EQ(kernel.default_value(), 7);
  EXPECT_EQ(kernel.least(), 1);
  EXPECT_EQ(kernel.most(), 1023);
  EXPECT_EQ(kernel.rule(), v1::PolicyParameter::RULE_ODD);
  EXPECT_NE(kernel.summary(), "");
  EXPECT_TRUE(info.policies(6).irreversible());  // tova
  EXPECT_TRUE(info.policies(7).per_layer());     // pyramidkv
  ASSERT_EQ(info.triggers_size(), 3);
  EXPECT_EQ(info.triggers(1).name(), "periodic");
  EXPECT_EQ(info.triggers(1).value().rule(), v1::PolicyParameter::RULE_WHOLE);
}

}  // namespace
}  // namespace kvrecall
