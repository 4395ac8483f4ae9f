// SubmitSamples, over a real channel.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/server/service/run_service_fixture.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;
using Submitted = v1::SubmitSamplesResponse;
using SubmitSamplesTest = RunServiceTest;

TEST_F(SubmitSamplesTest, TellsAcceptedFromDuplicateFromRefused) {
  const std::string run_id = MakeRun("a");
  v1::SubmitSamplesRequest request = OneSample(run_id);
  v1::SubmitSamplesResponse response;
  ASSERT_TRUE(Submit(request, &response).ok());
  ASSERT_EQ(response.results_size(), 1);
  EXPECT_EQ(response.results(0).outcome(), Submitted::OUTCOME_ACCEPTED);
  EXPECT_EQ(store_.samples(run_id).at(0).answers.at(0), "Somebody");

  v1::Sample* nul = request.add_samples();
  nul->set_sample_id("s2");
  nul->set_context(std::string("a\0b", 3));
  v1::Sample* empty = request.add_samples();
  empty->set_sample_id("s3");
  v1::Sample* fresh = request.add_samples();
  fresh->set_sample_id("s4");
  fresh->set_context("c");
  request.set_complete(true);
  ASSERT_TRUE(Submit(request, &response).ok());
  ASSERT_EQ(response.results_size(), 4);
  EXPECT_EQ(response.results(0).outcome(), Submitted::OUTCOME_DUPLICATE);
  EXPECT_EQ(response.results(1).outcome(), Submitted::OUTCOME_REFUSED);
  EXPECT_EQ(response.results(1).message(),
            "samples[1].context: holds a NUL character");
  EXPECT_EQ(response.results(2).outcome(), Submitted::OUTCOME_REFUSED);
  EXPECT_THAT(response.results(2).message(), StartsWith("samples[2].context"));
  EXPECT_EQ(response.results(3).outcome(), Submitted::OUTCOME_ACCEPTED);
  EXPECT_EQ(response.results(3).sample_id(), "s4");
  EXPECT_EQ(store_.samples(run_id).size(), 2u);
  EXPECT_EQ(observer_.admitted(Admission::kAccepted), 2);
  EXPECT_EQ(observer_.admitted(Admission::kDuplicate), 1);
  EXPECT_EQ(observer_.admitted(Admission::kRefused), 2);
}

// A run that forces the first answer needs one; nothing else does.
TEST_F(SubmitSamplesTest, RefusesASampleWithoutTheTextToForce) {
  struct Case {
    v1::Force force;
    const char* refusal;  // of a sample with neither answer nor forced text
  };
  for (const Case& c :
       {Case{v1::FORCE_NONE, ""},
        Case{v1::FORCE_GOLD,
             "samples[0].answers: is empty; the run forces the first answer, "
             "so every sample needs one"},
        Case{v1::FORCE_TEXT,
             "samples[0].forced_text: is not set; the run forces it, so every "
             "sample needs one"}}) {
    v1::CreateRunRequest create = NewRunRequest(v1::Force_Name(c.force));
    create.mutable_config()->set_force(c.force);
    v1::Run run;
    ASSERT_TRUE(Create(create, &run).ok());
    v1::SubmitSamplesRequest request = OneSample(run.run_id());
    request.mutable_samples(0)->clear_answers();
    v1::Sample* whole = request.add_samples();
    *whole = OneSample("").samples(0);
    whole->set_sample_id("s2");
    whole->set_forced_text("");
    v1::SubmitSamplesResponse response;
    ASSERT_TRUE(Submit(request, &response).ok());
    EXPECT_EQ(response.results(0).message(), c.refusal);
    EXPECT_EQ(response.results(0).outcome(), c.force == v1::FORCE_NONE
                                                 ? Submitted::OUTCOME_ACCEPTED
                                                 : Submitted::OUTCOME_REFUSED);
    EXPECT_EQ(response.results(1).outcome(), Submitted::OUTCOME_ACCEPTED);
    EXPECT_EQ(store_.samples(run.run_id()).back().forced_text, "");
  }
}

