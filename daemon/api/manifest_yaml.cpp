#include "daemon/api/manifest_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <exception>
#include <sstream>

namespace rekindle::daemon::api {
namespace {

uint32_t line_of(const YAML::Mark& mark) {
    return mark.line < 0 ? 0 : static_cast<uint32_t>(mark.line) + 1;
}

// How a handler stops yaml-cpp, which calls it back and knows no other way.
struct Refused : std::exception {
    explicit Refused(Error why) : error(std::move(why)) {}

    Error error;
};

[[noreturn]] void refuse(const YAML::Mark& mark, std::string_view message) {
    throw Refused(
        Error{ErrorCode::kInvalidArgument, fmt::format("line {}: {}", line_of(mark), message)});
}

// Builds the tree from events; what the subset leaves out ends the parse.
class TreeBuilder final : public YAML::EventHandler {
public:
    void OnDocumentStart(const YAML::Mark& /*mark*/) override { stack_.emplace_back(); }

    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        check(mark, "", anchor);
        add(mark, NodeKind::kNull, "null");
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
        refuse(mark, "a YAML alias (*name) can't stand in a manifest: write the value out");
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        check(mark, tag, anchor);
        // yaml-cpp's own mark of a scalar that is not plain.
        add(mark, tag == "!" ? NodeKind::kText : NodeKind::kPlain, value);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value /*style*/) override {
        check(mark, tag, anchor);
        open(mark, NodeKind::kList);
    }

    void OnSequenceEnd() override { close(); }

    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value /*style*/) override {
        check(mark, tag, anchor);
        open(mark, NodeKind::kMap);
    }

    void OnMapEnd() override { close(); }

    ManifestNode take() { return std::move(stack_.front().node); }

private:
    // A map takes keys and values in turn; the document itself is a list of one.
    struct Open {
        ManifestNode node;
        bool value_next = false;
    };

    static void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        if (anchor != YAML::NullAnchor) {
            refuse(mark, "a YAML anchor (&name) can't stand in a manifest: write the value out");
        }
        if (!tag.empty() && tag != "?" && tag != "!") {
            refuse(mark, "a YAML tag (!name) can't stand in a manifest: leave it out");
        }
    }

    void add(const YAML::Mark& mark, NodeKind kind, const std::string& text) {
        ManifestNode node;
        node.kind = kind;
        node.text = text;
        node.line = line_of(mark);
        count(mark);
        attach(std::move(node));
    }

    void open(const YAML::Mark& mark, NodeKind kind) {
        const Open& parent = stack_.back();
        if (parent.node.kind == NodeKind::kMap && !parent.value_next) {
            refuse(mark, "a key must be a single word");
        }
        if (stack_.size() > kManifestDepthMax) {
            refuse(mark, fmt::format("nested deeper than {} levels", kManifestDepthMax));
        }
        count(mark);
        Open opened;
        opened.node.kind = kind;
        opened.node.line = line_of(mark);
        stack_.push_back(std::move(opened));
    }

    void close() {
        ManifestNode node = std::move(stack_.back().node);
        stack_.pop_back();
        attach(std::move(node));
    }

    void attach(ManifestNode node) {
        Open& parent = stack_.back();
        if (stack_.size() == 1) {
            parent.node = std::move(node);
        } else if (parent.node.kind == NodeKind::kList) {
            parent.node.elements.push_back(std::move(node));
        } else if (parent.value_next) {
            parent.node.members.back().value = std::move(node);
            parent.value_next = false;
        } else {
            parent.node.members.push_back({std::move(node), ManifestNode{}});
            parent.value_next = true;
        }
    }

    void count(const YAML::Mark& mark) {
        if (++nodes_ > kManifestNodesMax) {
            refuse(mark, fmt::format("more than {} values", kManifestNodesMax));
        }
    }

    std::vector<Open> stack_;  // The document first.
    size_t nodes_ = 0;
};

}  // namespace

Result<ManifestNode> parse_yaml_tree(std::string_view text) {
    std::istringstream stream{std::string(text)};
    TreeBuilder builder;
    try {
        YAML::Parser parser(stream);
        if (!parser.HandleNextDocument(builder)) {
            return Error{ErrorCode::kInvalidArgument,
                         "the manifest is empty: it needs `rekindle: 1`, a name and a model"};
        }
        ManifestNode root = builder.take();
        TreeBuilder further;
        if (parser.HandleNextDocument(further)) {
            return Error{ErrorCode::kInvalidArgument,
                         "the manifest holds more than one YAML document: keep one per file"};
        }
        return root;
    } catch (const Refused& refused) {
        return refused.error;
    } catch (const YAML::Exception& broken) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("line {}: {}", line_of(broken.mark), broken.msg)};
    }
}

}  // namespace rekindle::daemon::api
