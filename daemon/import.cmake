# The cage of worker and importer.
rekindle_library(
    sandbox
    SOURCES sandbox.cpp sandbox_landlock.cpp sandbox_seccomp.cpp
    DEPS rekindle::base
    PRIVATE_DEPS PkgConfig::libseccomp)

# A child process: spawned, watched, killed, reaped.
rekindle_library(process SOURCES worker_process.cpp DEPS rekindle::base PRIVATE_DEPS fmt::fmt)

# Both sides of the importer's pipe.
rekindle_library(import_wire SOURCES import_wire.cpp DEPS rekindle::base PRIVATE_DEPS fmt::fmt)

# The importer's side: a model file's bytes to an image, in a confined process.
if(TARGET rekindle_tokenizer AND TARGET rekindle_template AND TARGET rekindle_kernels)
    rekindle_library(
        import
        SOURCES import_hyperparameters.cpp import_model.cpp import_plan.cpp import_tokenizer.cpp
                importer_main.cpp
        DEPS rekindle::snapshot_view rekindle::formats rekindle::kernels rekindle::tokenizer
             rekindle::template rekindle::base
        PRIVATE_DEPS rekindle::import_wire rekindle::sandbox fmt::fmt)
endif()

# rekindled's side.
rekindle_library(
    importer
    SOURCES importer.cpp
    DEPS rekindle::snapshot_view rekindle::base
    PRIVATE_DEPS rekindle::import_wire rekindle::process fmt::fmt)
