// push and pull: images to and from a bucket, a folder or a web server. Threading: none.
#pragma once
#include "cli/verb.h"

namespace rekindle::cli {

std::unique_ptr<Verb> make_push(CLI::App& app);
std::unique_ptr<Verb> make_pull(CLI::App& app);

}  // namespace rekindle::cli
