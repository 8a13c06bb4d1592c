#include "base/hash.h"
#include "base/unique_fd.h"
#include "daemon/import_model.h"
#include "daemon/importer.h"
#include "tests/formats/tiny_llama.h"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using rekindle::Error;
using rekindle::ErrorCode;
using rekindle::Result;
using rekindle::UniqueFd;
using rekindle::daemon::import_gguf;
using rekindle::daemon::ImporterOptions;
using rekindle::daemon::ImportOutcome;
using rekindle::daemon::run_importer;
using rekindle::test::GgufBuilder;
using rekindle::test::tiny_llama;

namespace {

UniqueFd file_of(std::span<const std::byte> bytes) {
    auto fd = rekindle::create_memory_file("model", bytes.size());
    REQUIRE(fd.ok());
    REQUIRE(::pwrite(fd->get(), bytes.data(), bytes.size(), 0) ==
            static_cast<ssize_t>(bytes.size()));
    return std::move(fd).value();
}

// A model of about 20 MiB: more than the pipe and the importer's buffers can hold.
std::vector<std::byte> large_model() {
    return tiny_llama({.layers = 2, .embedding = 256, .feed_forward = 3'072, .heads = 16}).build();
}

struct Import {
    std::string executable = REKINDLE_IMPORT_PROCESS;
    ImporterOptions options;
    std::vector<std::byte> space;
    uint64_t progress_total = 0;
    std::atomic<bool> cancelled{false};
    // Called with each chunk's offset.
    std::function<Result<void>(uint64_t)> on_chunk = [](uint64_t) -> Result<void> { return {}; };

    Result<ImportOutcome> run(UniqueFd source) {
        options.executable = executable;
        Result<ImportOutcome> outcome = run_importer(
            options, std::move(source),
            [this](uint64_t offset, std::span<const std::byte> plain, bool) -> Result<void> {
                CHECK(offset == space.size());
                space.insert(space.end(), plain.begin(), plain.end());
                return on_chunk(offset);
            },
            [this](uint64_t done, uint64_t total) {
                CHECK(done <= total);
                progress_total = total;
            },
            cancelled);
        // However it ended: no process is left.
        const bool childless = ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
        CHECK(childless);
        return outcome;
    }
};

Error lie(std::string how, std::chrono::milliseconds silence = std::chrono::seconds(60)) {
    how.resize(4096, '\0');
    Import import;
    import.executable = REKINDLE_IMPORT_LIAR;
    import.options.silence_max = silence;
    const Result<ImportOutcome> outcome = import.run(file_of(rekindle::as_bytes(how)));
    REQUIRE_FALSE(outcome);
    return outcome.error();
}

bool mentions(const Error& error, std::string_view what) {
    return error.message.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("a confined process makes the same image as the code alone") {
    const std::vector<std::byte> file = tiny_llama({.type = 8}).build();
    std::vector<std::byte> expected;
    const Result<std::string> index = import_gguf(
        file,
        [&expected](uint64_t, std::span<const std::byte> plain, bool) -> Result<void> {
            expected.insert(expected.end(), plain.begin(), plain.end());
            return {};
        },
        nullptr);
    REQUIRE(index.ok());

    Import import;
    const Result<ImportOutcome> outcome = import.run(file_of(file));

    REQUIRE_MESSAGE(outcome.ok(), outcome.error().message);
    CHECK(outcome->index_json == *index);
    CHECK(outcome->image_bytes == expected.size());
    CHECK(import.space == expected);
    CHECK(import.progress_total > 0);
}

TEST_CASE("the importer's own error comes back as it is") {
    Import import;
    const Result<ImportOutcome> no_model =
        import.run(file_of(rekindle::as_bytes("this is a text and surely no model file")));
    REQUIRE_FALSE(no_model);
    CHECK(no_model.error().code == ErrorCode::kCorrupt);
    CHECK(mentions(no_model.error(), "not a GGUF file"));

    std::vector<std::byte> cut = tiny_llama({}).build();
    cut.resize(cut.size() / 2);
    const Result<ImportOutcome> truncated = import.run(file_of(cut));
    REQUIRE_FALSE(truncated);
    CHECK(truncated.error().code == ErrorCode::kTruncated);
}

TEST_CASE("what is no regular file is refused without a process") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const UniqueFd write_end(ends[1]);
    Import import;
    import.executable = "/nonexistent";
    CHECK(import.run(UniqueFd(ends[0])).error().code == ErrorCode::kInvalidArgument);
    const auto folder = import.run(UniqueFd(::open("/", O_RDONLY | O_CLOEXEC)));
    CHECK(folder.error().code == ErrorCode::kInvalidArgument);
    CHECK(mentions(folder.error(), "folder"));
    CHECK(import.run(UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC))).error().code ==
          ErrorCode::kInvalidArgument);
    CHECK(import.run(file_of(std::vector<std::byte>(23))).error().code == ErrorCode::kTruncated);
    CHECK(import.run(file_of(std::vector<std::byte>(24))).error().code == ErrorCode::kNotFound);
}

TEST_CASE("a file that is cut while it is read is an error, not a crash") {
    const UniqueFd file = file_of(large_model());
    Import import;
    import.on_chunk = [&file](uint64_t) -> Result<void> {
        REQUIRE(::ftruncate(file.get(), 8192) == 0);
        return {};
    };
    const Result<ImportOutcome> outcome = import.run(file.duplicate().value());
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == ErrorCode::kTruncated);
    CHECK(mentions(outcome.error(), "became shorter while it was being read"));
}

