# Both sides of the worker's socket.
rekindle_library(wire SOURCES frames.cpp DEPS rekindle::base)
