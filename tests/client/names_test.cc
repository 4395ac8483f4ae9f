// A quantity has one name: in the API, the database, the JSON lines and
// common/METRICS.md; and that page has every policy, parameter and trigger as
// the catalog has it. What is added in one place only fails here.

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "client/export/json_lines.h"
#include "common/record/policy_catalog.h"
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
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::StartsWith;
using testing::UnorderedElementsAreArray;
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
  EXPECT_EQ(
      Without(ColumnsOf("step_recalls"), {"run", "sequence", "lane", "lost"}),
      names);
  EXPECT_EQ(Without(KeysOf(step_["recalls"][0]),
                    {"policy", "scope", "budget", "lost"}),
            names);
  ExpectDocumented(names);
  for (const std::string& name : Without(names, {"layer_recalls"})) {
    EXPECT_THAT(ColumnsOf("recalls"), Contains(name));
  }
}

TEST_F(NamesTest, OfALostPosition) {
  const Names names = FieldsOf(v1::LostPosition::descriptor());
  EXPECT_THAT(names, Contains("weight"));
  ASSERT_FALSE(step_["recalls"][0]["lost"].empty());
  EXPECT_EQ(KeysOf(step_["recalls"][0]["lost"][0]), names);
  EXPECT_THAT(ColumnsOf("recalls"), Contains("lost"));
  ExpectDocumented(names);
  ExpectDocumented({"lost"});
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

TEST_F(NamesTest, OfAStartedSample) {
  const Names names = FieldsOf(v1::SampleStarted::descriptor());
  EXPECT_THAT(names, Contains("raw_prompt_tokens"));
  for (const std::string& name : names) {
    EXPECT_THAT(ColumnsOf("samples"), Contains(name));
    EXPECT_THAT(KeysOf(sample_), Contains(name));
  }
  ExpectDocumented(names);
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

// The rows of the tables in common/METRICS.md whose first column is headed
// `head`: cells without the spaces around.
std::vector<std::vector<std::string>> TableRows(const std::string& head) {
  std::ifstream page("common/METRICS.md");
  std::vector<std::vector<std::string>> rows;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("| ")) {
      // A line of dashes goes with the head above it.
      inside = inside && line.starts_with("|-");
      continue;
    }
    std::vector<std::string> cells = absl::StrSplit(line, " | ");
    cells.front() = cells.front().substr(2);
    for (std::string& cell : cells) {
      absl::StripTrailingAsciiWhitespace(&cell);
      if (cell.ends_with(" |")) cell.resize(cell.size() - 2);
    }
    if (inside) {
      rows.push_back(std::move(cells));
    } else {
      inside = cells.front() == head;
    }
  }
  return rows;
}

std::string Quoted(std::string_view name) {
  return absl::StrCat("`", std::string(name), "`");
}

// "whole, 1 … 1048576".
std::string Range(const PolicyParameter& parameter) {
  const char* rule = parameter.rule == NumberRule::kAny     ? ""
                     : parameter.rule == NumberRule::kWhole ? "whole, "
                                                            : "odd, ";
  return absl::StrCat(rule, NumberText(parameter.least), " … ",
                      NumberText(parameter.most));
}

// That a cell is `begin`, and perhaps more behind a comma or semicolon.
void ExpectBegins(const std::string& cell, const std::string& begin) {
  EXPECT_THAT(cell, StartsWith(begin));
  const std::string rest = cell.substr(std::min(begin.size(), cell.size()));
  EXPECT_TRUE(rest.empty() || rest[0] == ',' || rest[0] == ';')
      << cell << " instead of " << begin;
}

TEST(CatalogNamesTest, EveryPolicyIsDocumentedWithItsDefaults) {
  std::vector<std::string> documented, there;
  for (const auto& row : TableRows("name")) documented.push_back(row[0]);
  for (const PolicyEntry& policy : AllPolicies()) {
    const auto spec = CompletePolicySpec({std::string(policy.name), {}});
    ASSERT_TRUE(spec.ok()) << spec.status();
    there.push_back(Quoted(spec->ToString()));
  }
  EXPECT_THAT(documented, ElementsAreArray(there));
}

// By parameter, the policies that take it, and default.
TEST(CatalogNamesTest, EveryParameterIsDocumentedWithItsRange) {
  std::vector<std::string> documented, there;
  for (const auto& row : TableRows("parameter")) {
    ASSERT_EQ(row.size(), 4u) << row[0];
    const std::vector<std::string> policies = absl::StrSplit(row[1], ", ");
    for (const std::string& policy : policies) {
      documented.push_back(absl::StrCat(row[0], " of ", policy, ": ", row[2]));
      for (const PolicyEntry& entry : AllPolicies())
        for (const PolicyParameter& parameter : entry.parameters)
          if (Quoted(entry.name) == policy && Quoted(parameter.name) == row[0])
            ExpectBegins(row[3], Range(parameter));
    }
  }
  for (const PolicyEntry& entry : AllPolicies())
    for (const PolicyParameter& parameter : entry.parameters)
      there.push_back(absl::StrCat(Quoted(parameter.name), " of ",
                                   Quoted(entry.name), ": ",
                                   NumberText(parameter.fallback)));
  EXPECT_THAT(documented, UnorderedElementsAreArray(there));
}

TEST(CatalogNamesTest, EveryTriggerIsDocumentedWithItsRange) {
  const auto rows = TableRows("trigger");
  ASSERT_EQ(rows.size(), AllTriggers().size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const TriggerEntry& trigger = AllTriggers()[i];
    EXPECT_THAT(rows[i][0],
                StartsWith(absl::StrCat("`@", std::string(trigger.name), "(")));
    EXPECT_EQ(rows[i].back(), absl::StrCat(std::string(trigger.value.name),
                                           ", ", Range(trigger.value)));
  }
}

}  // namespace
}  // namespace kvrecall
