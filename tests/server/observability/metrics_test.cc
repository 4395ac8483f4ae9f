#include "server/observability/metrics.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/observability/metrics_server.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address),
            0);
  return fd;
}

// What the server answers to some bytes, until it hangs up.
std::string Ask(int port, const std::string& request) {
  const int fd = Connect(port);
  // It may hang up before it has read them all.
  (void)send(fd, request.data(), request.size(), MSG_NOSIGNAL);
  std::string reply;
  char buffer[65536];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;)
    reply.append(buffer, n);
  close(fd);
  return reply;
}

// GET /metrics, body only.
std::string Scrape(int port) {
  const std::string reply =
      Ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK"));
  return reply.substr(reply.find("\r\n\r\n") + 4);
}

// The figure of one series, "name{labels}" as it is exported; NaN if there is
// none.
double Figure(const std::string& text, const std::string& series) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    double value = 0;
    if (absl::StartsWith(line, series + " ") &&
        absl::SimpleAtod(line.substr(series.size() + 1), &value))
      return value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

class MetricsTest : public ::testing::Test {
 protected:
  // What a scrape gives, without HTTP.
  std::string Text() {
    return prometheus::TextSerializer().Serialize(
        metrics_.registry()->Collect());
  }

  double Value(const std::string& series) { return Figure(Text(), series); }

  static RunConfig Config() {
    RunConfig config;
    config.task = "hotpotqa";
    config.policies = {{"h2o", {}}, {"random", {{"seed", 0}}}};
    config.scopes = {Scope::kGlobal, Scope::kLayer};
    config.budgets = {{Budget::Kind::kCurrentRatio, 0.1},
                      {Budget::Kind::kCurrentRatio, 0.2}};
    return config;
  }

  // A step whose lanes have the recalls 0.01, 0.02, … in their order.
  static StepRecord Step(int64_t t) {
    StepRecord step;
    step.step = t;
    step.entropy = 1.25;
    for (int lane = 1; lane <= 8; ++lane) {
      RecallRecord recall;
      recall.recall = lane / 100.0;
      step.recalls.push_back(recall);
    }
    return step;
  }

  Metrics metrics_;
};

TEST_F(MetricsTest, KnownSeriesAreThereAtZeroFromTheStart) {
  metrics_.PrepareLanes(Config());
  const std::string text = Text();
  for (const char* series :
       {"kvrecall_samples_total{outcome=\"failed\"} 0",
        "kvrecall_samples_running 0",
        "kvrecall_generation_tokens_total{task=\"hotpotqa\"} 0",
        "kvrecall_prompt_tokens_total{task=\"other\"} 0",
        "kvrecall_nonfinite_values_total{kind=\"recall\"} 0",
        "kvrecall_grpc_server_handled_total{code=\"UNAVAILABLE\",method="
        "\"WatchRun\"} 0",
        "kvrecall_grpc_server_handled_total{code=\"OK\",method=\"ExportRun\"} "
        "0",
        "kvrecall_grpc_server_handled_total{code=\"OK\",method=\"Tokenize\"} "
        "0",
        "kvrecall_recall_ratio_count{budget=\"0.2\",policy=\"random(seed=0)\"} "
        "0",
        "kvrecall_positions_fetched_back_total{budget=\"other\",policy="
        "\"other\"} 0",
        "kvrecall_gap_kl_nats_count{lane=\"other\"} 0",
        "kvrecall_gap_logprob_change_nats_bucket{lane=\"other\",le=\"-20\"} 0",
        "kvrecall_nonfinite_values_total{kind=\"gap\"} 0",
        "kvrecall_token_entropy_nats_bucket{le=\"12\"} 0",
        "kvrecall_time_to_first_token_seconds_bucket{le=\"640\"} 0"})
    EXPECT_THAT(text, HasSubstr(series));
}

