#include "loader/remote/remote_image.h"

#include "base/hash.h"
#include "base/units.h"
#include "loader/chunk_codec.h"
#include "loader/remote/detail/workers.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <unordered_set>
#include <vector>

namespace rekindle::remote {
namespace {

constexpr uint64_t kNameRecordBytesMax = 256 * kKiB;  // A manifest has at most 64 KiB as it came.
constexpr std::string_view kDigestPrefix = "sha256:";
constexpr size_t kNameBytesMax = 63;
// Pulled bytes between two commits: what a crash can cost, against a sync each.
constexpr uint64_t kCommitBytes = 64 * kMiB;
// How often a pull begins again because somebody else's deploy took its chunks away.
constexpr int kRoundsMax = 4;

std::string image_key(const std::string& digest) {
    return "images/" + digest + ".json";
}

std::string chunk_key(const loader::ChunkId& id) {
    const std::string hex = id.hex();
    return fmt::format("chunks/{}/{}.zst", hex.substr(0, 2), hex);
}

bool is_name(std::string_view text) noexcept {
    return !text.empty() && text.size() <= kNameBytesMax && text.front() != '.' &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                      c == '-';
           });
}

std::string_view text_of(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint64_t bytes_of(const std::vector<loader::ImageChunk>& chunks) {
    uint64_t bytes = 0;
    for (const loader::ImageChunk& chunk : chunks) {
        bytes += chunk.bytes;
    }
    return bytes;
}

// The counts of a transfer, from several threads.
class Tally {
public:
    Tally(TransferReport report, uint64_t total, const OnTransfer& on_progress)
        : report_(std::move(report)), total_(total), on_progress_(on_progress) {}

    void there(uint64_t plain_bytes) { count(plain_bytes, 0, /*moved=*/false); }

    void moved(uint64_t plain_bytes, uint64_t wire_bytes) { count(plain_bytes, wire_bytes, true); }

    TransferReport report() const { return report_; }

private:
    void count(uint64_t plain_bytes, uint64_t wire_bytes, bool moved) {
        const std::lock_guard lock(mutex_);
        done_ = std::min(done_ + plain_bytes, total_);  // What had to be fetched twice counts once.
        report_.chunks_moved += moved ? 1 : 0;
        report_.bytes_moved += wire_bytes;
        on_progress_(done_, total_);
    }

    std::mutex mutex_;
    TransferReport report_;
    uint64_t done_ = 0;
    const uint64_t total_;
    const OnTransfer& on_progress_;
};

Result<void> push_chunk(const loader::ChunkStore& store, const loader::ImageChunk& chunk,
                        Objects& objects, Tally& tally) {
    const std::string key = chunk_key(chunk.id);
    const auto there = objects.exists(key);
    if (!there) {
        return there.error();
    }
    if (*there) {
        tally.there(chunk.bytes);
        return {};
    }
    const auto plain = store.read(chunk.id);
    if (!plain) {
        return plain.error();
    }
    const std::vector<std::byte> frame = loader::frame_chunk(plain->span());
    auto put = objects.put(key, frame);
    if (put) {
        tally.moved(chunk.bytes, frame.size());
    }
    return put;
}

// Stores what arrives, from several threads; commits now and then, so that a crash costs little.
class Arrivals {
public:
    explicit Arrivals(loader::ChunkStore& store) : store_(store) {}

    Result<void> store(const loader::ImageChunk& chunk, std::span<const std::byte> plain) {
        const auto put = store_.put(plain, chunk.codec == loader::ChunkCodec::kZstd);
        if (!put) {
            return put.error();
        }
        const std::lock_guard lock(mutex_);
        uncommitted_ += chunk.bytes;
        return uncommitted_ < kCommitBytes ? Result<void>() : commit();
    }

    Result<void> finish() {
        const std::lock_guard lock(mutex_);
        return commit();
    }

private:
    Result<void> commit() {
        uncommitted_ = 0;
        return store_.commit();
    }

    loader::ChunkStore& store_;
    std::mutex mutex_;
    uint64_t uncommitted_ = 0;
};

// One pull: rounds of looking for what is missing and fetching that.
class Pull {
public:
    Pull(loader::ChunkStore& store, const RemoteImage& image, const RemotePlace& place,
         std::vector<loader::ImageChunk> chunks)
        : store_(store), image_(image), place_(place), chunks_(std::move(chunks)) {}

    Result<TransferReport> run(TransferReport report, const OnTransfer& on_progress) {
        report.chunks = chunks_.size();
        Tally tally(std::move(report), bytes_of(chunks_), on_progress);
        std::vector<loader::ImageChunk> missing;
        for (const loader::ImageChunk& chunk : chunks_) {
            if (place_.cancelled && place_.cancelled()) {
                return Error{ErrorCode::kCancelled, "the transfer was cancelled"};
            }
            if (store_.locate(chunk.id).ok() && store_.read(chunk.id).ok()) {
                tally.there(chunk.bytes);
            } else {
                missing.push_back(chunk);
            }
        }
        Result<void> added = Error{ErrorCode::kInternal, "a pull without rounds"};
        for (int round = 0; round < kRoundsMax; ++round) {
            auto fetched = fetch(missing, tally);
            if (!fetched) {
                return std::move(fetched).error();
            }
            added = store_.add_image(image_.digest, image_.index_json);
            if (added || added.error().code != ErrorCode::kNotFound) {
                break;
            }
            missing = absent();  // Another deploy rolled back, or collected, in between.
        }
        return added ? Result<TransferReport>(tally.report()) : added.error();
    }

private:
    Result<void> fetch(const std::vector<loader::ImageChunk>& missing, Tally& tally) {
        Arrivals arrivals(store_);
        auto ran = run_parallel(place_, missing.size(), [&](Objects& objects, size_t item) {
            uint64_t wire_bytes = 0;
            auto plain = fetch_chunk(objects, missing[item], wire_bytes);
            if (!plain) {
                return Result<void>(std::move(plain).error());
            }
            auto stored = arrivals.store(missing[item], *plain);
            if (stored) {
                tally.moved(missing[item].bytes, wire_bytes);
            }
            return stored;
        });
        auto finished = arrivals.finish();  // Also after an error: the next pull goes on from here.
        return ran ? std::move(finished) : std::move(ran);
    }

    std::vector<loader::ImageChunk> absent() const {
        std::vector<loader::ImageChunk> out;
        std::copy_if(chunks_.begin(), chunks_.end(), std::back_inserter(out),
                     [this](const loader::ImageChunk& chunk) { return !store_.locate(chunk.id); });
        return out;
    }

    loader::ChunkStore& store_;
    const RemoteImage& image_;
    const RemotePlace& place_;
    const std::vector<loader::ImageChunk> chunks_;
};

Result<NameRecord> find_name(Objects& objects, const RemotePlace& place, std::string_view what) {
    if (what.starts_with(kDigestPrefix)) {
        const auto digest = parse_sha256(what.substr(kDigestPrefix.size()));
        if (!digest) {
            return Error{ErrorCode::kInvalidArgument,
                         "image: it must be a name, or sha256: and 64 hexadecimal digits"};
        }
        return NameRecord{.digest = to_hex(*digest), .manifest = {}};
    }
    if (!is_name(what)) {
        return Error{ErrorCode::kInvalidArgument,
                     "image: it must be a name of up to 63 of a-z 0-9 . _ -, or sha256:DIGEST"};
    }
    const auto text = objects.get(fmt::format("names/{}.json", what), kNameRecordBytesMax);
    if (!text && text.error().code == ErrorCode::kNotFound) {
        return Error{ErrorCode::kNotFound,
                     fmt::format("{} has no image named {}: check the address, or push it there",
                                 place.address, what)};
    }
    return text ? parse_name_record(text_of(*text)) : text.error();
}

}  // namespace

