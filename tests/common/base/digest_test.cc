#include "common/base/digest.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

// FIPS 180-2, appendix B.1.
TEST(Sha256Test, MatchesThePublishedVector) {
  EXPECT_EQ(Sha256Hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256Test, AddInPiecesEqualsAddAtOnce) {
  Sha256 hash;
  hash.Add("a");
  hash.Add("bc");
  EXPECT_EQ(hash.HexDigest(), Sha256Hex("abc"));
}

TEST(Sha256Test, AFieldInPiecesEqualsTheFieldAtOnce) {
  Sha256 pieces, whole;
  pieces.BeginField(3);
  pieces.Add("a");
  pieces.Add("bc");
  whole.AddField("abc");
  EXPECT_EQ(pieces.HexDigest(), whole.HexDigest());
}

TEST(Sha256Test, FieldsDoNotRunTogether) {
  Sha256 a, b;
  a.AddField("ab");
  a.AddField("c");
  b.AddField("a");
  b.AddField("bc");
  EXPECT_NE(a.HexDigest(), b.HexDigest());
}

}  // namespace
}  // namespace kvrecall