TEST_F(MetricsTest, EveryMetricOfTheCatalogIsExportedWithItsTypeAndHelp) {
  metrics_.PrepareLanes(Config());
  metrics_.SetBuildInfo("0.1.0", "abc");
  metrics_.SetModelInfo("nano", "d1", "float32", "cpu");
  const std::string text = Text();
  for (const MetricSpec& spec : Catalog()) {
    const char* type = spec.type == MetricType::kCounter ? "counter"
                       : spec.type == MetricType::kGauge ? "gauge"
                                                         : "histogram";
    EXPECT_THAT(text, HasSubstr(absl::StrCat("# TYPE ", spec.name, " ", type)));
    EXPECT_THAT(text,
                HasSubstr(absl::StrCat("# HELP ", spec.name, " ", spec.help)));
    EXPECT_EQ(spec.type == MetricType::kCounter,
              absl::EndsWith(spec.name, "_total"))
        << spec.name;
    EXPECT_EQ(spec.type == MetricType::kHistogram, !spec.buckets.empty());
    EXPECT_TRUE(std::is_sorted(spec.buckets.begin(), spec.buckets.end()));
  }
  // And nothing that the catalog does not name, but the process's own.
  std::istringstream lines(text);
  std::set<std::string> names;
  for (const MetricSpec& spec : Catalog()) names.insert(spec.name);
  for (std::string hash, type, name; lines >> hash;) {
    if (hash == "#" && lines >> type >> name && type == "TYPE") {
      EXPECT_TRUE(names.contains(name) || absl::StartsWith(name, "process_") ||
                  absl::StartsWith(name, "exposer_"))
          << name;
    }
    std::getline(lines, hash);
  }
}

// The user's page has a row for each family, with its labels, and for nothing
// else.
TEST_F(MetricsTest, EveryFamilyIsDocumented) {
  std::ostringstream page;
  page << std::ifstream("common/METRICS.md").rdbuf();
  std::string rows;
  for (const MetricSpec& spec : Catalog()) {
    const std::string labels =
        *spec.labels == '\0' ? "–"
                             : absl::StrReplaceAll(spec.labels, {{",", ", "}});
    const std::string row =
        absl::StrCat("\n| `", spec.name, "` | ", labels, " | ");
    EXPECT_THAT(page.str(), HasSubstr(row));
    rows += row;
  }
  std::istringstream lines(page.str());
  for (std::string line; std::getline(lines, line);) {
    if (!absl::StartsWith(line, "| `kvrecall_")) continue;
    EXPECT_THAT(rows, HasSubstr(line.substr(0, line.find('`', 3) + 1)));
  }
}

// Also where it is named beside the quantity that it shows.
TEST_F(MetricsTest, EveryFamilyThatThePageNamesIsThere) {
  std::set<std::string> families;
  for (const MetricSpec& spec : Catalog()) families.insert(spec.name);
  std::ostringstream page;
  page << std::ifstream("common/METRICS.md").rdbuf();
  const std::string text = page.str();
  const std::string begin = "`kvrecall_";
  size_t named = 0;
  for (size_t at = text.find(begin); at != std::string::npos;
       at = text.find(begin, at + 1)) {
    const std::string name =
        text.substr(at + 1, text.find('`', at + 1) - at - 1);
    EXPECT_TRUE(families.contains(name)) << name;
    ++named;
  }
  EXPECT_GT(named, families.size()) << "the table of names has them again";
}

TEST_F(MetricsTest, FiguresAreWhatTheRunnerTold) {
  const RunConfig config = Config();
  SampleStart start;
  start.prompt_tokens = 1000;
  metrics_.OnSampleStarted(config, start);
  metrics_.OnStep(config, Step(1), absl::Seconds(3));
  metrics_.OnStep(config, Step(2), absl::Milliseconds(20));
  metrics_.OnStep(config, Step(3), absl::Milliseconds(30));
  SampleResult result;
  result.finish_reason = FinishReason::kEos;
  result.prefill_seconds = 2.5;
  result.decode_seconds = 0.05;
  metrics_.OnSampleFinished(config, result);
  result.finish_reason = FinishReason::kLength;
  metrics_.OnSampleFinished(config, result);
  metrics_.OnSampleFailed(config, {"OUT_OF_MEMORY", ""});
  metrics_.OnSampleFailed(config, {"NONFINITE_LOGITS", ""});

  EXPECT_EQ(Value("kvrecall_prompt_tokens_total{task=\"hotpotqa\"}"), 1000);
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"hotpotqa\"}"), 3);
  EXPECT_EQ(Value("kvrecall_time_to_first_token_seconds_count"), 1);
  EXPECT_EQ(Value("kvrecall_time_to_first_token_seconds_sum"), 3);
  EXPECT_EQ(Value("kvrecall_inter_token_latency_seconds_count"), 2);
  EXPECT_NEAR(Value("kvrecall_inter_token_latency_seconds_sum"), 0.05, 1e-9);
  EXPECT_EQ(Value("kvrecall_prefill_time_seconds_sum"), 5);
  EXPECT_EQ(Value("kvrecall_decode_time_seconds_sum"), 0.1);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_sum"), 3.75);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_bucket{le=\"1\"}"), 0);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_bucket{le=\"1.5\"}"), 3);
  EXPECT_EQ(Value("kvrecall_samples_total{outcome=\"ok\"}"), 1);
  EXPECT_EQ(Value("kvrecall_samples_total{outcome=\"length\"}"), 1);
  EXPECT_EQ(Value("kvrecall_samples_total{outcome=\"failed\"}"), 2);
  EXPECT_EQ(Value("kvrecall_nonfinite_values_total{kind=\"logit\"}"), 1);
}

