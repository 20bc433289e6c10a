#include "cli/command_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dsbench::cli {
namespace {

using testing::ElementsAre;

TEST(CommandWords, as_a_shell_takes_them_apart) {
  EXPECT_THAT(*split_words("load --traffic 'hold(4/s, 60s)'  --seed=3"),
              ElementsAre("load", "--traffic", "hold(4/s, 60s)", "--seed=3"));
  EXPECT_THAT(*split_words(R"(a "b 'c' \"d\" \n" e\ f 'g\h' "")"),
              ElementsAre("a", R"(b 'c' "d" \n)", "e f", R"(g\h)", ""));
  EXPECT_THAT(*split_words("one'two'\"three\" $HOME *"), ElementsAre("onetwothree", "$HOME", "*"))
      << "nothing is expanded";
  EXPECT_THAT(*split_words(" \t\n"), ElementsAre());
}

TEST(CommandWords, an_open_quote_is_refused) {
  EXPECT_EQ(split_words("load 'x").error().message,
            "the command \"load 'x\" opens a ' that it does not close");
  EXPECT_EQ(split_words("load \"x'").error().message,
            "the command \"load \"x'\" opens a \" that it does not close");
  EXPECT_EQ(split_words("'").error().kind, ErrorKind::usage);
}

}  // namespace
}  // namespace dsbench::cli
