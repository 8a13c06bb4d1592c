// A folder that plays the root of a machine: files of /sys and /proc as a test wants them.
#pragma once
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace rekindle::test {

class TempRoot {
public:
    TempRoot() {
        std::string name = std::filesystem::temp_directory_path() / "rekindle-root-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }

    TempRoot(const TempRoot&) = delete;
    TempRoot& operator=(const TempRoot&) = delete;

    ~TempRoot() { std::filesystem::remove_all(path_); }

    const std::string& path() const noexcept { return path_; }

    void write(const std::string& file, const std::string& text) const {
        const std::filesystem::path place = path_ + file;
        std::filesystem::create_directories(place.parent_path());
        std::ofstream(place) << text;
    }

    std::string read(const std::string& file) const {
        std::ifstream text(path_ + file);
        return {std::istreambuf_iterator<char>(text), {}};
    }

private:
    std::string path_;
};

}  // namespace rekindle::test
