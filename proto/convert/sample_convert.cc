#include "proto/convert/sample_convert.h"

namespace kvrecall {

v1::Sample ToProto(const Sample& sample) {
  v1::Sample message;
  message.set_sample_id(sample.id);
  message.set_input(sample.input);
  message.set_context(sample.context);
  for (const auto& answer : sample.answers) message.add_answers(answer);
  message.set_dataset(sample.dataset);
  message.set_language(sample.language);
  message.set_length(sample.length);
  for (const auto& name : sample.all_classes) message.add_all_classes(name);
  if (sample.forced_text) message.set_forced_text(*sample.forced_text);
  for (const auto& [name, value] : sample.fields)
    (*message.mutable_fields())[name] = value;
  for (const ChatMessage& from : sample.messages) {
    v1::ChatMessage* to = message.add_messages();
    to->set_role(from.role);
    to->set_content(from.content);
  }
  message.set_ordinal(sample.ordinal);
  return message;
}

Sample FromProto(const v1::Sample& message) {
  Sample sample;
  sample.id = message.sample_id();
  sample.input = message.input();
  sample.context = message.context();
  sample.answers.assign(message.answers().begin(), message.answers().end());
  sample.dataset = message.dataset();
  sample.language = message.language();
  sample.length = message.length();
  sample.all_classes.assign(message.all_classes().begin(),
                            message.all_classes().end());
  if (message.has_forced_text()) sample.forced_text = message.forced_text();
  sample.fields.insert(message.fields().begin(), message.fields().end());
  for (const v1::ChatMessage& from : message.messages())
    sample.messages.push_back({from.role(), from.content()});
  sample.ordinal = message.ordinal();
  return sample;
}

}  // namespace kvrecall
