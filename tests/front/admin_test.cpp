#include "tests/front/front_fixture.h"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.
using std::chrono::milliseconds;

namespace {

constexpr const char* kDeployment =
    R"({"name":"smol","revision":"0123456789abcdef0123","image":"sha256:aa",)"
    R"("architecture":"llama",)"
    R"("image_bytes":1000,"context":2048,"kv_type":"f16","created":1600000000,)"
    R"("price":{"input":"0.05",)"
    R"("output":"0.1","cached":"0.01","currency":"USD"},"aliases":["gpt"],"tier":"memory",)"
    R"("resident_bytes":2000,)"
    R"("active_requests":0,"idle_ms":1500,"worker_pid":0,"restoring":false,)"
    R"("guesses":{"computed":0,"right":0,"of_draft":0,"of_draft_right":0},)"
    R"("draft_image":"","draft_state":"","arriving":null})";

Answer ask(FrontFixture& front, const std::string& request) {
    TestClient client = front.admin();
    client.send(request);
    return client.read_answer();
}

const std::string kManifest = "rekindle: 1\nname: smol\nmodel: m.gguf\n";

std::string deploy_request(const std::string& fields, const std::string& body) {
    return "POST /admin/v1/deployments HTTP/1.1\r\nHost: rekindle\r\n" + fields + "\r\n" + body;
}

std::string length_of(const std::string& body) {
    return "Content-Length: " + std::to_string(body.size()) + "\r\n";
}

std::string manifest_field(const std::string& manifest) {
    return "X-Rekindle-Manifest-Bytes: " + std::to_string(manifest.size()) + "\r\n";
}

// A manifest with the model's bytes after it.
std::string upload(const std::string& manifest, const std::string& model) {
    const std::string body = manifest + model;
    return deploy_request(manifest_field(manifest) + length_of(body), body);
}

// A manifest alone.
std::string post(const std::string& manifest, const std::string& fields = "") {
    return deploy_request(fields + length_of(manifest), manifest);
}

constexpr const char* kPassed = "X-Rekindle-Descriptor: 1\r\n";

UniqueFd file_with(const std::string& bytes) {
    auto file = create_memory_file("model", 0);
    REQUIRE(file);
    REQUIRE(write_all(file->get(), std::as_bytes(std::span(bytes))));
    return std::move(file).value();
}

}  // namespace

TEST_CASE("the node describes itself") {
    FrontFixture front;
    const json::value node = ask(front, get_request("/admin/v1/node")).json();
    CHECK(node.at("data_folder") == "/data");
    CHECK(node.at("admin_socket") == json::string_view(front.unix_path));
    CHECK(node.at("draining") == false);
    CHECK(node.at("version").is_string());
}

TEST_CASE("deployments are listed and shown in full") {
    FrontFixture front;
    CHECK(ask(front, get_request("/admin/v1/deployments")).body ==
          std::string(R"({"deployments":[)") + kDeployment + R"(],"ready_bytes":4096})");
    std::string shown = kDeployment;
    shown.pop_back();
    CHECK(ask(front, get_request("/admin/v1/deployments/smol")).body ==
          shown + R"(,"source":"new.gguf","tensors":3,"manifest":{"rekindle":1},"history":[)"
                  R"({"revision":"fedc","image":"bb","source":"old.gguf","image_bytes":900,)"
                  R"("context":1024,"created":1500000000,"manifest":{"rekindle":1}}]})");
    const Answer missing = ask(front, get_request("/admin/v1/deployments/none"));
    CHECK(missing.status == 404);
    CHECK(missing.error_code() == "not_found");
}

TEST_CASE("an upload is deployed, a line for its progress and one for its end") {
    FrontFixture front;
    const Answer answer =
        ask(front, upload(kManifest + "price: {currency: EUR, per_mtok: {input: \"0.050\"}}\n",
                          "model bytes"));
    CHECK(answer.status == 200);
    CHECK(answer.field("content-type") == "application/x-ndjson");
    CHECK(answer.body == R"({"phase":"import","done":1,"total":2})"
                         "\n"
                         R"({"deployment":)" +
                             std::string(kDeployment) + "}\n");
    const Seen seen = front.node->seen();
    REQUIRE(seen.deploys.size() == 1);
    CHECK(seen.deployed_bytes == "model bytes");
    CHECK(seen.deploys[0].manifest.name == "smol");
    CHECK(seen.deploys[0].manifest.price_input == "0.05");
    CHECK(seen.deploys[0].manifest.currency == "EUR");
}