TEST_F(MetricsTest, RecallsAreOfTheGlobalScopeByPolicyAndBudget) {
  metrics_.OnStep(Config(), Step(1), absl::Seconds(1));
  // Lanes: by policy, then scope, then budget; 1 and 2 are h2o, global.
  const auto sum = [&](const char* budget, const char* policy) {
    return Value(absl::StrCat("kvrecall_recall_ratio_sum{budget=\"", budget,
                              "\",policy=\"", policy, "\"}"));
  };
  EXPECT_DOUBLE_EQ(sum("0.1", "h2o"), 0.01);
  EXPECT_DOUBLE_EQ(sum("0.2", "h2o"), 0.02);
  EXPECT_DOUBLE_EQ(sum("0.1", "random(seed=0)"), 0.05);
  EXPECT_DOUBLE_EQ(sum("0.2", "random(seed=0)"), 0.06);
}

// Lanes are matched by what they are, not by where they would stand if every
// policy had every scope.
TEST_F(MetricsTest, APolicyWithoutAScopeAndScopeHeadMoveNoFigure) {
  RunConfig config = Config();
  config.policies = {{"pyramidkv", {}}, {"tova", {}}};
  config.scopes = {Scope::kHead, Scope::kGlobal};
  config.budgets.resize(1);
  StepRecord step = Step(1);
  step.recalls.resize(3);  // pyramidkv head, tova head, tova global
  step.recalls[1].fetched_back = 100;
  step.recalls[2].fetched_back = 5;
  metrics_.OnStep(config, step, absl::Seconds(1));
  metrics_.OnStep(config, step, absl::Seconds(1));
  EXPECT_DOUBLE_EQ(
      Value("kvrecall_recall_ratio_sum{budget=\"0.1\",policy=\"tova\"}"), 0.06);
  EXPECT_EQ(Value("kvrecall_positions_fetched_back_total{budget=\"0.1\","
                  "policy=\"tova\"}"),
            10);
  EXPECT_THAT(Text(), Not(HasSubstr("pyramidkv")));
}

TEST_F(MetricsTest, GapsAreObservedByTheirLane) {
  RunConfig config = Config();
  config.gaps = *ParseGapSpecs("without_gold(0.1),only_pred(h2o,0.2,layer)");
  StepRecord step = Step(1);
  step.gaps = {{1.5, 0.25, -2, 7, false}, {0, 0, 0.25, 7, true}};
  metrics_.OnStep(config, step, absl::Seconds(1));
  step.gaps[1].kl = std::numeric_limits<double>::quiet_NaN();
  metrics_.OnStep(config, step, absl::Seconds(1));
  const std::string gold = "{lane=\"without_gold(0.1)\"}";
  const std::string pred = "{lane=\"only_pred(h2o,0.2,layer)\"}";
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_sum" + gold), 3);
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_count" + pred), 1);
  EXPECT_EQ(Value("kvrecall_gap_logprob_change_nats_sum" + gold), -4);
  EXPECT_EQ(Value("kvrecall_gap_logprob_change_nats_sum" + pred), 0.5);
  EXPECT_EQ(Value("kvrecall_nonfinite_values_total{kind=\"gap\"}"), 1);
}

TEST_F(MetricsTest, RunsThatTakeTurnsKeepTheirFiguresApart) {
  const RunConfig one = Config();
  RunConfig two = Config();
  two.task = "musique";
  two.policies = {{"oracle", {}}};
  StepRecord step = Step(2);
  for (int i = 0; i < 3; ++i) {
    metrics_.OnStep(one, Step(2), absl::Seconds(1));
    step.recalls.resize(4);
    metrics_.OnStep(two, step, absl::Seconds(1));
  }
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"hotpotqa\"}"), 3);
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"musique\"}"), 3);
  EXPECT_EQ(
      Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"oracle\"}"),
      3);
  EXPECT_EQ(Value("kvrecall_recall_ratio_count{budget=\"0.1\",policy=\"h2o\"}"),
            3);
}

