// Runs a compiled template: walks its nodes, keeps its variables, collects its output. Recursion is
// bounded by TemplateLimits::depth_max: that many macro calls and loops, and eight nodes for each.
// Threading: one thread, one render. Lifetime: table, variables and state outlive it.
#pragma once
#include "base/json.h"
#include "runtime/template/builtins.h"
#include "runtime/template/run_state.h"
#include "runtime/template/table.h"

#include <string>
#include <vector>

namespace rekindle::runtime::jinja {

struct Variable {
    uint32_t name;  // String number.
    Value value;
};

struct Scope {
    Scope* parent;
    std::pmr::vector<Variable> variables;
    bool captured = false;  // A macro that was defined here may still look into it.
};

struct MacroValue {
    uint32_t node;
    Scope* closure;
};

class Interpreter {
public:
    Interpreter(const TableView& table, const json::object& variables, RunState& state);

    // The output; meaningless once the state has failed.
    std::string run();

private:
    enum class Flow : uint8_t { kNext, kBreak, kContinue };
    class Level;  // One level of recursion while it lives.

    // Statements (statements.cpp).
    Flow execute(uint32_t number);
    Flow execute_block(const Node& node);
    Flow execute_if(const Node& node);
    Flow execute_for(const Node& node);
    Flow execute_loop(const Node& node, std::span<const Value> items);
    void execute_set_attribute(const Node& node);
    void execute_set_block(const Node& node);
    void define_macro(uint32_t number);
    std::vector<Value> filtered_items(const Node& node, std::span<const Value> items);
    void assign(std::span<const uint32_t> names, const Value& value);
    void write(const Value& value);
    // Executes a block in a new scope; its output goes to the result instead.
    std::string captured_output(uint32_t block);
    Flow execute_in_scope(uint32_t block);

    // Expressions (expressions.cpp).
    Value evaluate(uint32_t number);
    Value evaluate_plain(const Node& node);
    Value evaluate_operator(const Node& node);
    Value evaluate_invocation(const Node& node);
    Value evaluate_name(uint32_t name);
    Value evaluate_dict(const Node& node);
    Value evaluate_logic(const Node& node);
    Value evaluate_concat(const Node& node);
    Value evaluate_add(const Node& node);
    Value evaluate_compare(const Node& node);
    Value evaluate_conditional(const Node& node);
    Value evaluate_slice(const Node& node);
    Value evaluate_method_call(const Node& node, const Arguments& arguments);
    std::vector<Value> evaluate_all(uint32_t list);
    Value call(const Value& callee, const Arguments& arguments);
    Value call_macro(const MacroValue& macro, const Arguments& arguments);
    bool bind_parameters(const Node& macro, const Arguments& arguments);

    // Variables.
    Scope* new_scope(Scope* parent);
    void set(Scope& scope, uint32_t name, const Value& value);
    const Value* find(uint32_t name) const noexcept;

    const TableView& table_;
    const json::object& variables_;
    RunState& state_;
    Scope* global_ = nullptr;
    Scope* scope_ = nullptr;
    std::string output_;
    uint32_t loop_name_ = kNone;  // The string number of "loop", if the template speaks of it.
    uint32_t levels_ = 0;         // Nodes.
    uint32_t frames_ = 0;         // Macro calls and loops.
};

// One level of nodes, or with `frame` of calls and loops too.
class Interpreter::Level {
public:
    Level(Interpreter& interpreter, bool frame);
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    ~Level();

    explicit operator bool() const noexcept { return ok_; }

private:
    Interpreter& interpreter_;
    bool frame_;
    bool ok_;
};

// A JSON value as the template sees it; texts are not copied.
Value from_json(RunState& state, const json::value& value);

}  // namespace rekindle::runtime::jinja
