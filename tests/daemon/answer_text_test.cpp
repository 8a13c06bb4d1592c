#include "daemon/answer_text.h"

#include <doctest/doctest.h>

using rekindle::daemon::AnswerText;

TEST_CASE("text without stop strings passes through at once") {
    AnswerText text({});
    CHECK(text.append("Hello") == "Hello");
    CHECK(text.append(" world") == " world");
    CHECK(text.flush().empty());
}

TEST_CASE("a code point that is split over tokens is given out whole") {
    AnswerText text({});
    CHECK(text.append("\xF0\x9F").empty());
    CHECK(text.append("\x98").empty());
    CHECK(text.append("\x80!") == "\xF0\x9F\x98\x80!");
}

TEST_CASE("an unfinished code point becomes one replacement character at the end") {
    AnswerText text({});
    CHECK(text.append("a\xE2\x82") == "a");
    CHECK(text.flush() == "\xEF\xBF\xBD");
}

TEST_CASE("bytes that can never be UTF-8 are replaced, not held back") {
    AnswerText text({});
    CHECK(text.append("a\xFF"
                      "b") ==
          "a\xEF\xBF\xBD"
          "b");
}

TEST_CASE("a stop string ends the answer before itself, also across tokens") {
    AnswerText text({"END"});
    CHECK(text.append("one E") == "one ");
    CHECK(text.append("N").empty());
    CHECK(text.append("D two").empty());
    CHECK(text.matched() == "END");
    CHECK(text.append("more").empty());
    CHECK(text.flush().empty());
}

TEST_CASE("what only looked like a stop string is given out") {
    AnswerText text({"END"});
    CHECK(text.append("EN").empty());
    CHECK(text.append("E") == "EN");
    CHECK(text.flush() == "E");
    CHECK(text.matched().empty());
}

TEST_CASE("of several stop strings the one that stands first in the text counts") {
    AnswerText text({"b", "ab"});
    CHECK(text.append("xab") == "x");
    CHECK(text.matched() == "ab");
}