TEST_CASE("a file that is written to while it is read is an error") {
    const UniqueFd file = file_of(large_model());
    Import import;
    import.on_chunk = [&file](uint64_t offset) -> Result<void> {
        const auto end = static_cast<off_t>(rekindle::file_bytes(file.get()).value());
        REQUIRE((offset > 0 || ::pwrite(file.get(), "xx", 2, end) == 2));
        return {};
    };
    const Result<ImportOutcome> outcome = import.run(file.duplicate().value());
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == ErrorCode::kConflict);
}

TEST_CASE("an import can be cancelled, and its sink can end it") {
    const std::vector<std::byte> model = large_model();
    Import cancelled;
    cancelled.on_chunk = [&cancelled](uint64_t) -> Result<void> {
        cancelled.cancelled = true;
        return {};
    };
    CHECK(cancelled.run(file_of(model)).error().code == ErrorCode::kCancelled);

    Import full;
    full.on_chunk = [](uint64_t offset) -> Result<void> {
        return offset == 0 ? Result<void>() : Error{ErrorCode::kNoSpace, "disk full"};
    };
    CHECK(full.run(file_of(model)).error().code == ErrorCode::kNoSpace);
}

#if defined(__has_feature)
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
TEST_CASE("an importer that needs more memory than it may have says so") {
    // A million strings take 64 MB once they are read, beside what the process needs to run.
    GgufBuilder builder = tiny_llama({});
    builder.remove("tokenizer.ggml.tokens")
        .add_strings("tokenizer.ggml.tokens",
                     std::vector<std::string>(1'000'000, std::string(24, 'x')));
    builder.remove_tensor("token_embd.weight");
    builder.add_tensor("token_embd.weight", {64, 1'000'000}, 2, std::vector<std::byte>(36'000'000));
    Import import;
    import.options.memory_bytes_max = 64 << 20;
    const Result<ImportOutcome> outcome = import.run(file_of(builder.build()));
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == ErrorCode::kResourceExhausted);
    CHECK(mentions(outcome.error(), "of memory"));
}
#endif
#endif

TEST_CASE("an importer that dies is reported with its signal") {
    for (const char* const how : {"crash", "crash_in_record"}) {
        const Error error = lie(how);
        CHECK(error.code == ErrorCode::kCorrupt);
        CHECK(mentions(error, "the importer died (killed by signal 11) while reading"));
    }
    CHECK(mentions(lie("exit"), "exited with 7"));
}

TEST_CASE("an importer that hangs is killed") {
    CHECK(lie("silence", std::chrono::milliseconds(100)).code == ErrorCode::kDeadline);
    CHECK(mentions(lie("close_and_hang", std::chrono::milliseconds(100)), "killed by signal 9"));
}

TEST_CASE("an importer that was taken over cannot send what no import makes") {
    CHECK(mentions(lie("hole"), "a chunk is at 8192, 4096 was next"));
    CHECK(mentions(lie("part_of_page"), "whole pages are expected"));
    CHECK(mentions(lie("unknown_kind"), "record kind 9 is not known"));
    CHECK(mentions(lie("huge_record"), "has 4294967295 bytes"));
    CHECK(mentions(lie("huge_image"), "are made of the source"));
    CHECK(mentions(lie("index_only"), "the index comes before any chunk"));
    CHECK(mentions(lie("two_indexes"), "after the last one"));
    CHECK(mentions(lie("progress_beyond"), "progress is 2 of 1"));
    CHECK(lie("error_with_escapes").message ==
          "a [31m\xef\xbf\xbd"
          "b");
}

TEST_CASE("chunks, progress and index of an honest importer arrive in order") {
    std::string how = "honest";
    how.resize(4096, '\0');
    Import import;
    import.executable = REKINDLE_IMPORT_LIAR;
    const Result<ImportOutcome> outcome = import.run(file_of(rekindle::as_bytes(how)));
    REQUIRE(outcome.ok());
    CHECK(outcome->index_json == "{\"bytes\":12288}");
    CHECK(outcome->image_bytes == 12288);
    CHECK(import.progress_total == 2);
}
