#pragma once

// Messages of calls that are taken and answered as bytes. Pure; thread-safe.

#include "grpcpp/impl/serialization_traits.h"
#include "grpcpp/support/byte_buffer.h"

// Of the generated code, which knows where this version of gRPC has the traits
// of messages.
#include "kvrecall/v1/run_service.grpc.pb.h"

namespace kvrecall {

template <typename Message>
grpc::ByteBuffer ToBytes(const Message& message) {
  grpc::ByteBuffer bytes;
  bool own_buffer = false;
  grpc::SerializationTraits<Message>::Serialize(message, &bytes, &own_buffer);
  return bytes;
}

// False: not such a message.
template <typename Message>
bool FromBytes(grpc::ByteBuffer bytes, Message* message) {
  return grpc::SerializationTraits<Message>::Deserialize(&bytes, message).ok();
}

}  // namespace kvrecall
