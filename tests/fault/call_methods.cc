// Calls every method of a server with an empty request, and writes a line for
// each: "Service/Method CODE reason". What there is to call is read from the
// services' own descriptions, so that a new method is among them.
//
// Usage: call_methods ADDRESS CA_FILE [TOKEN]

#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "google/protobuf/descriptor.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"

#include "common/base/error_reason.h"
#include "kvrecall/v1/admin_service.pb.h"
#include "kvrecall/v1/model_service.pb.h"
#include "kvrecall/v1/run_service.pb.h"
#include "proto/convert/error_convert.h"

namespace kvrecall {
namespace {

std::string ReadFile(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// One call as a stream, which serves methods of every kind: an empty message,
// then whatever comes, up to the status.
grpc::Status Call(grpc::GenericStub& stub, const std::string& method,
                  const std::string& token) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(20));
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  grpc::CompletionQueue queue;
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto stream = stub.PrepareCall(&context, method, &queue);
  stream->StartCall(nullptr);
  bool open = wait();
  if (open) {
    const grpc::Slice nothing;
    stream->WriteLast(grpc::ByteBuffer(&nothing, 1), grpc::WriteOptions(),
                      nullptr);
    open = wait();
  }
  while (open) {
    grpc::ByteBuffer response;
    stream->Read(&response, nullptr);
    open = wait();
  }
  grpc::Status status;
  stream->Finish(&status, nullptr);
  wait();
  queue.Shutdown();
  return status;
}

void Print(const std::string& name, const grpc::Status& status) {
  const absl::Status told = WithErrorDetails(
      absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                   status.error_message()),
      status.error_details());
  std::printf("%s %s %s\n", name.c_str(),
              absl::StatusCodeToString(told.code()).c_str(),
              told.ok() ? "-" : ReasonOf(told).c_str());
}

int Main(const std::string& address, const char* authority,
         const std::string& token) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ReadFile(authority);
  grpc::GenericStub stub(
      grpc::CreateChannel(address, grpc::SslCredentials(options)));
  const google::protobuf::FileDescriptor* files[] = {
      v1::Run::descriptor()->file(), v1::Model::descriptor()->file(),
      v1::ServerStatus::descriptor()->file()};
  for (const auto* file : files) {
    for (int s = 0; s < file->service_count(); ++s) {
      const auto* service = file->service(s);
      for (int m = 0; m < service->method_count(); ++m) {
        const std::string& name = service->method(m)->name();
        Print(service->name() + "/" + name,
              Call(stub, "/" + service->full_name() + "/" + name, token));
      }
    }
  }
  Print("Health/Check", Call(stub, "/grpc.health.v1.Health/Check", token));
  return 0;
}

}  // namespace
}  // namespace kvrecall

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: call_methods ADDRESS CA_FILE [TOKEN]\n");
    return 2;
  }
  return kvrecall::Main(argv[1], argv[2], argc == 4 ? argv[3] : "");
}
