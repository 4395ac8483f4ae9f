#pragma once

// What the tests of whole command lines share.

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "client/cli.h"
#include "client/environment.h"
#include "client/interrupt.h"
#include "tests/client/fake_server.h"

namespace kvrecall {

// Runs whole command lines against a scripted server.
class CliTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "kvrecall_cli_test_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    environment_.in = &in_;
    environment_.out = &out_;
    environment_.err = &err_;
    environment_.err_columns = [] { return 80; };
    environment_.data_home = folder_;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Start(FakeScript script) {
    server_ = std::make_unique<FakeServer>(std::move(script));
    environment_.server.address = server_->address();
  }

  int Run(std::vector<std::string> arguments) {
    std::vector<const char*> argv = {"kvrecall-client"};
    for (const std::string& argument : arguments) {
      argv.push_back(argument.c_str());
    }
    out_.str("");
    err_.str("");
    return RunCli(static_cast<int>(argv.size()), argv.data(), environment_,
                  interrupt_);
  }

  std::string WriteSamples(int count) {
    const std::string path = folder_ + "/demo.jsonl";
    std::ofstream file(path);
    for (int i = 1; i <= count; ++i) {
      file << R"({"_id":"s)" << i
           << R"(","input":"q","context":"c","answers":["a"]})"
           << "\n";
    }
    return path;
  }

  std::string folder_;
  std::istringstream in_;
  std::ostringstream out_;
  std::ostringstream err_;
  Environment environment_;
  Interrupt interrupt_;
  std::unique_ptr<FakeServer> server_;
};

}  // namespace kvrecall
