// Another program of Rekindle, run to its end. Threading: blocks.
#pragma once
#include "base/result.h"

#include <string>
#include <vector>

namespace rekindle::cli {

struct ProgramEnd {
    int exit_code = 0;  // 128 + N when signal N ended it.
    std::string output;
};

// Beside this program, else its bare name, which is then looked up in PATH.
std::string program_path(const std::string& name);

// Runs `program` with its standard output caught (kTooLarge beyond 1 MiB) and standard error
// shared. kNotFound when there is no such program.
Result<ProgramEnd> run_program(const std::string& program, std::vector<std::string> arguments);

}  // namespace rekindle::cli
