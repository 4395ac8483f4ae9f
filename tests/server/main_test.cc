// The server's binary: what it says when it cannot serve, and how it ends.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A server process with what it writes at hand.
class Process {
 public:
  explicit Process(std::vector<std::string> arguments) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      dup2(ends[1], STDERR_FILENO);
      std::vector<char*> argv = {const_cast<char*>(KVRECALL_SERVER_BINARY)};
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(ends[1]);
    written_ = fdopen(ends[0], "r");
  }
  ~Process() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    fclose(written_);
  }

  // Reads lines until one holds `text`; false at the end.
  bool WaitForLine(const std::string& text) {
    for (std::string line; !(line = ReadLine()).empty();)
      if (absl::StrContains(line, text)) return true;
    return false;
  }

  std::string ReadLine() {
    std::string line;
    for (int c; (c = fgetc(written_)) != EOF;) {
      line += static_cast<char>(c);
      if (c == '\n') break;
    }
    return line;
  }

  std::string ReadAll() {
    std::string all;
    for (std::string line; !(line = ReadLine()).empty();) all += line;
    return all;
  }

  void Signal(int signal) { kill(pid_, signal); }

  // The exit status, or minus the signal that ended it.
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  FILE* written_ = nullptr;
};

class MainTest : public ::testing::Test {
 protected:
  MainTest() {
    std::string pattern = (fs::temp_directory_path() / "kvrecall.XXXXXX");
    folder_ = mkdtemp(pattern.data());
  }
  ~MainTest() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) { return folder_ / name; }

  // A scripted server on free ports, with `more` arguments.
  std::vector<std::string> Arguments(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {
        "--scripted",        "--model",     "deploy/models/nano", "--listen",
        "127.0.0.1:0",       "--metrics",   "127.0.0.1:0",        "--database",
        Path("kvrecall.db"), "--port-file", Path("ports")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  nlohmann::json Ports() {
    std::ifstream file(Path("ports"));
    return nlohmann::json::parse(file);
  }

  // One line, beginning with the program's name, and the exit status.
  void ExpectRefusal(std::vector<std::string> arguments, int exit_status,
                     const std::string& text) {
    Process process(std::move(arguments));
    const std::string said = process.ReadAll();
    EXPECT_EQ(process.Wait(), exit_status) << said;
    EXPECT_THAT(said, StartsWith("kvrecall-server: "));
    EXPECT_THAT(said, HasSubstr(text));
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  }

  fs::path folder_;
};

TEST_F(MainTest, ServesUntilSigtermAndThenExitsWithZero) {
  for (int signal : {SIGTERM, SIGINT}) {
    Process process(Arguments());
    ASSERT_TRUE(process.WaitForLine("serving"));
    EXPECT_GT(Ports().at("grpc").get<int>(), 0);
    EXPECT_GT(Ports().at("metrics").get<int>(), 0);
    process.Signal(signal);
    process.ReadAll();
    EXPECT_EQ(process.Wait(), 0);
  }
  // The log is folded into the database, which is then no one's.
  EXPECT_FALSE(fs::exists(Path("kvrecall.db-wal")));
}

TEST_F(MainTest, EveryReasonNotToServeIsOneLine) {
  ExpectRefusal({"--frobnicate"}, 2, "--frobnicate");
  ExpectRefusal({}, 2, "--model is required");
  ExpectRefusal({"--model", Path("none"), "--database", Path("a.db")}, 1,
                "there is no config.json");
  fs::create_directory(Path("broken"));
  std::ofstream(Path("broken") + "/config.json") << "{";
  ExpectRefusal({"--model", Path("broken"), "--database", Path("a.db")}, 1,
                "broken");
  ExpectRefusal(Arguments({"--database", "/no/such/folder/k.db"}), 1,
                "/no/such/folder");
  std::ofstream(Path("text.db")) << std::string(4096, 'x');
  ExpectRefusal(Arguments({"--database", Path("text.db")}), 1, "text.db");
  ExpectRefusal(Arguments({"--listen", "0.0.0.0:0"}), 1,
                "--allow-plaintext-remote");
  ExpectRefusal(Arguments({"--port-file", "/no/such/folder/p"}), 1,
                "/no/such/folder/p");
}

TEST_F(MainTest, ChecksItsConfigurationWithoutServing) {
  Process good(Arguments({"--check-config"}));
  EXPECT_THAT(good.ReadAll(), StartsWith("configuration is good\n  model "));
  EXPECT_EQ(good.Wait(), 0);
  EXPECT_TRUE(fs::is_empty(folder_)) << "it has changed something";
  Process bad(Arguments({"--check-config", "--listen", "0.0.0.0:0",
                         "--port-file", "/no/such/folder/p"}));
  const std::string said = bad.ReadAll();
  EXPECT_EQ(bad.Wait(), 1);
  EXPECT_THAT(said, StartsWith("kvrecall-server: listen: "));
  EXPECT_THAT(said, HasSubstr("\nkvrecall-server: port file: "));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 2) << said;
  ExpectRefusal({"--check-config", "--frobnicate"}, 2, "--frobnicate");
}

TEST_F(MainTest, AsJsonEveryLineIsAnObjectTheLastOneToo) {
  Process process(Arguments({"--log-format", "json"}));
  ASSERT_TRUE(process.WaitForLine("serving"));
  Process second(Arguments({"--log-format", "json"}));
  const std::string said = second.ReadAll();
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_EQ(nlohmann::json::parse(said)["level"], "critical");
  process.Signal(SIGTERM);
  for (std::string line; !(line = process.ReadLine()).empty();)
    EXPECT_EQ(nlohmann::json::parse(line)["level"], "info");
  EXPECT_EQ(process.Wait(), 0);
}

TEST_F(MainTest, KernelsThatThereAreNotAreNamed) {
  setenv("KVRECALL_CPU_KERNELS", "avx9", 1);
  ExpectRefusal(Arguments(), 1,
                "KVRECALL_CPU_KERNELS is 'avx9', which are no kernels that "
                "this processor runs; it runs ");
  unsetenv("KVRECALL_CPU_KERNELS");
}

// From the command line to the model and into the log.
TEST_F(MainTest, SaysHowLongATextMayBe) {
  {
    Process scripted(Arguments({"--max-context", "3000"}));
    EXPECT_TRUE(scripted.WaitForLine("a text may have 3000 positions"));
  }
  std::vector<std::string> arguments = Arguments({"--max-context", "777"});
  arguments.erase(arguments.begin());  // --scripted
  Process model(arguments);
  EXPECT_TRUE(
      model.WaitForLine("a text may have 777 positions: --max-context 777"));
}

TEST_F(MainTest, APortInUseIsNamed) {
  Process first(Arguments());
  ASSERT_TRUE(first.WaitForLine("serving"));
  const std::string grpc =
      absl::StrCat("127.0.0.1:", Ports()["grpc"].get<int>());
  const std::string metrics =
      absl::StrCat("127.0.0.1:", Ports()["metrics"].get<int>());
  const std::string other = Path("other.db");
  ExpectRefusal(Arguments({"--database", other, "--listen", grpc}), 1,
                grpc + ": the port is in use");
  ExpectRefusal(Arguments({"--database", other, "--metrics", metrics}), 1,
                metrics + ": the port is in use");
  // And so is a database that another server has.
  ExpectRefusal(Arguments(), 1, "kvrecall.db");
}

}  // namespace
