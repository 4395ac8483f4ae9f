#include "server/service/watch_reactor.h"

#include <utility>

#include "server/service/raw_message.h"

namespace kvrecall {

WatchReactor* WatchReactor::Start(const WatchContext& context,
                                  grpc::CallbackServerContext* call,
                                  std::string request_id, std::string run_id,
                                  int64_t after_sequence) {
  auto reactor = std::make_shared<WatchReactor>();
  reactor->call_ = call;
  reactor->cursor_ =
      std::make_shared<WatchCursor>(context, reactor, std::move(request_id),
                                    std::move(run_id), after_sequence);
  reactor->cursor_->Start();
  return reactor.get();
}

void WatchReactor::OnWriteDone(bool ok) {
  bytes_.Clear();
  cursor_->OnWriteDone(ok);
}

void WatchReactor::OnCancel() { cursor_->OnCancel(); }

void WatchReactor::OnDone() {
  const std::shared_ptr<WatchCursor> cursor = std::move(cursor_);
  cursor->OnDone();
}

void WatchReactor::StartWrite(const v1::WatchRunResponse& message) {
  bytes_ = ToBytes(message);
  Reactor::StartWrite(&bytes_);
}

void WatchReactor::Finish(const grpc::Status& status) {
  Reactor::Finish(status);
}

}  // namespace kvrecall
