// A quantity has one name: in the API, the database, the JSON lines and
// common/METRICS.md. What is added in one place only fails here.

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <variant>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "client/export/json_lines.h"
#include "common/records_db/schema.h"
#include "kvrecall/v1/records.pb.h"
#include "tests/client/fake_server.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using Names = std::set<std::string>;

// Of the fields that are quantities, not messages of them.
Names FieldsOf(const Descriptor* message) {
  Names names;
  for (int i = 0; i < message->field_count(); ++i) {
    const FieldDescriptor* field = message->field(i);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      names.insert(field->name());
    }
  }
  return names;
}

Names Without(Names names, const Names& others) {
  for (const std::string& name : others) {
    EXPECT_EQ(names.erase(name), 1u) << name << " is not there";
  }
  return names;
}

Names KeysOf(const json& object) {
  Names names;
  for (const auto& item : object.items()) names.insert(item.key());
  return names;
}

class NamesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto database = OpenForWriting(dir_.File("runs.db"), {});
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);

    FakeScript script = MakeScript(1, 1);
    AddGaps(&script);
    std::stringstream lines;
    JsonLinesWriter writer(lines, script.run, {});
    for (const Event& event : script.events) {
      ASSERT_TRUE(writer.Add(event).ok());
    }
    ASSERT_TRUE(writer.Finish().ok());
    for (std::string line; std::getline(lines, line);) {
      const json object = json::parse(line);
      if (object["type"] == "sample") sample_ = object;
      if (object["type"] == "step") step_ = object;
    }
  }

  // Of a table or view.
  Names ColumnsOf(const std::string& table) {
    Names names;
    auto row = database_->Prepare("SELECT name FROM pragma_table_info(?1)");
    EXPECT_TRUE(row.ok() && row->Bind(table).ok());
    while (row->Step().value()) names.emplace(row->Text(0));
    return names;
  }

  static void ExpectDocumented(const Names& names) {
    std::ostringstream metrics;
    metrics << std::ifstream("common/METRICS.md").rdbuf();
    for (const std::string& name : names) {
      EXPECT_THAT(metrics.str(), HasSubstr("`" + name + "`"));
    }
  }

  TempDir dir_;
  std::unique_ptr<Database> database_;
  json sample_;
  json step_;
};

TEST_F(NamesTest, OfAStep) {
  const Names names = FieldsOf(v1::StepRecord::descriptor());
  EXPECT_THAT(names, Contains("attention_entropy_std"));
  EXPECT_EQ(
      Without(ColumnsOf("steps"), {"run", "sequence", "sample", "attempt"}),
      names);
  EXPECT_EQ(Without(KeysOf(step_), {"type", "sample_id", "recalls", "gaps"}),
            names);
  ExpectDocumented(names);
  ExpectDocumented({"recalls", "gaps"});
}

TEST_F(NamesTest, OfARecall) {
  const Names names = FieldsOf(v1::RecallRecord::descriptor());
  EXPECT_THAT(names, Contains("recall_without_free_hits"));
  EXPECT_EQ(Without(ColumnsOf("step_recalls"), {"run", "sequence", "lane"}),
            names);
  EXPECT_EQ(Without(KeysOf(step_["recalls"][0]), {"policy", "scope", "budget"}),
            names);
  ExpectDocumented(names);
  for (const std::string& name : Without(names, {"layer_recalls"})) {
    EXPECT_THAT(ColumnsOf("recalls"), Contains(name));
  }
}

TEST_F(NamesTest, OfAGap) {
  const Names names = FieldsOf(v1::GapRecord::descriptor());
  EXPECT_THAT(names, Contains("top1_agrees"));
  EXPECT_EQ(Without(ColumnsOf("step_gaps"), {"run", "sequence", "gap"}), names);
  EXPECT_EQ(Without(KeysOf(step_["gaps"][0]), {"lane"}), names);
  ExpectDocumented(names);
  for (const std::string& name : Without(names, {"token_id"})) {
    EXPECT_THAT(ColumnsOf("gaps"), Contains(name));
  }
}

TEST_F(NamesTest, OfAFinishedSample) {
  const Names names = FieldsOf(v1::SampleFinished::descriptor());
  EXPECT_THAT(names, Contains("gap_scores"));
  for (const std::string& name : names) {
    EXPECT_THAT(ColumnsOf("samples"), Contains(name));
    EXPECT_THAT(KeysOf(sample_), Contains(name));
  }
  ExpectDocumented(names);
}

}  // namespace
}  // namespace kvrecall
