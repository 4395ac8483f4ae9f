#include "server/config_check.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <stdlib.h>

#include "common/records_db/schema.h"
#include "server/access/certificates.h"
#include "server/store/process_lock.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class ConfigCheckTest : public ::testing::Test {
 protected:
  ConfigCheckTest() {
    std::string pattern = fs::temp_directory_path() / "kvrecall.XXXXXX";
    folder_ = mkdtemp(pattern.data());
    options_.model = "deploy/models/nano";
    options_.device = "cpu";
    options_.listen = "127.0.0.1:0";
    options_.metrics = "127.0.0.1:0";
    options_.database = Path("kvrecall.db");
  }
  ~ConfigCheckTest() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ / name; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name)) << text;
  }

  std::vector<std::string> Problems() const {
    return CheckConfig(options_).problems;
  }
  // What the summary of a good configuration says of `what`.
  std::string Said(const std::string& what) const {
    const ConfigReport report = CheckConfig(options_);
    EXPECT_THAT(report.problems, IsEmpty());
    const std::map<std::string, std::string> said(report.summary.begin(),
                                                  report.summary.end());
    const auto it = said.find(what);
    return it == said.end() ? "nothing" : it->second;
  }
  // A certificate for localhost, and its key.
  void UseTls(absl::Duration lifetime) {
    const auto authority = MakeAuthority("test", absl::Hours(240));
    const std::vector<std::string> hosts = {"localhost"};
    const auto pair = MakeServerCertificate(*authority, hosts, lifetime);
    ASSERT_TRUE(pair.ok()) << pair.status();
    Write("server.crt", pair->certificate);
    Write("server.key", pair->key);
    options_.tls_certificate = Path("server.crt");
    options_.tls_key = Path("server.key");
  }

  fs::path folder_;
  ServerOptions options_;
};

TEST_F(ConfigCheckTest, AGoodOneIsSummedUpAndNothingIsChanged) {
  EXPECT_THAT(Said("model"),
              AllOf(StartsWith("nano (Qwen2ForCausalLM): "),
                    HasSubstr(" on cpu, "), HasSubstr("positions")));
  EXPECT_THAT(Said("database"), HasSubstr("kvrecall.db: will be made; "));
  EXPECT_EQ(Said("listen"), "127.0.0.1:0: not encrypted");
  EXPECT_THAT(Said("tokens"), StartsWith("none"));
  EXPECT_EQ(Said("metrics"), "127.0.0.1:0");
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(ConfigCheckTest, EveryProblemIsALine) {
  options_.model = Path("none");
  options_.database = "/no/such/folder/k.db";
  options_.listen = "nonsense";
  options_.tokens = Path("tokens");
  options_.metrics = "9464";
  options_.port_file = "/no/such/folder/ports";
  EXPECT_THAT(Problems(),
              ElementsAre(HasSubstr("model: "), HasSubstr("database: "),
                          HasSubstr("listen: listen address 'nonsense'"),
                          HasSubstr("tokens: "), HasSubstr("metrics: "),
                          HasSubstr("port file: ")));
}

TEST_F(ConfigCheckTest, AModelsOptionsAreLookedAt) {
  options_.max_context = 1 << 24;
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("model: --max-context ")));
  options_.scripted = true;  // which has any window
  EXPECT_EQ(Said("model"), "scripted, with the tokenizer of nano");
}

TEST_F(ConfigCheckTest, ADatabaseIsReadAndNotTouched) {
  ASSERT_TRUE(OpenForWriting(options_.database, {}).ok());
  {
    auto database = Database::Open(options_.database, {});
    ASSERT_TRUE((*database)->Exec("PRAGMA user_version = 3").ok());
  }
  const auto read = [&] {
    std::ifstream in(options_.database, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string before = read();
  EXPECT_THAT(Said("database"),
              HasSubstr("version 3, will be brought to version "));
  EXPECT_EQ(read(), before);
  {
    auto database = Database::Open(options_.database, {});
    ASSERT_TRUE((*database)->Exec("PRAGMA user_version = 999").ok());
  }
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("newer kvrecall")));
  Write("kvrecall.db", std::string(4096, 'x'));
  EXPECT_THAT(Problems(), ElementsAre(AllOf(StartsWith("database: "),
                                            HasSubstr("kvrecall.db"))));
}

TEST_F(ConfigCheckTest, ADatabaseInUseIsNamed) {
  const auto lock = ProcessLock::Take(options_.database);
  ASSERT_TRUE(lock.ok()) << lock.status();
  EXPECT_THAT(Problems(),
              ElementsAre(HasSubstr("in use by another kvrecall-server")));
}

TEST_F(ConfigCheckTest, AFullDiskIsSaidAndRefusesNoStart) {
  options_.min_free_disk_mib = int64_t{1} << 40;
  EXPECT_THAT(Said("database"), HasSubstr("new work will be refused"));
}

TEST_F(ConfigCheckTest, CertificatesAndTokensAreRead) {
  UseTls(absl::Hours(48));
  Write("tokens", "");
  options_.tokens = Path("tokens");
  options_.listen = "0.0.0.0:0";
  const std::string until = absl::FormatTime(
      "%Y-%m-%d", absl::Now() + absl::Hours(48), absl::UTCTimeZone());
  EXPECT_EQ(Said("listen"),
            "0.0.0.0:0: encrypted, certificate valid until " + until);
  EXPECT_EQ(Said("tokens"), Path("tokens") + ": 0 tokens");
  Write("tokens", "alice\n");
  EXPECT_THAT(Problems(), ElementsAre(AllOf(StartsWith("tokens: "),
                                            HasSubstr(Path("tokens")))));
  Write("tokens", "");
  Write("server.key", "no key");
  EXPECT_THAT(Problems(), ElementsAre(AllOf(StartsWith("listen: "),
                                            HasSubstr("server.key"))));
}

TEST_F(ConfigCheckTest, AnAddressThatOthersReachNeedsLeave) {
  options_.listen = "0.0.0.0:0";
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("--allow-plaintext-remote")));
  options_.allow_plaintext_remote = true;
  EXPECT_THAT(Problems(), IsEmpty());
}

}  // namespace
}  // namespace kvrecall
