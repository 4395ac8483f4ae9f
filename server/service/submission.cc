#include "server/service/submission.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "grpcpp/support/proto_buffer_reader.h"

#include "proto/convert/field.h"
#include "server/service/raw_message.h"
#include "server/service/validate.h"

namespace kvrecall {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

constexpr uint32_t kSampleTag = v1::SubmitSamplesRequest::kSamplesFieldNumber
                                    << 3 |
                                WireFormatLite::WIRETYPE_LENGTH_DELIMITED;

// The fields up to the stream's end or limit, one level deep; -1: malformed.
int64_t CountFields(CodedInputStream& in) {
  int64_t fields = 0;
  while (const uint32_t tag = in.ReadTag()) {
    ++fields;
    if (!WireFormatLite::SkipField(&in, tag)) return -1;
  }
  return in.ConsumedEntireMessage() ? fields : -1;
}

// Entries of all samples, as far as it matters; -1: malformed.
int64_t CountEntries(CodedInputStream& in) {
  int64_t entries = 0;
  while (const uint32_t tag = in.ReadTag()) {
    if (++entries > kMaxEntriesPerCall) return entries;
    if (tag != kSampleTag) {
      if (!WireFormatLite::SkipField(&in, tag)) return -1;
      continue;
    }
    int length = 0;
    if (!in.ReadVarintSizeAsInt(&length)) return -1;
    const auto outer = in.PushLimit(length);
    const int64_t fields = CountFields(in);
    if (fields < 0 || in.BytesUntilLimit() != 0) return -1;
    in.PopLimit(outer);
    entries += fields;
  }
  return in.ConsumedEntireMessage() ? entries : -1;
}

absl::Status Malformed() {
  return absl::InvalidArgumentError("the request is no SubmitSamplesRequest");
}

}  // namespace

absl::Status ReadSubmission(const grpc::ByteBuffer& bytes,
                            v1::SubmitSamplesRequest* request) {
  // A copy shares the bytes.
  grpc::ByteBuffer counted = bytes;
  grpc::ProtoBufferReader counted_stream(&counted);
  CodedInputStream in(&counted_stream);
  const int64_t entries = CountEntries(in);
  if (entries < 0) return Malformed();
  if (entries > kMaxEntriesPerCall)
    return FieldError(
        "samples",
        absl::StrCat("have more than ", kMaxEntriesPerCall,
                     " entries, those of their lists counted; at most ",
                     kMaxSamplesPerCall, " samples a call"));
  return FromBytes(bytes, request) ? absl::OkStatus() : Malformed();
}

}  // namespace kvrecall