TEST_F(MetricsTest, ThereAreNeverMoreSeriesThanTheLimitsAllow) {
  for (int p = 0; p < 20; ++p) {
    RunConfig config = Config();
    config.policies = {{"random", {{"seed", static_cast<double>(p)}}}};
    config.budgets = {{Budget::Kind::kTokens, 100.0 + p}};
    config.task = absl::StrCat("task", p);
    config.gaps = {
        {GapSpec::Kind::kWithoutGold, {}, config.budgets[0], Scope::kGlobal}};
    StepRecord step = Step(1);
    step.gaps.resize(1);
    metrics_.OnStep(config, step, absl::Seconds(1));
    config.policies = {{"tova", {}, TriggerSpec{"entropy", p / 10.0}}};
    metrics_.OnStep(config, step, absl::Seconds(1));
  }
  const auto series = [text = Text()](const std::string& name) {
    std::istringstream lines(text);
    std::set<std::string> found;
    for (std::string line; std::getline(lines, line);)
      if (absl::StartsWith(line, name + "{"))
        found.insert(line.substr(0, line.find(' ')));
    return found.size();
  };
  EXPECT_LE(series("kvrecall_recall_ratio_count"), 7u * 5u);
  EXPECT_LE(series("kvrecall_positions_fetched_back_total"), 7u * 5u);
  EXPECT_EQ(series("kvrecall_gap_kl_nats_count"), 9u);
  EXPECT_EQ(series("kvrecall_gap_logprob_change_nats_count"), 9u);
  EXPECT_EQ(Value("kvrecall_gap_kl_nats_count{lane=\"other\"}"), 24);
  EXPECT_EQ(
      Value("kvrecall_recall_ratio_count{budget=\"other\",policy=\"other\"}"),
      32);
  EXPECT_EQ(Value("kvrecall_generation_tokens_total{task=\"other\"}"), 40);
}

TEST_F(MetricsTest, ValuesThatAreNotFiniteAreCountedAndKeptOutOfHistograms) {
  StepRecord step = Step(1);
  step.entropy = std::numeric_limits<double>::quiet_NaN();
  step.logprob = -std::numeric_limits<double>::infinity();
  step.recalls[0].recall = std::numeric_limits<double>::infinity();
  metrics_.OnStep(Config(), step, absl::Seconds(1));
  metrics_.OnStep(Config(), Step(2), absl::Seconds(1));
  for (const char* kind : {"logit", "entropy", "recall"})
    EXPECT_EQ(Value(absl::StrCat("kvrecall_nonfinite_values_total{kind=\"",
                                 kind, "\"}")),
              1);
  EXPECT_EQ(Value("kvrecall_token_entropy_nats_sum"), 1.25);
  EXPECT_EQ(Value("kvrecall_recall_ratio_sum{budget=\"0.1\",policy=\"h2o\"}"),
            0.01);
}

TEST_F(MetricsTest, StoreAndRpcFiguresAreCountedFromAnyThread) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 100; ++n) {
        metrics_.OnCallHandled("GetRun", 0);
        metrics_.OnCallHandled("GetRun", 5);
        metrics_.OnStreamOpened();
        metrics_.OnCommit(3, absl::Milliseconds(1), absl::Milliseconds(2));
      }
      for (int n = 0; n < 99; ++n) metrics_.OnStreamClosed();
    });
  for (std::thread& thread : threads) thread.join();
  metrics_.OnQueue(7, 1);
  metrics_.OnCallHandled("NoSuchMethod", 0);
  metrics_.OnCallHandled("GetRun", 99);
  EXPECT_EQ(Value("kvrecall_grpc_server_handled_total{code=\"OK\",method="
                  "\"GetRun\"}"),
            400);
  EXPECT_EQ(Value("kvrecall_grpc_server_handled_total{code=\"NOT_FOUND\","
                  "method=\"GetRun\"}"),
            400);
  EXPECT_EQ(Value("kvrecall_streams_open"), 4);
  EXPECT_EQ(Value("kvrecall_records_committed_total"), 1200);
  EXPECT_EQ(Value("kvrecall_sqlite_commit_seconds_count"), 400);
  EXPECT_EQ(Value("kvrecall_record_commit_lag_seconds_count"), 400);
  EXPECT_EQ(Value("kvrecall_samples_waiting"), 7);
  EXPECT_EQ(Value("kvrecall_samples_running"), 1);
}

