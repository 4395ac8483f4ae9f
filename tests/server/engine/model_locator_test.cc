#include "server/engine/model_locator.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

// A cache as `hf download` leaves it: the snapshots' files are links into
// blobs.
class ModelLocatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kvrecall-test-XXXXXX";
    root_ = ::mkdtemp(name);
    environment_.hf_hub_cache = root_ / "hub";
    repository_ = root_ / "hub/models--owner--small-1.5B";
  }
  void TearDown() override { fs::remove_all(root_); }

  static void Write(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }

  void AddFile(const std::string& commit, const std::string& name,
               const std::string& text = "{}") {
    const fs::path link = repository_ / "snapshots" / commit / name;
    const std::string blob = commit + "-" + name;
    Write(repository_ / "blobs" / blob, text);
    fs::create_directories(link.parent_path());
    fs::create_symlink("../../blobs/" + blob, link);
  }

  // A complete download; `ref` names it.
  fs::path AddSnapshot(const std::string& commit, const std::string& ref) {
    for (const char* name :
         {"config.json", "tokenizer.json", "model.safetensors"})
      AddFile(commit, name);
    if (!ref.empty()) Write(repository_ / "refs" / ref, commit);
    return repository_ / "snapshots" / commit;
  }

  std::string Message(const std::string& model) {
    const auto located = LocateModel(model, environment_);
    EXPECT_EQ(located.status().code(), absl::StatusCode::kNotFound);
    return std::string(located.status().message());
  }

  // EXPECT_TRUE(Has(text, part)) with the text where it fails.
  static ::testing::AssertionResult Has(const std::string& text,
                                        const std::string& part) {
    if (text.find(part) != std::string::npos)
      return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "no '" << part << "' in: " << text;
  }

  fs::path root_, repository_;
  HubEnvironment environment_;
};

TEST_F(ModelLocatorTest, AnExistingDirectoryIsTaken) {
  Write(root_ / "owner/local/config.json", "{}");
  for (const char* path : {"/owner/local", "/owner/local/"}) {
    const auto located = LocateModel(root_.string() + path, {});
    ASSERT_TRUE(located.ok()) << located.status();
    EXPECT_EQ(located->directory, root_.string() + path);
    EXPECT_EQ(located->name, "local");
  }
  EXPECT_TRUE(Has(Message(root_.string()), "config.json"));
}

TEST_F(ModelLocatorTest, TheEmbeddedModelIsFound) {
  const auto located = LocateModel("nano", {});
  ASSERT_TRUE(located.ok()) << located.status();
  EXPECT_EQ(located->name, "nano");
}

TEST_F(ModelLocatorTest, FindsMainInTheCache) {
  AddSnapshot("aaaa", "v1");
  const fs::path main = AddSnapshot("bbbb", "main");
  const auto located = LocateModel("owner/small-1.5B", environment_);
  ASSERT_TRUE(located.ok()) << located.status();
  EXPECT_EQ(located->directory, main);
  EXPECT_EQ(located->name, "small-1.5B");
}

TEST_F(ModelLocatorTest, FindsARevisionByBranchTagOrCommit) {
  const fs::path tagged = AddSnapshot("aaaa", "v1");
  const fs::path proposed = AddSnapshot("bbbb", "refs/pr/1");
  const fs::path unnamed = AddSnapshot("cccc", "");
  for (const auto& [revision, want] :
       {std::pair("v1", tagged), {"refs/pr/1", proposed}, {"cccc", unnamed}}) {
    const std::string model = std::string("owner/small-1.5B@") + revision;
    const auto located = LocateModel(model, environment_);
    ASSERT_TRUE(located.ok()) << located.status();
    EXPECT_EQ(located->directory, want);
    EXPECT_EQ(located->name, std::string("small-1.5B@") + revision);
  }
}

TEST_F(ModelLocatorTest, TheCacheIsWhereHuggingFacePutsIt) {
  const HubEnvironment all = {root_ / "hub", root_ / "hf", root_ / "xdg",
                              root_ / "home"};
  HubEnvironment environment = all;
  EXPECT_TRUE(Has(LocateModel("a/b", environment).status().ToString(),
                  root_ / "hub/models--a--b"));
  environment.hf_hub_cache.clear();
  EXPECT_TRUE(Has(LocateModel("a/b", environment).status().ToString(),
                  root_ / "hf/hub/models--a--b"));
  environment.hf_home.clear();
  EXPECT_TRUE(Has(LocateModel("a/b", environment).status().ToString(),
                  root_ / "xdg/huggingface/hub/models--a--b"));
  environment.xdg_cache_home.clear();
  EXPECT_TRUE(Has(LocateModel("a/b", environment).status().ToString(),
                  root_ / "home/.cache/huggingface/hub/models--a--b"));
  EXPECT_EQ(LocateModel("a/b", {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ModelLocatorTest, WhatIsAbsentComesWithTheCommandThatDownloadsIt) {
  EXPECT_TRUE(Has(Message("owner/small-1.5B"), "hf download owner/small-1.5B"));
  EXPECT_TRUE(Has(Message("owner/small-1.5B"), repository_));
  AddSnapshot("aaaa", "main");
  const std::string text = Message("owner/small-1.5B@v2");
  EXPECT_TRUE(Has(text, "hf download owner/small-1.5B --revision v2"));
  EXPECT_TRUE(Has(text, repository_));
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST_F(ModelLocatorTest, AMissingFileIsNamed) {
  for (const std::string name :
       {"config.json", "tokenizer.json", "model.safetensors"}) {
    const fs::path snapshot = AddSnapshot("aaaa", "main");
    fs::remove(snapshot / name);
    const std::string text = Message("owner/small-1.5B");
    EXPECT_TRUE(Has(text, name));
    EXPECT_TRUE(Has(text, snapshot));
    EXPECT_TRUE(Has(text, "hf download owner/small-1.5B"));
    fs::remove_all(repository_);
  }
}

TEST_F(ModelLocatorTest, AShardWhoseLinkLeadsNowhereIsMissing) {
  const fs::path snapshot = AddSnapshot("aaaa", "main");
  fs::remove(snapshot / "model.safetensors");
  AddFile(
      "aaaa", "model.safetensors.index.json",
      R"({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})");
  AddFile("aaaa", "one.safetensors");
  AddFile("aaaa", "two.safetensors");
  EXPECT_TRUE(LocateModel("owner/small-1.5B", environment_).ok());
  fs::remove(repository_ / "blobs/aaaa-two.safetensors");
  EXPECT_TRUE(Has(Message("owner/small-1.5B"), "two.safetensors"));
}

TEST_F(ModelLocatorTest, OtherTextsAreNoHubIds) {
  for (const char* text :
       {"owner", "./owner/name", "../name", "owner/..", "a/b/c", "/a/b",
        "owner/name@", "owner/name@../../x", "owner/na me", ""})
    EXPECT_TRUE(Has(Message(text), "config.json")) << text;
}

}  // namespace
}  // namespace kvrecall
