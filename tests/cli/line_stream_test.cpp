#include "cli/line_stream.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace rekindle::cli {

namespace {

std::vector<std::string> lines_of(const std::vector<std::string_view>& pieces) {
    LineSplitter splitter;
    std::vector<std::string> lines;
    for (const std::string_view piece : pieces) {
        const auto fed = splitter.feed(piece, [&](std::string_view line) -> Result<void> {
            lines.emplace_back(line);
            return {};
        });
        REQUIRE(fed);
    }
    return lines;
}

std::vector<std::string> events_of(const std::vector<std::string_view>& pieces) {
    SseParser parser;
    std::vector<std::string> events;
    for (const std::string_view piece : pieces) {
        const auto fed = parser.feed(piece, [&](const SseParser::Event& event) -> Result<void> {
            events.push_back(event.name + "|" + event.data);
            return {};
        });
        REQUIRE(fed);
    }
    return events;
}

}  // namespace

TEST_CASE("a stream cut at any byte has the same events") {
    const std::string_view stream =
        "\xEF\xBB\xBF: welcome\r\n"
        "data: {\"text\":\"h\xC3\xA9\"}\r\n\r\n"
        "event: error\rdata: a\rdata:b\r\r"
        "id: 7\ndata\n\ndata: [DONE]\n\n";
    const std::vector<std::string> expected{"|{\"text\":\"h\xC3\xA9\"}", "error|a\nb", "|",
                                            "|[DONE]"};

    CHECK(events_of({stream}) == expected);
    for (size_t cut = 0; cut <= stream.size(); ++cut) {
        CAPTURE(cut);
        CHECK(events_of({stream.substr(0, cut), stream.substr(cut)}) == expected);
    }
    std::vector<std::string_view> bytes;
    for (size_t i = 0; i < stream.size(); ++i) {
        bytes.push_back(stream.substr(i, 1));
    }
    CHECK(events_of(bytes) == expected);
}

TEST_CASE("an event without data is not an event") {
    CHECK(events_of({": ping\n\nevent: nothing\n\n"}).empty());
}

TEST_CASE("an event that was not ended by an empty line is not delivered") {
    CHECK(events_of({"data: half\n"}).empty());
}

TEST_CASE("lines end with LF, CR LF or CR") {
    CHECK(lines_of({"a\nb\r\nc\rd"}) == std::vector<std::string>{"a", "b", "c"});
    CHECK(lines_of({"a\r", "\nb\n"}) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("what follows the last line end is kept as the rest") {
    LineSplitter splitter;
    REQUIRE(splitter.feed("one\ntw", [](std::string_view) -> Result<void> { return {}; }));
    CHECK(splitter.rest() == "tw");
}

TEST_CASE("a line may be as long as the limit and no longer") {
    const auto ignore = [](std::string_view) -> Result<void> { return {}; };
    const std::string longest(kLineBytesMax, 'x');
    LineSplitter good;
    CHECK(good.feed(longest + "\n", ignore));

    LineSplitter bad;
    const auto fed = bad.feed(longest + "x\n", ignore);

    REQUIRE_FALSE(fed);
    CHECK(fed.error().code == ErrorCode::kTooLarge);
}

TEST_CASE("an event's data may be as long as the limit and no longer") {
    const auto ignore = [](const SseParser::Event&) -> Result<void> { return {}; };
    const std::string half = "data:" + std::string(kLineBytesMax / 2, 'x') + "\n";
    SseParser good;
    CHECK(good.feed(half + half, ignore));

    SseParser bad;
    const auto fed = bad.feed(half + half + "data:x\n", ignore);

    REQUIRE_FALSE(fed);
    CHECK(fed.error().code == ErrorCode::kTooLarge);
}

TEST_CASE("an error of the callback ends the feeding") {
    LineSplitter splitter;
    int calls = 0;
    const auto fed = splitter.feed("a\nb\n", [&](std::string_view) -> Result<void> {
        ++calls;
        return Error{ErrorCode::kIo, "full"};
    });
    REQUIRE_FALSE(fed);
    CHECK(fed.error().message == "full");
    CHECK(calls == 1);
}

}  // namespace rekindle::cli
