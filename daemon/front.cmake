# The HTTP front: sockets, OpenAI's routes, admin routes. It knows the node by its interface alone.
rekindle_library(
    daemon_api
    SOURCES api/deploy_types.cpp api/fields.cpp api/json_text.cpp api/openai_types.cpp
            api/usage_types.cpp
    DEPS rekindle::base)

rekindle_library(
    front
    SOURCES admin_api.cpp admin_deploy.cpp beast_impl.cpp http_access.cpp http_connection.cpp
            http_exchange.cpp http_front.cpp http_message.cpp http_parser.cpp http_router.cpp
            http_server.cpp http_socket.cpp openai_answer.cpp openai_api.cpp openai_errors.cpp
            openai_fields.cpp openai_forms.cpp openai_logprobs.cpp openai_messages.cpp
            openai_request.cpp
    DEPS rekindle::wire rekindle::async rekindle::billing rekindle::daemon_api rekindle::base
    PRIVATE_DEPS Boost::boost)
