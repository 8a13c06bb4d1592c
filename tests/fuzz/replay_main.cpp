// Runs a fuzz target once over each committed input: every file of the folders and every file named
// on the command line. Linked instead of libFuzzer's driver outside of the fuzz preset, so that the
// corpus is a test in every build. Exit 0: nothing aborted; 2: an input could not be read.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

namespace fs = std::filesystem;

bool collect(const std::string& argument, std::vector<fs::path>& inputs) {
    std::error_code error;
    if (fs::is_regular_file(argument, error)) {
        inputs.emplace_back(argument);
        return true;
    }
    fs::directory_iterator entries(argument, error);
    if (error) {
        std::fprintf(stderr, "%s: %s\n", argument.c_str(), error.message().c_str());
        return false;
    }
    for (const auto& entry : entries) {
        if (entry.is_regular_file(error)) {
            inputs.push_back(entry.path());
        }
    }
    return true;
}

bool replay(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
        return false;
    }
    const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
    // Named before it runs: after an abort the last line tells which input it was.
    std::fprintf(stderr, "%s: %zu bytes\n", path.c_str(), bytes.size());
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<fs::path> inputs;
    bool readable = true;
    for (int i = 1; i < argc; ++i) {
        readable = collect(argv[i], inputs) && readable;
    }
    std::sort(inputs.begin(), inputs.end());
    for (const fs::path& path : inputs) {
        readable = replay(path) && readable;
    }
    std::fprintf(stderr, "%zu inputs replayed\n", inputs.size());
    return readable && !inputs.empty() ? 0 : 2;
}