std::vector<loader::ImageChunk> different_chunks(const loader::ImageIndex& index) {
    std::vector<loader::ImageChunk> out;
    std::unordered_set<loader::ChunkId> seen;
    for (const loader::ImageChunk& chunk : index.chunks) {
        if (seen.insert(chunk.id).second) {
            out.push_back(chunk);
        }
    }
    return out;
}

Result<NameRecord> parse_name_record(std::string_view text) {
    constexpr JsonLimits kLimits{.depth_max = 12, .bytes_max = kNameRecordBytesMax};
    const auto corrupt = [](std::string_view reason) {
        return Error{ErrorCode::kCorrupt, fmt::format("name record: {}", reason)};
    };
    auto parsed = parse_json(text, kLimits);
    if (!parsed) {
        return corrupt(parsed.error().message);
    }
    const json::object* const root = parsed->if_object();
    const json::value* const version =
        root == nullptr ? nullptr : root->if_contains("rekindle_name");
    if (version == nullptr || !version->is_int64() || version->get_int64() != 1) {
        return corrupt("it must be an object with \"rekindle_name\": 1");
    }
    const auto image = get_string(*root, "image");
    const std::string named = image ? (*image).value_or("") : "";
    const auto digest = parse_sha256(named.starts_with(kDigestPrefix)
                                         ? std::string_view(named).substr(kDigestPrefix.size())
                                         : "");
    if (!digest) {
        return corrupt("\"image\" must be sha256: and 64 hexadecimal digits");
    }
    NameRecord record{.digest = to_hex(*digest), .manifest = {}};
    if (const json::value* const manifest = root->if_contains("manifest")) {
        if (!manifest->is_object()) {
            return corrupt("\"manifest\" must be an object");
        }
        record.manifest = manifest->get_object();
    }
    return record;
}