// A queue that is full refuses nothing: the rest is to be sent again.
TEST_F(SubmitSamplesTest, SaysWhenAFullQueueMayHaveRoom) {
  v1::SubmitSamplesRequest request = OneSample(MakeRun("a"));
  for (const char* id : {"b", "c"}) {
    v1::Sample* sample = request.add_samples();
    *sample = request.samples(0);
    sample->set_sample_id(id);
  }
  request.set_complete(true);
  store_.SetMaxSamples(2);
  v1::SubmitSamplesResponse response;
  ASSERT_TRUE(Submit(request, &response).ok());
  EXPECT_EQ(response.results(1).outcome(), Submitted::OUTCOME_ACCEPTED);
  EXPECT_EQ(response.results(2).outcome(), Submitted::OUTCOME_QUEUE_FULL);
  EXPECT_EQ(response.retry_delay().seconds(), 1);
  EXPECT_EQ(response.retry_delay().nanos(), 500'000'000);
  EXPECT_FALSE(store_.GetRun(request.run_id())->complete);
  EXPECT_EQ(observer_.admitted(Admission::kAccepted), 2);
  EXPECT_EQ(observer_.admitted(Admission::kQueueFull), 1);
}

// A chat and fields of its own come to the store of task custom's runs, and of
// no others'.
TEST_F(SubmitSamplesTest, TakesChatsAndFieldsForTaskCustom) {
  for (const char* task : {"custom", "hotpotqa"}) {
    v1::CreateRunRequest create = NewRunRequest(task);
    create.mutable_config()->set_task(task);
    if (std::string(task) == "custom")
      create.mutable_config()->set_prompt_template("{title}");
    v1::Run run;
    ASSERT_TRUE(Create(create, &run).ok());
    v1::SubmitSamplesRequest request;
    request.set_run_id(run.run_id());
    v1::Sample* chat = request.add_samples();
    chat->set_sample_id("chat");
    chat->add_messages()->set_role("user");
    chat->mutable_messages(0)->set_content("Who?");
    v1::Sample* fields = request.add_samples();
    fields->set_sample_id("fields");
    (*fields->mutable_fields())["title"] = "Ulysses";
    v1::SubmitSamplesResponse response;
    ASSERT_TRUE(Submit(request, &response).ok());
    const std::vector<Sample> samples = store_.samples(run.run_id());
    const bool custom = std::string(task) == "custom";
    ASSERT_EQ(samples.size(), custom ? 2u : 0u);
    for (const auto& result : response.results()) {
      EXPECT_EQ(result.outcome(), custom ? Submitted::OUTCOME_ACCEPTED
                                         : Submitted::OUTCOME_REFUSED);
    }
    if (!custom) continue;
    EXPECT_THAT(samples[0].messages, ElementsAre(ChatMessage{"user", "Who?"}));
    EXPECT_THAT(samples[1].fields,
                ElementsAre(testing::Pair("title", "Ulysses")));
  }
}

TEST_F(SubmitSamplesTest, TakesAnEmptyCallThatCompletesTheRun) {
  v1::SubmitSamplesRequest request;
  request.set_run_id(MakeRun("a"));
  v1::SubmitSamplesResponse response;
  ExpectInvalid(Submit(request, &response), "samples: is empty");
  request.set_complete(true);
  EXPECT_TRUE(Submit(request, &response).ok());
  EXPECT_TRUE(store_.GetRun(request.run_id())->complete);
}

TEST_F(SubmitSamplesTest, RefusesACallThatCannotBeAnswered) {
  const std::string run_id = MakeRun("a");
  v1::SubmitSamplesResponse response;
  v1::SubmitSamplesRequest many = OneSample(run_id);
  while (many.samples_size() <= 64) *many.add_samples() = many.samples(0);
  ExpectInvalid(Submit(many, &response), "samples: has 65 entries");
  EXPECT_EQ(observer_.admitted(Admission::kRefused), 65);

  v1::SubmitSamplesRequest bad = OneSample(run_id);
  *bad.add_samples() = bad.samples(0);
  bad.mutable_samples(1)->clear_sample_id();
  ExpectInvalid(Submit(bad, &response), "samples[1].sample_id: is empty");
  // 128 characters of two bytes each are right, one more is wrong.
  std::string id;
  for (int i = 0; i < 128; ++i) id += "\xC3\xA9";
  bad.mutable_samples(1)->set_sample_id(id);
  EXPECT_TRUE(Submit(bad, &response).ok());
  bad.mutable_samples(1)->set_sample_id(id + "x");
  ExpectInvalid(Submit(bad, &response),
                "samples[1].sample_id: has 129 characters");
}

}  // namespace
}  // namespace kvrecall