TEST_CASE("a manifest that names an image is deployed without a file, and with one refused") {
    FrontFixture front;
    const std::string manifest =
        "rekindle: 1\nname: smol\nmodel: rekindle://sha256:" + std::string(64, 'a') + "\n";
    CHECK(ask(front, post(manifest)).status == 200);
    CHECK(front.node->seen().deploys.at(0).manifest.image() == std::string(64, 'a'));
    CHECK(ask(front, upload(manifest, "model")).error_param() == "model");
    CHECK(ask(front, post(kManifest)).error_param() == "model");
    CHECK(front.node->seen().deploys.size() == 1);
}

TEST_CASE("a dry run answers with a plan and deploys nothing") {
    FrontFixture front;
    std::string request = upload(kManifest, "model");
    request.replace(request.find(" HTTP/1.1"), 0, "?dry_run=1");
    const Answer answer = ask(front, request);
    CHECK(answer.status == 200);
    const json::value plan = answer.json().at("plan");
    CHECK(plan.at("weights_bytes") == 1000);
    CHECK(plan.at("memory_bytes") == 1500);
    CHECK(plan.at("restore_ms").is_null());
    CHECK(plan.at("replaces").is_null());
    CHECK(front.node->seen().deploys.empty());
    request.replace(request.find("dry_run=1"), 9, "dry_run=2");
    CHECK(ask(front, request).error_param() == "dry_run");
}

TEST_CASE("a rollback and aliases are passed on") {
    FrontFixture front;
    const auto send = [&front](const std::string& line, const std::string& body) {
        return ask(front, line + " HTTP/1.1\r\nHost: a\r\n" + length_of(body) + "\r\n" + body);
    };
    CHECK(send("POST /admin/v1/rollback/smol", "").status == 200);
    CHECK(send("POST /admin/v1/rollback/smol?to=ab", "").json().at("deployment").is_object());
    CHECK(send("POST /admin/v1/rollback/smol?to=xyz", "").error_param() == "to");
    CHECK(send("POST /admin/v1/rollback/none", "").status == 404);
    CHECK(send("PUT /admin/v1/aliases/x", R"({"name":"smol"})").status == 200);
    CHECK(send("PUT /admin/v1/aliases/x", R"({"name":5})").error_param() == "name");
    CHECK(send("PUT /admin/v1/aliases/x", R"({"name":"none"})").status == 404);
    CHECK(send("DELETE /admin/v1/aliases/x", "").status == 204);
    CHECK(send("DELETE /admin/v1/aliases/gpt", "").status == 409);
    CHECK(ask(front, get_request("/admin/v1/aliases")).body ==
          R"({"aliases":[{"alias":"gpt","name":"smol","set_by":"manifest"}]})");
    CHECK(front.node->seen().changes ==
          std::vector<std::string>{"rollback smol ", "rollback smol ab", "rollback none ",
                                   "set x smol", "set x none", "rm x", "rm gpt"});
}

TEST_CASE("an upload may be far larger than a JSON body, and chunked") {
    HttpLimits limits = patient_limits();
    limits.body_bytes = 1000;
    FrontFixture front(limits);
    std::string bytes(3 << 20, 'm');
    bytes.back() = 'z';
    TestClient client = front.admin();
    client.send(deploy_request(manifest_field(kManifest) + "Transfer-Encoding: chunked\r\n", ""));
    client.send("25\r\n" + kManifest + "\r\n200000\r\n" + bytes.substr(0, 2 << 20) +
                "\r\n100000\r\n" + bytes.substr(2 << 20) + "\r\n0\r\n\r\n");
    CHECK(client.read_answer().status == 200);
    CHECK(front.node->seen().deployed_bytes == bytes);
    client.send(get_request("/health"));
    CHECK(client.read_answer().status == 200);
}

