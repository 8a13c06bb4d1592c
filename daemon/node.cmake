# rekindled's side: catalog, workers, requests.
if(TARGET rekindle_importer AND TARGET rekindle_snapshot_tiers AND TARGET rekindle_billing)
rekindle_library(
    node
    SOURCES answer_stream.cpp catalog.cpp config.cpp data_folder.cpp model_instance.cpp
            node_deploy.cpp node_impl.cpp worker_link.cpp worker_pool.cpp
    DEPS rekindle::wire rekindle::async rekindle::billing rekindle::snapshot_tiers
         rekindle::loader rekindle::scheduler_admit rekindle::scheduler_scale
    PRIVATE_DEPS rekindle::importer rekindle::process yaml-cpp CLI11::CLI11)
endif()

# The worker's side: no billing, no loader, no RocksDB.
if(TARGET rekindle_runtime AND TARGET rekindle_scheduler_batch AND TARGET rekindle_template)
rekindle_library(
    worker
    SOURCES answer_text.cpp prompt_builder.cpp worker_answers.cpp worker_channel.cpp
            worker_session.cpp
    DEPS rekindle::wire rekindle::base rekindle::runtime rekindle::scheduler_batch
         rekindle::snapshot_view rekindle::tokenizer rekindle::template)
endif()
