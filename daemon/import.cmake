# The cage of worker and importer.
rekindle_library(
    sandbox
    SOURCES sandbox.cpp sandbox_landlock.cpp sandbox_seccomp.cpp
    DEPS rekindle::base
    PRIVATE_DEPS PkgConfig::libseccomp)

# The importer: a model file's bytes to an image, in a confined process.
if(TARGET rekindle_tokenizer AND TARGET rekindle_template AND TARGET rekindle_kernels)
    rekindle_library(
        import
        SOURCES import_hyperparameters.cpp import_model.cpp import_plan.cpp import_tokenizer.cpp
        DEPS rekindle::snapshot_view rekindle::formats rekindle::kernels rekindle::tokenizer
             rekindle::template rekindle::base)
endif()