TEST_CASE("an upload that waits for 100-continue is told once to go on") {
    FrontFixture front;
    TestClient client = front.admin();
    const size_t bytes = 3 << 20;
    client.send(deploy_request(manifest_field(kManifest) +
                                   "Expect: 100-continue\r\nContent-Length: " +
                                   std::to_string(kManifest.size() + bytes) + "\r\n",
                               ""));
    CHECK(client.read_answer().status == 100);
    client.send(kManifest);
    for (int i = 0; i < 3; ++i) {  // In pieces, so that the front has to wait for each.
        client.send(std::string(bytes / 3, 'm'));
        const milliseconds patience(i < 2 ? 5 : 30'000);
        CHECK(client.try_read_answer(patience).status == (i < 2 ? 0 : 200));
    }
}

TEST_CASE("a passed descriptor is deployed, each request of a connection with its own") {
    FrontFixture front;
    TestClient client = front.admin();
    for (const char* bytes : {"first", "second"}) {
        const UniqueFd file = file_with(bytes);
        client.send_with_descriptor(post(kManifest, kPassed), file.get());
        CHECK(client.read_answer().status == 200);
        CHECK(front.node->seen().deployed_bytes == bytes);
    }
}

TEST_CASE("a promised descriptor that does not come is refused") {
    FrontFixture front;
    CHECK(ask(front, post(kManifest, kPassed)).status == 400);
    TestClient tcp = front.client();
    tcp.send("POST /admin/v1/deployments HTTP/1.1\r\nHost: localhost\r\n" + std::string(kPassed) +
             length_of(kManifest) + "\r\n" + kManifest);
    CHECK(tcp.read_answer().status == 400);
    CHECK(front.node->seen().deploys.empty());
}

TEST_CASE("a descriptor of something else than a readable file is refused") {
    FrontFixture front;
    const auto refused = [&front](const UniqueFd& fd) {
        TestClient client = front.admin();
        client.send_with_descriptor(post(kManifest, kPassed), fd.get());
        return client.read_answer().status;
    };
    CHECK(refused(UniqueFd(::open("/tmp", O_RDONLY | O_CLOEXEC))) == 400);
    CHECK(refused(UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC))) == 400);
    CHECK(refused(UniqueFd(::open("/proc/self/exe", O_PATH | O_CLOEXEC))) == 400);
    CHECK(refused(file_with("")) == 400);
    CHECK(front.node->seen().deploys.empty());
}

