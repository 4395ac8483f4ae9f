// ExportRun over a real channel. Nothing here sleeps: tests wait for what the
// stream itself reports, or for the server to have ended.

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/base/digest.h"
#include "tests/server/service/rpc_fixture.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr size_t kChunk = 1 << 20;

// Bytes that repeat nowhere at a chunk's length.
std::string Bytes(size_t count) {
  std::string bytes;
  bytes.reserve(count + 16);
  for (uint64_t i = 0; bytes.size() < count; ++i)
    bytes += absl::StrCat(absl::Hex(i * 0x9E3779B97F4A7C15u), "\n");
  bytes.resize(count);
  return bytes;
}

// What a client got.
struct Exported {
  std::string bytes;
  std::vector<size_t> chunks;  // bytes of each message
  v1::ExportRunResponse last;  // the last message
  int with_end = 0;            // messages that have size or digest
  grpc::Status status;
};

class ExportRunTest : public RpcTest {
 protected:
  std::unique_ptr<grpc::ClientReader<v1::ExportRunResponse>> Open(
      grpc::ClientContext* context, const std::string& run_id) {
    v1::ExportRunRequest request;
    request.set_run_id(run_id);
    return runs_->ExportRun(context, request);
  }

  Exported Export(const std::string& run_id) {
    grpc::ClientContext context;
    const auto reader = Open(&context, run_id);
    Exported exported;
    for (v1::ExportRunResponse message; reader->Read(&message);) {
      exported.bytes += message.data();
      exported.chunks.push_back(message.data().size());
      exported.with_end += message.size() != 0 || !message.digest().empty();
      exported.last = message;
    }
    exported.status = reader->Finish();
    return exported;
  }

  // Exports a file of `size` bytes and expects it whole.
  void ExpectWhole(size_t size, const std::vector<size_t>& chunks) {
    const std::string run_id = MakeRun("a");
    const std::string bytes = Bytes(size);
    store_.SetExported(bytes);
    const Exported exported = Export(run_id);
    ASSERT_TRUE(exported.status.ok()) << exported.status.error_message();
    EXPECT_TRUE(exported.bytes == bytes) << exported.bytes.size();
    EXPECT_EQ(exported.chunks, chunks);
    EXPECT_EQ(exported.last.size(), static_cast<int64_t>(size));
    EXPECT_EQ(exported.last.digest(), Sha256Hex(bytes));
    EXPECT_TRUE(exported.last.data().empty());
    EXPECT_EQ(exported.with_end, 1) << "the last message alone says the end";
  }
};

TEST_F(ExportRunTest, ChunksJoinToTheFileAndTheLastMessageSaysWhatItIs) {
  ExpectWhole(5000, {5000, 0});
}

TEST_F(ExportRunTest, AFileOfSeveralChunksIsSentInOrder) {
  ExpectWhole(5 * kChunk / 2, {kChunk, kChunk, kChunk / 2, 0});
}

TEST_F(ExportRunTest, AFileThatFillsItsChunksExactlyEndsAsWell) {
  ExpectWhole(2 * kChunk, {kChunk, kChunk, 0});
}

TEST_F(ExportRunTest, AnEmptyFileIsOneMessage) { ExpectWhole(0, {0}); }

