if(TARGET rekindle_node AND TARGET rekindle_front)
rekindle_executable(rekindled SOURCES rekindled_main.cpp DEPS rekindle::node rekindle::front)
endif()
if(TARGET rekindle_worker AND TARGET rekindle_import AND TARGET rekindle_sandbox)
rekindle_executable(rekindle-worker SOURCES worker_main.cpp
                    DEPS rekindle::worker rekindle::import rekindle::sandbox rekindle::kernels)
endif()
