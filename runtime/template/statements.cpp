#include "runtime/template/interpreter.h"
#include "runtime/template/operations.h"

#include <algorithm>
#include <utility>

namespace rekindle::runtime::jinja {
namespace {

constexpr uint32_t kLevelsPerFrame = 8;

}  // namespace

Interpreter::Level::Level(Interpreter& interpreter, bool frame)
    : interpreter_(interpreter), frame_(frame) {
    Interpreter& i = interpreter_;
    const uint64_t depth_max = i.state_.limits().depth_max;
    ++i.levels_;
    i.frames_ += frame_ ? 1U : 0U;
    ok_ = i.state_.step();
    if (ok_ && (i.levels_ > depth_max * kLevelsPerFrame || i.frames_ > depth_max)) {
        i.state_.fail(ErrorCode::kTooLarge, "calls, loops and expressions are nested deeper than " +
                                                std::to_string(depth_max));
        ok_ = false;
    }
}

Interpreter::Level::~Level() {
    --interpreter_.levels_;
    interpreter_.frames_ -= frame_ ? 1U : 0U;
}

Interpreter::Interpreter(const TableView& table, const json::object& variables, RunState& state)
    : table_(table), variables_(variables), state_(state) {
    for (uint32_t i = 0; i < table_.strings.size(); ++i) {
        if (table_.string(i) == "loop") {
            loop_name_ = i;
        }
    }
}

std::string Interpreter::run() {
    global_ = new_scope(nullptr);
    scope_ = global_;
    if (global_ != nullptr) {
        execute(table_.root);
    }
    return std::move(output_);
}

Scope* Interpreter::new_scope(Scope* parent) {
    return state_.make(Scope{parent, std::pmr::vector<Variable>(state_.arena())});
}

void Interpreter::set(Scope& scope, uint32_t name, const Value& value) {
    for (Variable& variable : scope.variables) {
        if (variable.name == name) {
            variable.value = value;
            return;
        }
    }
    scope.variables.push_back({name, value});
}

const Value* Interpreter::find(uint32_t name) const noexcept {
    for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
        for (const Variable& variable : scope->variables) {
            if (variable.name == name) {
                return &variable.value;
            }
        }
    }
    return nullptr;
}

void Interpreter::write(const Value& value) {
    append_str(state_, output_, value);
}

Interpreter::Flow Interpreter::execute(uint32_t number) {
    const Node& node = table_.nodes[number];
    const Level level(*this, false);
    if (!level) {
        return Flow::kNext;
    }
    state_.set_line(node.line);
    switch (node.kind) {
        case NodeKind::kText:
            write(Value::text(table_.string(node.operands[0])));
            return Flow::kNext;
        case NodeKind::kOutput:
            write(evaluate(node.operands[0]));
            return Flow::kNext;
        case NodeKind::kBlock:
            return execute_block(node);
        case NodeKind::kIf:
            return execute_if(node);
        case NodeKind::kFor:
            return execute_for(node);
        case NodeKind::kSet:
            assign(table_.list(node.operands[0]), evaluate(node.operands[1]));
            return Flow::kNext;
        case NodeKind::kSetAttribute:
            execute_set_attribute(node);
            return Flow::kNext;
        case NodeKind::kSetBlock:
            execute_set_block(node);
            return Flow::kNext;
        case NodeKind::kMacro:
            define_macro(number);
            return Flow::kNext;
        case NodeKind::kScope:
            return execute_in_scope(node.operands[0]);
        case NodeKind::kBreak:
            return Flow::kBreak;
        case NodeKind::kContinue:
            return Flow::kContinue;
        default:
            state_.fail(ErrorCode::kCorrupt, "an expression stands where a statement must");
            return Flow::kNext;
    }
}

Interpreter::Flow Interpreter::execute_block(const Node& node) {
    for (const uint32_t statement : table_.list(node.operands[0])) {
        const Flow flow = execute(statement);
        if (flow != Flow::kNext || state_.failed()) {
            return flow;
        }
    }
    return Flow::kNext;
}

Interpreter::Flow Interpreter::execute_if(const Node& node) {
    const std::span<const uint32_t> conditions = table_.list(node.operands[0]);
    for (size_t i = 0; i < conditions.size(); ++i) {
        const bool taken = evaluate(conditions[i]).truthy();
        if (state_.failed()) {
            return Flow::kNext;
        }
        if (taken) {
            return execute(table_.list(node.operands[1])[i]);
        }
    }
    return node.operands[2] == kNone ? Flow::kNext : execute(node.operands[2]);
}

