#include "server/service/export_reactor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "grpcpp/server_context.h"

#include "server/service/call_end.h"

namespace kvrecall {
namespace {

// Of one message: well below the 4 MiB that a client accepts by default.
constexpr size_t kChunkBytes = 1 << 20;

}  // namespace

ExportReactor* ExportReactor::Start(const ExportContext& context,
                                    grpc::CallbackServerContext* call,
                                    std::string request_id,
                                    std::string run_id) {
  std::shared_ptr<ExportReactor> reactor(new ExportReactor(
      context, call, std::move(request_id), std::move(run_id)));
  reactor->self_ = reactor;
  reactor->hub_key_ = context.hub->Add(reactor);
  reactor->Post(&ExportReactor::Open);
  return reactor.get();
}

absl::Time ExportReactor::Beat(absl::Time now) {
  const absl::Duration timeout = context_.hub->write_timeout();
  std::lock_guard lock(mutex_);
  if (now >= write_began_ + timeout) {
    write_began_ = absl::InfiniteFuture();
    // Words of ours would reach only a client that reads.
    if (call_ != nullptr) call_->TryCancel();
  }
  return std::min(now, write_began_) + timeout;
}

void ExportReactor::Post(void (ExportReactor::*task)()) {
  context_.executor->Post([self = self_, task] { ((*self).*task)(); });
}

void ExportReactor::Open() {
  // It may have waited long for others.
  if (cancelled_)
    return FinishWith(absl::CancelledError("the client has gone"));
  absl::StatusOr<std::unique_ptr<std::istream>> file =
      context_.store->ExportRun(run_id_, [this] { return cancelled_.load(); });
  if (!file.ok()) return FinishWith(file.status());
  file_ = *std::move(file);
  SendNext();
}

void ExportReactor::SendNext() {
  if (cancelled_)
    return FinishWith(absl::CancelledError("the client has gone"));
  response_.Clear();
  if (const absl::Status read = ReadChunk(); !read.ok())
    return FinishWith(read);
  if (response_.data().empty()) {
    response_.set_size(size_);
    response_.set_digest(digest_.HexDigest());
    end_sent_ = true;
  }
  Write();
}

void ExportReactor::Write() {
  {
    std::lock_guard lock(mutex_);
    write_began_ = absl::Now();
  }
  StartWrite(&response_);
}

absl::Status ExportReactor::ReadChunk() {
  std::string& data = *response_.mutable_data();
  data.resize(kChunkBytes);
  file_->read(data.data(), static_cast<std::streamsize>(data.size()));
  data.resize(static_cast<size_t>(file_->gcount()));
  if (file_->bad() || (file_->fail() && !file_->eof()))
    return absl::InternalError(
        absl::StrCat("run '", run_id_, "': its exported file cannot be read"));
  digest_.Add(data);
  size_ += static_cast<int64_t>(data.size());
  return absl::OkStatus();
}

void ExportReactor::OnWriteDone(bool ok) {
  {
    std::lock_guard lock(mutex_);
    write_began_ = absl::InfiniteFuture();
  }
  if (!ok) return FinishWith(absl::CancelledError("the client has gone"));
  if (end_sent_) return FinishWith(absl::OkStatus());
  Post(&ExportReactor::SendNext);
}

void ExportReactor::FinishWith(const absl::Status& status) {
  file_.reset();
  Finish(
      EndCall({.run = run_id_, .method = "ExportRun", .request = request_id_},
              status, *context_.observer));
}

void ExportReactor::OnDone() {
  {
    std::lock_guard lock(mutex_);
    call_ = nullptr;
  }
  context_.hub->Remove(hub_key_);
  const std::shared_ptr<ExportReactor> last = std::move(self_);
}

}  // namespace kvrecall
