// ModelService.Tokenize over a real channel, with a tokenizer that is none: a
// token a byte.

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/server/service/rpc_fixture.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;

class TokenizeTest : public RpcTest {
 protected:
  grpc::Status Tokenize(const std::string& text, v1::TokenizeResponse* response,
                        bool add_special_tokens = false) {
    grpc::ClientContext context;
    v1::TokenizeRequest request;
    request.set_text(text);
    request.set_add_special_tokens(add_special_tokens);
    return models_->Tokenize(&context, request, response);
  }
};

TEST_F(TokenizeTest, GivesIdsAndTheTextOfEach) {
  v1::TokenizeResponse response;
  ASSERT_TRUE(Tokenize("ab\n", &response).ok());
  EXPECT_THAT(response.token_ids(), ElementsAre('a', 'b', '\n'));
  EXPECT_THAT(response.tokens(), ElementsAre("a", "b", "\n"));
  EXPECT_EQ(observer_.handled("Tokenize 0"), 1);
}

TEST_F(TokenizeTest, SpecialTokensAreAddedWhereTheyAreAskedFor) {
  v1::TokenizeResponse response;
  ASSERT_TRUE(Tokenize("a", &response, /*add_special_tokens=*/true).ok());
  EXPECT_THAT(response.token_ids(), ElementsAre(1, 'a'));
  EXPECT_THAT(response.tokens(), ElementsAre("<s>", "a"));
}

TEST_F(TokenizeTest, AnEmptyTextHasNoTokens) {
  v1::TokenizeResponse response;
  ASSERT_TRUE(Tokenize("", &response).ok());
  EXPECT_EQ(response.token_ids_size(), 0);
}

// A token a byte is the most that there can be: the reply must still be one
// that a client takes.
TEST_F(TokenizeTest, TheLongestTextIsAnsweredAndOneByteMoreRefused) {
  v1::TokenizeResponse response;
  const std::string longest(256 << 10, 'x');
  grpc::Status status = Tokenize(longest, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.tokens_size(), 256 << 10);
  status = Tokenize(longest + "x", &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(),
            "text: has 262145 bytes; at most 262144 a call");
  EXPECT_EQ(observer_.handled("Tokenize 3"), 1);
}

TEST_F(TokenizeTest, ATextWithNulOrBytesThatAreNoTextIsRefused) {
  v1::TokenizeResponse response;
  const grpc::Status nul = Tokenize(std::string("a\0b", 3), &response);
  EXPECT_EQ(nul.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(nul.error_message(), "text: holds a NUL character");
  // By gRPC itself, where protobuf reads the call.
  EXPECT_FALSE(Tokenize("a\xFF", &response).ok());
}

}  // namespace
}  // namespace kvrecall
