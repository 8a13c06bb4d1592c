// `rekindle-worker --measure PARENT THREADS`: a worker that serves nothing. It says on descriptor
// 3, in one JSON object, which kernels it chose, how it was confined, and how fast this machine
// reads memory and multiplies 8-bit numbers from inside its cage. Threading: the main thread.
#pragma once

namespace rekindle::daemon {

// The exit code.
int measure_main(int argc, char** argv);

}  // namespace rekindle::daemon
