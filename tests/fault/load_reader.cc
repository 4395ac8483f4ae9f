#include "tests/fault/load_reader.h"

#include <utility>

#include "tests/fault/load_figures.h"

namespace kvrecall {
namespace {

std::shared_ptr<grpc::Channel> MakeChannel(const ReaderOptions& options) {
  grpc::ChannelArguments arguments;
  // As many connections as readers: each is a client somewhere.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // The window of one that stalls must not grow, or it would take all.
  if (options.stalls) arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return grpc::CreateCustomChannel(
      options.address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

// One stream.
class Reader::Call final
    : public grpc::ClientReadReactor<v1::WatchRunResponse> {
 public:
  Call(Reader& reader, int64_t after_sequence) : reader_(reader) {
    request_.set_run_id(reader.options_.run_id);
    request_.set_after_sequence(after_sequence);
  }

  void Start() {
    reader_.stub_->async()->WatchRun(&context_, &request_, this);
    // Reads may be asked for by another thread than gRPC's.
    AddHold();
    StartRead(&response_);
    StartCall();
  }
  void ReadOn() { StartRead(&response_); }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      RemoveHold();
      return;
    }
    if (reader_.OnMessage(response_)) ReadOn();
  }
  void OnDone(const grpc::Status& status) override {
    reader_.OnDone(status);
    delete this;
  }

 private:
  Reader& reader_;
  grpc::ClientContext context_;
  v1::WatchRunRequest request_;
  v1::WatchRunResponse response_;
};

Reader::Reader(ReaderOptions options)
    : options_(std::move(options)),
      stub_(v1::RunService::NewStub(MakeChannel(options_))),
      stalls_(options_.stalls) {}

Reader::~Reader() {
  Cancel();
  Wait();
}

void Reader::Wait() {
  done_.wait(false);
  // Whoever set it has left the lock then.
  std::lock_guard lock(mutex_);
}

void Reader::Start() { Open(); }

void Reader::Open() {
  std::lock_guard lock(mutex_);
  ++arrivals_.streams;
  call_ = new Call(*this, std::ssize(arrivals_.events));
  call_->Start();
}

bool Reader::OnMessage(const v1::WatchRunResponse& message) {
  const int64_t now = MonotonicNanos();
  std::lock_guard lock(mutex_);
  if (message.events_size() > 0) arrivals_.messages.push_back(now);
  for (const v1::Event& event : message.events()) {
    if (event.sequence() != std::ssize(arrivals_.events) + 1)
      ++arrivals_.out_of_order;
    arrivals_.events.push_back(now);
    arrivals_.run_ended |= event.has_run_finished();
  }
  holding_ = stalls_ && !arrivals_.events.empty() && !cancelled_;
  return !holding_;
}

void Reader::Wake() {
  std::lock_guard lock(mutex_);
  stalls_ = false;
  if (std::exchange(holding_, false)) call_->ReadOn();
}

void Reader::Cancel() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (call_ != nullptr) call_->Cancel();
  if (std::exchange(holding_, false)) call_->ReadOn();
}

void Reader::OnDone(const grpc::Status& status) {
  {
    std::lock_guard lock(mutex_);
    call_ = nullptr;
    const bool given_up =
        status.error_code() == grpc::StatusCode::CANCELLED ||
        status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
    if (!given_up || cancelled_) {
      if (!status.ok() && !cancelled_)
        arrivals_.error =
            std::to_string(status.error_code()) + ": " + status.error_message();
      done_ = true;
      done_.notify_all();
      return;
    }
  }
  Open();
}

}  // namespace kvrecall
