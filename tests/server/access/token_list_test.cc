#include "server/access/token_list.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/base/digest.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Line(const std::string& name, const std::string& scope,
                 const std::string& token) {
  return name + " " + scope + " " + Sha256Hex(token) + "\n";
}

TEST(TokenListTest, ReadsNamesScopesAndDigests) {
  const auto list =
      TokenList::Parse("# remarks\n\n" + Line("alice", "submit", "a") + "  " +
                       Line("bob@lab", "read", "b"));
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->entries().size(), 2u);
  const TokenEntry* bob = list->Find("b");
  ASSERT_NE(bob, nullptr);
  EXPECT_EQ(bob->name, "bob@lab");
  EXPECT_EQ(bob->scope, AccessScope::kRead);
  EXPECT_EQ(list->Find("c"), nullptr);
  EXPECT_EQ(list->Find(""), nullptr);
  // Who has read the file cannot call with what stands there.
  EXPECT_EQ(list->Find(Sha256Hex("b")), nullptr);
}

TEST(TokenListTest, WhatItWritesItReads) {
  TokenList list;
  ASSERT_TRUE(list.Add({"a", AccessScope::kAdmin, Sha256Hex("1")}).ok());
  ASSERT_TRUE(list.Add({"b", AccessScope::kRead, Sha256Hex("2")}).ok());
  const auto again = TokenList::Parse(list.Format());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->Format(), list.Format());
}

TEST(TokenListTest, WrongLinesAreNamed) {
  const std::string good = Line("alice", "submit", "a");
  const struct {
    std::string text, words;
  } cases[] = {
      {good + "bob read\n", "line 2: write a name, a scope and a digest"},
      {"bob read x y\n", "line 1: write"},
      {Line("bob", "write", "b"), "line 1: scope 'write' is none of"},
      {"bob read 12ab\n", "line 1: the digest of bob is not a SHA-256"},
      {Line("b/b", "read", "b"), "line 1: name 'b/b'"},
      {Line(std::string(65, 'b'), "read", "b"), "line 1: name"},
      {good + Line("alice", "read", "b"), "line 2: there is a token of alice"},
      {good + Line("bob", "read", "a"), "line 2: bob has the same token as"},
  };
  for (const auto& wrong : cases) {
    const auto list = TokenList::Parse(wrong.text);
    EXPECT_EQ(list.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(list.status().message()), StartsWith(wrong.words));
  }
}

TEST(TokenListTest, ARemovedTokenIsNoLongerFound) {
  TokenList list;
  ASSERT_TRUE(list.Add({"a", AccessScope::kRead, Sha256Hex("1")}).ok());
  EXPECT_TRUE(list.Remove("a").ok());
  EXPECT_EQ(list.Find("1"), nullptr);
  EXPECT_EQ(list.Remove("a").code(), absl::StatusCode::kNotFound);
}

TEST(NewTokenTest, IsLongRandomAndKnownByItsPrefix) {
  const std::string token = NewToken();
  EXPECT_THAT(token, StartsWith("kvr_"));
  EXPECT_EQ(token.size(), 4u + 43u);
  EXPECT_EQ(token.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO"
                                    "PQRSTUVWXYZ0123456789_-"),
            std::string::npos);
  EXPECT_NE(token, NewToken());
}

}  // namespace
}  // namespace kvrecall