TEST_F(MetricsTest, InfosAndServingSayWhatRuns) {
  metrics_.SetBuildInfo("0.1.0", "abc");
  metrics_.SetModelInfo("nano", "d1", "float32", "cpu");
  metrics_.SetServing(true);
  EXPECT_EQ(Value("kvrecall_build_info{commit=\"abc\",version=\"0.1.0\"}"), 1);
  EXPECT_EQ(Value("kvrecall_model_info{device=\"cpu\",digest=\"d1\",dtype="
                  "\"float32\",model=\"nano\"}"),
            1);
  EXPECT_EQ(Value("kvrecall_serving"), 1);
  metrics_.SetServing(false);
  EXPECT_EQ(Value("kvrecall_serving"), 0);
}

class MetricsServerTest : public ::testing::Test {
 protected:
  MetricsServerTest() {
    auto server = MetricsServer::Start("127.0.0.1:0", metrics_.registry());
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  Metrics metrics_;
  std::unique_ptr<MetricsServer> server_;
};

TEST_F(MetricsServerTest, AScrapeOverHttpHasTheFigures) {
  metrics_.OnQueue(12, 3);
  const std::string text = Scrape(server_->port());
  EXPECT_EQ(Figure(text, "kvrecall_samples_waiting"), 12);
  EXPECT_EQ(Figure(text, "kvrecall_samples_running"), 3);
  metrics_.OnQueue(11, 3);
  EXPECT_EQ(Figure(Scrape(server_->port()), "kvrecall_samples_waiting"), 11);
}

TEST_F(MetricsServerTest, OnlyGetOfMetricsIsAnswered) {
  EXPECT_THAT(Ask(server_->port(), "GET / HTTP/1.1\r\n\r\n"),
              StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Ask(server_->port(), "POST /metrics HTTP/1.1\r\n\r\n"),
              StartsWith("HTTP/1.1 4"));
  EXPECT_THAT(Ask(server_->port(), "GET /metrics?x=1 HTTP/1.1\r\n\r\n"),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Ask(server_->port(), "\r\n\r\n"), StartsWith("HTTP/1.1 4"));
}

TEST_F(MetricsServerTest, AHeadWithoutEndDoesNotHideTheFigures) {
  EXPECT_THAT(Ask(server_->port(), std::string(64 << 10, 'x')),
              Not(HasSubstr("200 OK")));
  EXPECT_THAT(Scrape(server_->port()), HasSubstr("kvrecall_serving"));
}

TEST_F(MetricsServerTest, AClientThatSaysNothingDoesNotKeepItFromStopping) {
  const int silent = Connect(server_->port());
  server_.reset();
  close(silent);
}

TEST_F(MetricsServerTest, TheProcessSpeaksOfItself) {
  const std::string text = Scrape(server_->port());
  EXPECT_GT(Figure(text, "process_resident_memory_bytes"), 1 << 20);
  EXPECT_GE(Figure(text, "process_virtual_memory_bytes"),
            Figure(text, "process_resident_memory_bytes"));
  EXPECT_GE(Figure(text, "process_open_fds"), 3);
  EXPECT_GE(Figure(text, "process_cpu_seconds_total"), 0);
  EXPECT_NEAR(Figure(text, "process_start_time_seconds"),
              static_cast<double>(time(nullptr)), 600);
}

TEST_F(MetricsServerTest, APortInUseIsAnErrorInOneLine) {
  const std::string address = absl::StrCat("127.0.0.1:", server_->port());
  const auto second = MetricsServer::Start(address, metrics_.registry());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(address + ": the port is in use"));
  EXPECT_THAT(std::string(second.status().message()), Not(HasSubstr("\n")));
}

TEST_F(MetricsServerTest, AddressesThatAreNoneAreNamed) {
  for (const char* address :
       {"", "9464", ":9464", "127.0.0.1:", "127.0.0.1:99999"}) {
    const auto server = MetricsServer::Start(address, metrics_.registry());
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(server.status().message()),
                HasSubstr(absl::StrCat("'", address, "'")));
  }
}

}  // namespace
}  // namespace kvrecall