TEST_F(ExportRunTest, UnknownRunsAndBadNamesAreRefused) {
  MakeRun("a");
  Exported exported = Export("nope");
  EXPECT_EQ(exported.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(exported.status.error_message(), "no run 'nope'");
  EXPECT_TRUE(exported.chunks.empty());
  exported = Export("");
  EXPECT_EQ(exported.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(exported.status.error_message(), "run_id: is empty");
  exported = Export(std::string(65, 'x'));
  EXPECT_THAT(exported.status.error_message(),
              StartsWith("run_id: has 65 characters"));
}

TEST_F(ExportRunTest, EachExportIsCountedWithItsCode) {
  const std::string run_id = MakeRun("a");
  Export(run_id);
  Export(run_id);
  Export("nope");
  Export("");
  EXPECT_EQ(observer_.handled("ExportRun 0"), 2);
  EXPECT_EQ(observer_.handled("ExportRun 5"), 1);
  EXPECT_EQ(observer_.handled("ExportRun 3"), 1);
}

TEST_F(ExportRunTest, AStoreThatCannotWriteTheFileDoesNotLeakWhy) {
  const std::string run_id = MakeRun("a");
  store_.FailReads(absl::InternalError("secret path"));
  const Exported exported = Export(run_id);
  EXPECT_EQ(exported.status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(exported.status.error_message(),
              testing::Not(HasSubstr("secret")));
}

// Far more than the windows of HTTP/2 and the socket take, so that the stream
// is in the middle of it.
constexpr size_t kLarge = 64 * kChunk;

TEST_F(ExportRunTest, AClientThatCancelsIsReleased) {
  const std::string run_id = MakeRun("a");
  store_.SetExported(std::string(kLarge, 'x'));
  grpc::ClientContext context;
  const auto reader = Open(&context, run_id);
  v1::ExportRunResponse message;
  ASSERT_TRUE(reader->Read(&message));
  context.TryCancel();
  while (reader->Read(&message)) continue;
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  // The next export does not wait for it, and the server ends at once.
  store_.SetExported("next");
  EXPECT_EQ(Export(run_id).bytes, "next");
  server_->Shutdown(absl::Seconds(30));
  EXPECT_EQ(observer_.handled("ExportRun 1"), 1);
  EXPECT_EQ(observer_.handled("ExportRun 0"), 1);
}

// A run that takes long to write is not written for nobody.
TEST_F(ExportRunTest, AClientThatLeavesStopsTheWriting) {
  const std::string run_id = MakeRun("a");
  store_.LetExportsHang();
  grpc::ClientContext context;
  const auto reader = Open(&context, run_id);
  context.TryCancel();
  v1::ExportRunResponse message;
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  server_->Shutdown(absl::Seconds(30));
}

TEST_F(ExportRunTest, AServerThatStopsStopsTheWriting) {
  const std::string run_id = MakeRun("a");
  store_.LetExportsHang();
  grpc::ClientContext context;
  const auto reader = Open(&context, run_id);
  server_->Shutdown(absl::Milliseconds(50));
  v1::ExportRunResponse message;
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_FALSE(reader->Finish().ok());
}

// The one thread that reads files is not a slow client's.
TEST_F(ExportRunTest, AClientThatStallsCostsOthersNothing) {
  const std::string run_id = MakeRun("a");
  store_.SetExported(std::string(kLarge, 'x'));
  const auto stub = v1::RunService::NewStub(NewChannel());
  grpc::ClientContext context;
  v1::ExportRunRequest request;
  request.set_run_id(run_id);
  const auto stalled = stub->ExportRun(&context, request);
  v1::ExportRunResponse message;
  ASSERT_TRUE(stalled->Read(&message));
  store_.SetExported("small");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Export(run_id).bytes, "small");
  // Nor does it keep the server from stopping.
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_EQ(observer_.handled("ExportRun 1"), 1);
  while (stalled->Read(&message)) continue;
  EXPECT_FALSE(stalled->Finish().ok());
}

TEST_F(ExportRunTest, ExportsSideBySideAreEachWhole) {
  const std::string run_id = MakeRun("a");
  const std::string bytes = Bytes(3 * kChunk + 17);
  store_.SetExported(bytes);
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i)
    clients.emplace_back([&] {
      const Exported exported = Export(run_id);
      EXPECT_TRUE(exported.status.ok()) << exported.status.error_message();
      EXPECT_TRUE(exported.bytes == bytes);
      EXPECT_EQ(exported.last.digest(), Sha256Hex(bytes));
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(observer_.handled("ExportRun 0"), 4);
}

// An export that is under way may end within the grace.
TEST_F(ExportRunTest, ShutdownLetsAnExportEnd) {
  const std::string run_id = MakeRun("a");
  const std::string bytes = Bytes(16 * kChunk);
  store_.SetExported(bytes);
  grpc::ClientContext context;
  const auto reader = Open(&context, run_id);
  v1::ExportRunResponse message;
  ASSERT_TRUE(reader->Read(&message));
  std::string got = message.data();
  std::thread main([&] { server_->Shutdown(absl::Seconds(60)); });
  while (reader->Read(&message)) got += message.data();
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  main.join();
  EXPECT_TRUE(got == bytes);
}

// Its file would stay open for as long as it likes.
TEST_F(ExportRunTest, AClientThatTakesNothingIsGivenUp) {
  RpcServerOptions options;
  options.write_timeout = absl::Milliseconds(50);
  StartServer(options);
  const std::string run_id = MakeRun("a");
  store_.SetExported(Bytes(64 * kChunk));  // more than what is on the way
  grpc::ClientContext context;
  const auto reader = Open(&context, run_id);
  const std::string given_up =
      absl::StrCat("ExportRun ", grpc::StatusCode::CANCELLED);
  while (observer_.handled(given_up) == 0) std::this_thread::yield();
  for (v1::ExportRunResponse message; reader->Read(&message);) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

}  // namespace
}  // namespace kvrecall