TEST_CASE("what is wrong with a deployment's manifest is refused before the file is read") {
    FrontFixture front;
    const auto refused = [&front](const std::string& manifest) {
        const Answer answer = ask(front, upload(manifest, "model"));
        CHECK(answer.status == 400);
        return answer.error_code();
    };
    CHECK(refused("rekindle: 1\nmodel: m\n") == "invalid_manifest");
    CHECK(refused("rekindle: 1\nname: A\nmodel: m\n") == "invalid_manifest");
    CHECK(refused(kManifest + "nmae: x\n") == "invalid_manifest");
    CHECK(refused(kManifest + "adapters: []\n") == "unsupported_value");
    CHECK(refused("{}") == "invalid_manifest");
    CHECK(ask(front, deploy_request("X-Rekindle-Manifest-Bytes: 0\r\n", "")).status == 400);
    CHECK(ask(front, deploy_request("X-Rekindle-Manifest-Bytes: 65537\r\n", "")).status == 400);
    CHECK(ask(front,
              deploy_request("X-Rekindle-Manifest-Bytes: 99\r\n" + length_of("short"), "short"))
              .status == 400);
    const std::string comment = kManifest + "#" + std::string(65'536 - kManifest.size() - 1, 'x');
    CHECK(ask(front, upload(comment, "model")).status == 200);
    CHECK(ask(front, post(comment + "x")).status == 413);
    CHECK(front.node->seen().deploys.size() == 1);
}

TEST_CASE("a deployment without a model file is refused") {
    FrontFixture front;
    CHECK(ask(front, upload(kManifest, "")).status == 400);
}

TEST_CASE("a full disk is 507, found out at its begin or in the middle") {
    FrontFixture front;
    front.node->disk_full = true;
    const Answer middle = ask(front, upload(kManifest, std::string(100'000, 'm')));
    CHECK(middle.status == 507);
    CHECK(middle.error_code() == "no_space");
    CHECK(middle.field("x-should-retry") == "false");
    front.node->upload_error = Error{ErrorCode::kNoSpace, "the disk is full"};
    CHECK(ask(front, upload(kManifest, "model")).status == 507);
}

TEST_CASE("an upload that ends early deploys nothing") {
    FrontFixture front;
    TestClient client = front.admin();
    client.send(
        deploy_request(manifest_field(kManifest) + "Content-Length: 100\r\n", kManifest + "half"));
    client.shut_write();
    CHECK(client.read_answer().status == 400);
    CHECK(front.node->seen().deploys.empty());
}

TEST_CASE("a draining node takes no deployment") {
    FrontFixture front;
    front.node->is_draining = true;
    CHECK(ask(front, upload(kManifest, "model")).status == 503);
}

TEST_CASE("a broken model file is the sender's fault, a broken node is not") {
    FrontFixture front;
    front.node->deploy_error = Error{ErrorCode::kCorrupt, "GGUF: wrong magic"};
    CHECK(ask(front, upload(kManifest, "model")).status == 400);
    front.node->deploy_error = Error{ErrorCode::kIo, "the disk broke"};
    CHECK(ask(front, upload(kManifest, "model")).status == 500);
}

TEST_CASE("a client that leaves cancels its deployment") {
    FrontFixture front;
    front.node->deploy_holds = true;
    TestClient client = front.admin();
    client.send(upload(kManifest, "model"));
    client.read_until("import");
    client.close();
    CHECK(front.node->wait_until([](const Seen& seen) { return seen.deploy_cancelled; }));
}

TEST_CASE("a deployment is removed") {
    FrontFixture front;
    const Answer removed =
        ask(front, "DELETE /admin/v1/deployments/smol HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(removed.status == 204);
    CHECK(removed.head.find("Content-Length") == std::string::npos);
    CHECK(front.node->seen().undeployed == std::vector<std::string>{"smol"});
    CHECK(ask(front, "DELETE /admin/v1/deployments/none HTTP/1.1\r\nHost: a\r\n\r\n").status ==
          404);
}

TEST_CASE("usage is asked by time and columns and answered in exact decimals") {
    FrontFixture front;
    CHECK(ask(front, get_request("/admin/v1/usage?since=5&until=9&by=project,model")).body ==
          R"({"by":["project","model"],"rows":[{"project":"project","model":"model","requests":2,)"
          R"("prompt_tokens":10,"cached_tokens":1,"completion_tokens":20,"forgiven_tokens":3,)"
          R"("cost":"0.000000650001","currency":"USD"}]})");
    const Seen seen = front.node->seen();
    CHECK(seen.usage_queries.at(0).since_unix_ms == 5);
    CHECK(seen.usage_queries.at(0).until_unix_ms == 9);
    CHECK(ask(front, get_request("/admin/v1/usage?since=today")).error_param() == "since");
    CHECK(ask(front, get_request("/admin/v1/usage?until=-1")).error_param() == "until");
    CHECK(ask(front, get_request("/admin/v1/usage?x=1")).error_code() == "unknown_parameter");
}

TEST_CASE("the bill of one request is shown by its id") {
    FrontFixture front;
    const std::string id = front.get("/health").field("x-request-id");
    const json::value bill = ask(front, get_request("/admin/v1/requests/" + id)).json();
    CHECK(bill.at("id") == json::string_view(id));
    CHECK(bill.at("outcome") == "completed");
    CHECK(bill.at("billed").at("prompt_tokens") == 5);
    CHECK(bill.at("price").at("input") == "0.05");
    CHECK(bill.at("cost") == "0.00000025");
    CHECK(ask(front, get_request("/admin/v1/requests/nonsense")).status == 400);
}

TEST_CASE("over loopback TCP admin routes answer to this machine's names alone") {
    FrontFixture front;
    const auto status = [&front](const std::string& fields) {
        TestClient client = front.client();
        client.send("GET /admin/v1/node HTTP/1.1\r\n" + fields + "\r\n");
        return client.read_answer().status;
    };
    CHECK(status("Host: localhost:8080\r\n") == 200);
    CHECK(status("Host: 127.0.0.1\r\n") == 200);
    CHECK(status("Host: [::1]:8080\r\n") == 200);
    CHECK(status("Host: evil.example\r\n") == 403);
    CHECK(status("Host: 127.evil.example\r\n") == 403);
    CHECK(status("Host: localhost.evil.example\r\n") == 403);
    CHECK(status("Host: localhost\r\nOrigin: http://localhost:3000\r\n") == 200);
    CHECK(status("Host: localhost\r\nOrigin: https://evil.example\r\n") == 403);
    CHECK(status("Host: localhost\r\nOrigin: null\r\n") == 403);
    CHECK(status("Host: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n") == 403);
}

TEST_CASE("model routes are refused to web pages of other hosts") {
    FrontFixture front;
    const auto status = [&front](const std::string& origin) {
        TestClient client = front.client();
        client.send("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: " + origin + "\r\n\r\n");
        return client.read_answer().status;
    };
    CHECK(status("https://evil.example") == 403);
    CHECK(status("null") == 403);
    CHECK(status("http://127.0.0.1:3000") == 200);
    CHECK(status("app://desktop") == 200);
}