Interpreter::Flow Interpreter::execute_in_scope(uint32_t block) {
    Scope* const outer = scope_;
    Scope* const inner = new_scope(outer);
    if (inner == nullptr) {
        return Flow::kNext;
    }
    scope_ = inner;
    const Flow flow = execute(block);
    scope_ = outer;
    return flow;
}

std::string Interpreter::captured_output(uint32_t block) {
    std::string outer = std::exchange(output_, {});
    execute_in_scope(block);
    return std::exchange(output_, std::move(outer));
}

void Interpreter::execute_set_block(const Node& node) {
    const std::string output = captured_output(node.operands[1]);
    set(*scope_, node.operands[0], state_.text(output));
}

void Interpreter::execute_set_attribute(const Node& node) {
    const Value object = evaluate_name(node.operands[0]);
    const Value value = evaluate(node.operands[2]);
    if (object.kind != Kind::kNamespace) {
        state_.bad_argument("only a namespace's attributes can be set; '" +
                            std::string(table_.string(node.operands[0])) + "' is a " +
                            std::string(type_name(object)));
        return;
    }
    const std::string_view name = table_.string(node.operands[1]);
    for (Entry& entry : object.space->attributes) {
        if (entry.key == name) {
            entry.value = value;
            return;
        }
    }
    object.space->attributes.push_back({name, value});
}

void Interpreter::define_macro(uint32_t number) {
    const MacroValue* macro = state_.make(MacroValue{number, scope_});
    if (macro == nullptr) {
        return;
    }
    scope_->captured = true;
    Value value;
    value.kind = Kind::kMacro;
    value.macro = macro;
    set(*scope_, table_.nodes[number].operands[0], value);
}

void Interpreter::assign(std::span<const uint32_t> names, const Value& value) {
    if (names.size() == 1) {
        set(*scope_, names[0], value);
        return;
    }
    const std::span<const Value> parts = iterate(state_, value);
    if (!state_.failed() && parts.size() != names.size()) {
        state_.bad_argument(std::to_string(parts.size()) + " values cannot be given to " +
                            std::to_string(names.size()) + " names");
    }
    for (size_t i = 0; i < names.size() && !state_.failed(); ++i) {
        set(*scope_, names[i], parts[i]);
    }
}

std::vector<Value> Interpreter::filtered_items(const Node& node, std::span<const Value> items) {
    std::vector<Value> kept;
    Scope* const outer = scope_;
    Scope* const inner = new_scope(outer);
    if (inner == nullptr) {
        return kept;
    }
    scope_ = inner;
    for (const Value& item : items) {
        assign(table_.list(node.operands[0]), item);
        const bool keep = evaluate(node.operands[2]).truthy();
        if (state_.failed()) {
            break;
        }
        if (keep) {
            kept.push_back(item);
        }
    }
    scope_ = outer;
    return kept;
}

Interpreter::Flow Interpreter::execute_for(const Node& node) {
    const Level level(*this, true);
    const Value iterable = level ? evaluate(node.operands[1]) : Value{};
    std::span<const Value> items = iterate(state_, iterable);
    if (node.operands[2] != kNone && !state_.failed()) {
        const Value kept = state_.list(filtered_items(node, items));
        items = kept.is_sequence() ? kept.items() : std::span<const Value>{};
    }
    if (state_.failed()) {
        return Flow::kNext;
    }
    if (items.empty()) {
        return node.operands[4] == kNone ? Flow::kNext : execute_in_scope(node.operands[4]);
    }
    Scope* const outer = scope_;
    const Flow flow = execute_loop(node, items);
    scope_ = outer;
    return flow;
}

Interpreter::Flow Interpreter::execute_loop(const Node& node, std::span<const Value> items) {
    LoopState* const loop = state_.make(LoopState{items, 0});
    Scope* const outer = scope_;
    scope_ = new_scope(outer);
    Value loop_value;
    loop_value.kind = Kind::kLoop;
    loop_value.loop = loop;
    for (size_t i = 0; i < items.size() && state_.step(); ++i) {
        if (scope_->captured) {
            scope_ = new_scope(outer);
        }
        if (state_.failed()) {
            break;
        }
        scope_->variables.clear();
        loop->index = i;
        if (loop_name_ != kNone) {
            set(*scope_, loop_name_, loop_value);
        }
        assign(table_.list(node.operands[0]), items[i]);
        if (!state_.failed() && execute(node.operands[3]) == Flow::kBreak) {
            break;
        }
    }
    return Flow::kNext;
}

}  // namespace rekindle::runtime::jinja