std::string name_record(const PushOrder& order) {
    json::object root{{"image", std::string(kDigestPrefix) + order.image}, {"rekindle_name", 1}};
    if (!order.manifest.empty()) {
        root["manifest"] = order.manifest;
    }
    return json::serialize(root) + "\n";
}

Result<TransferReport> push_image(const loader::ChunkStore& store, const PushOrder& order,
                                  const RemotePlace& place, const OnTransfer& on_progress) {
    if (!order.name.empty() && !is_name(order.name)) {
        return Error{ErrorCode::kInvalidArgument, "name: it must have up to 63 of a-z 0-9 . _ -"};
    }
    if (place.address.starts_with("http")) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("{}: a web server is only pulled from: push to s3:// or file://",
                                 place.address.substr(0, place.address.find('?')))};
    }
    const auto text = store.image_index(order.image);
    if (!text) {
        return text.error();
    }
    const auto index = loader::ImageIndex::parse(*text);
    if (!index) {
        return index.error();
    }
    auto objects = Objects::open(place);
    if (!objects) {
        return std::move(objects).error();
    }
    const auto chunks = different_chunks(*index);
    Tally tally({.image = order.image, .image_bytes = index->bytes, .chunks = chunks.size()},
                bytes_of(chunks), on_progress);
    const auto ran = run_parallel(place, chunks.size(), [&](Objects& own, size_t item) {
        return push_chunk(store, chunks[item], own, tally);
    });
    if (!ran) {
        return ran.error();
    }
    // In this order: a name leads to an index, an index to chunks that are there.
    auto written = (*objects)->put(image_key(order.image), as_bytes(*text));
    if (written && !order.name.empty()) {
        written = (*objects)->put("names/" + order.name + ".json", as_bytes(name_record(order)));
    }
    return written ? Result<TransferReport>(tally.report()) : written.error();
}

Result<RemoteImage> find_image(const RemotePlace& place, std::string_view what) {
    auto objects = Objects::open(place);
    if (!objects) {
        return std::move(objects).error();
    }
    auto named = find_name(**objects, place, what);
    if (!named) {
        return std::move(named).error();
    }
    const auto text = (*objects)->get(image_key(named->digest), loader::kImageIndexBytesMax);
    if (!text) {
        return text.error().with_context("image sha256:" + named->digest);
    }
    const auto digest = loader::image_digest(text_of(*text));
    if (!digest || *digest != named->digest) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("image sha256:{}: {} gave an index that is not this image's: push "
                                 "it again from a node that has it",
                                 named->digest, place.address)};
    }
    return RemoteImage{.digest = named->digest,
                       .index_json = std::string(text_of(*text)),
                       .manifest = std::move(named->manifest)};
}

Result<std::vector<std::byte>> fetch_chunk(Objects& objects, const loader::ImageChunk& chunk,
                                           uint64_t& wire_bytes) {
    const auto frame = objects.get(chunk_key(chunk.id), loader::kChunkFrameBytesMax);
    if (!frame) {
        return frame.error();
    }
    std::vector<std::byte> plain(chunk.bytes);
    const auto filled = loader::decompress_chunk(*frame, plain);
    if (!filled || sha256(plain) != chunk.id.digest) {
        return Error{
            ErrorCode::kCorrupt,
            fmt::format("chunk {}: what the remote place gave is not it{}: remove the "
                        "object there and push the image again from a node that has it",
                        chunk.id.hex(), filled ? "" : " (" + filled.error().message + ")")};
    }
    wire_bytes = frame->size();
    return plain;
}

Result<TransferReport> pull_image(loader::ChunkStore& store, const RemoteImage& image,
                                  const RemotePlace& place, const OnTransfer& on_progress) {
    auto index = loader::ImageIndex::parse(image.index_json);
    if (!index) {
        return std::move(index).with_context("image sha256:" + image.digest).error();
    }
    Pull pull(store, image, place, different_chunks(*index));
    return pull.run({.image = image.digest, .image_bytes = index->bytes}, on_progress);
}

}  // namespace rekindle::remote
