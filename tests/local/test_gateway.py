"""The local gateway and its HTTP server, called over sockets, in front of an app that returns its event."""

import base64
import http.client
import json
import queue
import re
import socket
import threading

import pytest
from chalice import Chalice, CORSConfig, Response

from local.gateway import Gateway
from local.server import MAX_BODY, HttpServer


def echo_app() -> Chalice:
    app = Chalice(app_name="echo")

    def event() -> dict:
        return app.current_request.to_original_event()

    @app.route("/things", methods=["GET"])
    def listing():
        return {"event": event()}

    # One view for both methods of a path, as Chalice wants it.
    @app.route("/things/{name}", methods=["GET", "PUT", "DELETE"])
    def thing(name):
        if app.current_request.method == "DELETE":
            return Response(body="", status_code=204, headers={"Content-Type": "text/plain"})
        return {"name": name, "event": event()}

    @app.route("/things/special", methods=["GET"])
    def special():
        return {"name": "the special one"}

    @app.route("/raw", methods=["POST"], content_types=["text/plain", "application/json"])
    def raw():
        body = app.current_request.raw_body
        return {"hex": body.hex() if body else "", "event": event()}

    @app.route("/cookies", methods=["GET"])
    def cookies():
        return Response(body="né", headers={"Set-Cookie": ["a=1", "b=2"], "Content-Type": "text/plain"})

    @app.route("/bytes", methods=["GET"])
    def some_bytes():
        return Response(body=b"\x00\xff", headers={"Content-Type": "application/octet-stream"})

    @app.route("/shared", methods=["GET"], cors=CORSConfig(allow_origin="https://a.example"))
    def shared():
        return {}

    return app


@pytest.fixture(scope="module")
def server():
    with HttpServer(Gateway(echo_app()).respond).serving() as running:
        yield running


@pytest.fixture
def connection(server):
    client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    yield client
    client.close()


def call(connection, method, path, body=None, headers=None):
    connection.request(method, path, body=body, headers=headers or {})
    response = connection.getresponse()
    return response, response.read()


def exchange(server, sent: bytes, *, shut: bool = False) -> bytes:
    """Send raw bytes and return everything received until the server closes."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as client:
        client.sendall(sent)
        if shut:
            client.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := client.recv(65536):
            received += chunk
        return received


def assert_problem(response: bytes, status: int) -> dict:
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
    assert b"Content-Type: application/problem+json" in head
    document = json.loads(body)
    assert document["status"] == status
    assert set(document) == {"type", "title", "status", "detail", "requestId"}
    assert document["detail"]
    assert document["requestId"]
    return document


class TestEvents:
    def test_path_parameters_are_decoded(self, connection):
        _, body = call(connection, "GET", "/things/a%2Fb%20c%C3%A9%40%2B+")
        assert json.loads(body)["name"] == "a/b cé@++"

    def test_a_fixed_segment_wins_over_a_parameter(self, connection):
        _, body = call(connection, "GET", "/things/special")
        assert json.loads(body)["name"] == "the special one"

    def test_a_slash_at_the_end_does_not_count(self, connection):
        response, _ = call(connection, "GET", "/things/")
        assert response.status == 200

    def test_the_event_is_shaped_as_a_rest_apis(self, connection):
        connection.request(
            "GET",
            "/things/x?a=1&a=2&b=%26&c",
            headers={"X-One": "1", "User-Agent": "tester", "X-Forwarded-For": "203.0.113.9"},
        )
        response = connection.getresponse()
        event = json.loads(response.read())["event"]
        assert event["path"] == "/things/x"
        assert event["resource"] == "/things/{name}"
        assert event["pathParameters"] == {"name": "x"}
        assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": ["&"], "c": [""]}
        assert event["queryStringParameters"] == {"a": "2", "b": "&", "c": ""}
        assert event["headers"]["X-One"] == "1"
        assert event["body"] is None
        assert event["isBase64Encoded"] is False
        context = event["requestContext"]
        assert context["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "tester"}
        assert context["resourcePath"] == "/things/{name}"
        assert context["httpMethod"] == "GET"
        assert context["requestTimeEpoch"] > 1_700_000_000_000
        assert context["requestId"] == response.getheader("x-amzn-RequestId")

    def test_no_query_is_none(self, connection):
        _, body = call(connection, "GET", "/things")
        event = json.loads(body)["event"]
        assert event["multiValueQueryStringParameters"] is None
        assert event["pathParameters"] is None

    def test_every_request_has_an_id_of_its_own(self, connection):
        ids = {call(connection, "GET", "/things")[0].getheader("x-amzn-RequestId") for _ in range(3)}
        assert len(ids) == 3

    def test_the_source_address_is_the_peers(self, server):
        client = http.client.HTTPConnection(
            "127.0.0.1", server.server_port, timeout=10, source_address=("127.0.0.1", 0)
        )
        _, body = call(client, "GET", "/things", headers={"X-Forwarded-For": "198.51.100.1"})
        client.close()
        assert json.loads(body)["event"]["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"

    def test_of_a_repeated_header_the_last_value_counts_and_all_are_there(self, server):
        response = exchange(
            server, b"GET /things HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n"
        )
        event = json.loads(response.partition(b"\r\n\r\n")[2])["event"]
        assert event["headers"]["X-A"] == "2"
        assert event["multiValueHeaders"]["X-A"] == ["1", "2"]

    def test_an_absolute_target_is_taken(self, server):
        response = exchange(
            server, b"GET http://h.example/things?q=1#f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        event = json.loads(response.partition(b"\r\n\r\n")[2])["event"]
        assert event["path"] == "/things"
        assert event["queryStringParameters"] == {"q": "1"}


class TestBodies:
    def test_text_is_passed_as_text(self, connection):
        _, body = call(connection, "POST", "/raw", "né".encode(), {"Content-Type": "text/plain"})
        event = json.loads(body)["event"]
        assert event["body"] == "né"
        assert event["isBase64Encoded"] is False

    def test_what_is_not_utf8_is_passed_as_base64(self, connection):
        response, body = call(connection, "POST", "/raw", b"\xff\xfe{", {"Content-Type": "application/json"})
        assert response.status == 200
        answer = json.loads(body)
        assert answer["event"]["isBase64Encoded"] is True
        assert base64.b64decode(answer["event"]["body"]) == b"\xff\xfe{"
        assert answer["hex"] == "fffe7b"

    def test_no_content_length_is_no_body(self, server):
        response = exchange(server, b"POST /raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert json.loads(response.partition(b"\r\n\r\n")[2])["event"]["body"] is None

    @pytest.mark.parametrize("length", ["-1", "+1", "1.0", "0x1", "1 1", "", "one", "\u0661"])
    def test_a_content_length_that_is_no_number_is_refused(self, server, length):
        sent = f"POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()
        assert_problem(exchange(server, sent + b"a"), 400)

    def test_two_content_lengths_are_refused(self, server):
        sent = b"POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
        assert_problem(exchange(server, sent), 400)

    def test_a_length_and_a_transfer_encoding_are_refused(self, server):
        sent = b"POST /raw HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert_problem(exchange(server, sent), 400)

    def test_an_unknown_transfer_encoding_is_refused(self, server):
        sent = b"POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"
        assert_problem(exchange(server, sent), 400)

    def test_a_body_shorter_than_its_content_length_is_refused(self, server):
        sent = b"POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
        assert_problem(exchange(server, sent, shut=True), 400)

    def test_a_chunked_body_is_assembled(self, server):
        sent = (
            b"POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
            b"Content-Type: text/plain\r\n\r\n3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n"
        )
        response = exchange(server, sent)
        assert json.loads(response.partition(b"\r\n\r\n")[2])["event"]["body"] == "abc0123456789"

    @pytest.mark.parametrize(
        "chunks", [b"zz\r\nabc\r\n", b"-1\r\n", b"2\r\nabc\r\n0\r\n\r\n", b"\r\n", b"3\r\nab", b"1" * 9000]
    )
    def test_a_malformed_chunked_body_is_refused(self, server, chunks):
        sent = b"POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
        assert_problem(exchange(server, sent, shut=True), 400)

    @pytest.mark.parametrize("length", [str(MAX_BODY + 1), "9" * 5000])
    def test_a_content_length_over_the_limit_is_refused(self, server, length):
        sent = f"POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()
        assert_problem(exchange(server, sent, shut=True), 413)

    def test_a_client_that_sends_too_much_before_it_reads_still_gets_the_response(self, connection):
        response, body = call(connection, "POST", "/raw", b"x" * (MAX_BODY + 1))
        assert response.status == 413
        assert json.loads(body)["status"] == 413

    def test_a_chunked_body_that_grows_too_large_is_refused(self, server):
        sent = b"POST /raw HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n"
        assert_problem(exchange(server, sent, shut=True), 413)

    def test_a_body_at_the_limit_arrives(self, connection):
        response, body = call(connection, "POST", "/raw", b"x" * MAX_BODY, {"Content-Type": "text/plain"})
        assert response.status == 200
        assert len(json.loads(body)["event"]["body"]) == MAX_BODY

    def test_a_body_that_will_be_refused_is_not_requested(self, server):
        head = b"POST /raw HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        assert_problem(exchange(server, head % (MAX_BODY + 1), shut=True), 413)
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as client:
            client.sendall(head % 2)
            assert client.recv(100).startswith(b"HTTP/1.1 100 ")
            client.sendall(b"{}")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")


class TestRefusals:
    @pytest.mark.parametrize(
        "path", ["/nowhere", "/things/a/b", "/things//", "/", "*", "//things", "/%74hings"]
    )
    def test_an_unknown_path_is_404(self, server, path):
        sent = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        if path == "//things":  # collapsed to one slash, which is the safe reading
            assert exchange(server, sent).startswith(b"HTTP/1.1 200 ")
        else:
            assert_problem(exchange(server, sent), 404)

    @pytest.mark.parametrize("method", ["POST", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X!"])
    def test_an_unknown_method_is_405_and_names_the_known_ones(self, server, method):
        sent = f"{method} /things/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        response = exchange(server, sent)
        assert_problem(response, 405)
        assert b"\r\nAllow: DELETE, GET, PUT\r\n" in response

    def test_head_is_405_without_a_body_and_the_connection_goes_on(self, connection):
        response, body = call(connection, "HEAD", "/things/x")
        assert (response.status, body) == (405, b"")
        assert int(response.getheader("Content-Length")) > 0
        assert call(connection, "GET", "/things")[0].status == 200

    def test_a_response_to_head_ends_with_its_headers(self, server):
        response = exchange(server, b"HEAD /things/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 405 ")
        assert response.endswith(b"\r\n\r\n")

    def test_options_of_a_path_with_cors_is_a_preflight(self, connection):
        response, _ = call(connection, "OPTIONS", "/shared")
        assert response.status == 200
        assert response.getheader("Access-Control-Allow-Origin") == "https://a.example"

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"NONSENSE\r\n\r\n", 400),
            (b"GET /things\r\n\r\n", 400),
            (b"GET /things HTTP/9.9\r\n\r\n", 400),
            (b"GET /things HTTP/one\r\n\r\n", 400),
            (b"GET /th\xc3\xafngs HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
            (b"GET /things%00 HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
            (b"GET http://[ HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
            (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", 414),
            (b"GET /things HTTP/1.1\r\nX: " + b"a" * 70000 + b"\r\n\r\n", 431),
            (b"GET /things HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % i for i in range(150)) + b"\r\n", 431),
        ],
    )
    def test_an_unreadable_request_is_a_problem(self, server, sent, status):
        assert_problem(exchange(server, sent), status)

    def test_a_failing_app_is_502(self, capfd):
        class Broken(Chalice):
            def __call__(self, event, context):
                raise RuntimeError("out of order")

        app = Broken(app_name="broken")
        app.route("/things", methods=["GET"])(dict)
        with HttpServer(Gateway(app).respond).serving() as broken:
            sent = b"GET /things HTTP/1.1\r\nConnection: close\r\n\r\n"
            assert_problem(exchange(broken, sent), 502)
        assert "RuntimeError: out of order" in capfd.readouterr().err


class TestResponses:
    def test_repeated_headers_and_text(self, connection):
        response, body = call(connection, "GET", "/cookies")
        assert response.msg.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert response.getheader("Content-Type") == "text/plain"
        assert body.decode() == "né"

    def test_bytes(self, connection):
        response, body = call(connection, "GET", "/bytes", headers={"Accept": "application/octet-stream"})
        assert (response.status, body) == (200, b"\x00\xff")

    def test_no_content_has_neither_body_nor_length(self, connection):
        response, body = call(connection, "DELETE", "/things/x")
        assert (response.status, body) == (204, b"")
        assert response.getheader("Content-Length") is None
        assert call(connection, "GET", "/things")[0].status == 200


class TestConnections:
    def test_pipelined_requests_are_answered_in_order_on_one_connection(self, server):
        first = b"GET /things/%d HTTP/1.1\r\nHost: x\r\n\r\n"
        sent = b"".join(first % i for i in range(5))
        posted = b"POST /raw HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc"
        last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        response = exchange(server, sent + posted + last)
        statuses = re.findall(rb"HTTP/1\.1 (\d+) ", response)
        assert statuses == [*[b"200"] * 6, b"404"]
        names = [response.index(b'"name":"%d"' % i) for i in range(5)]
        assert names == sorted(names)

    def test_http_1_0_closes_unless_keep_alive_is_requested(self, server):
        assert b"Connection: close" in exchange(server, b"GET /things HTTP/1.0\r\n\r\n")
        sent = b"GET /things HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /things HTTP/1.0\r\n\r\n"
        response = exchange(server, sent)
        assert response.count(b"HTTP/1.1 200 OK") == 2
        assert b"Connection: keep-alive" in response

    def test_a_client_that_disconnects_prints_nothing(self, server, capfd):
        for sent in (b"", b"GET /th", b"POST /raw HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"):
            with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # reset
                client.sendall(sent)
        assert exchange(server, b"GET /things HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert capfd.readouterr().err == ""

    def test_every_response_is_logged(self):
        # Each connection logs in its own thread, after it has responded.
        logged: queue.Queue[tuple[str, str, int]] = queue.Queue()
        gateway = Gateway(echo_app())
        with HttpServer(gateway.respond, log=lambda *line: logged.put(line[:3])).serving() as server:
            exchange(server, b"GET /things?a=1 HTTP/1.0\r\n\r\n")
            assert logged.get(timeout=30) == ("GET", "/things?a=1", 200)
            exchange(server, b"GET /nowhere HTTP/1.0\r\n\r\n")
            assert logged.get(timeout=30) == ("GET", "/nowhere", 404)


class TestOneAtATime:
    @pytest.mark.parametrize("serial", [True, False])
    def test_with_a_lock_the_app_runs_one_request_at_a_time_and_without_side_by_side(self, serial):
        app = Chalice(app_name="busy")
        both_in = threading.Barrier(2)

        @app.route("/", methods=["GET"])
        def busy():
            try:
                both_in.wait(timeout=0.3 if serial else 10)
            except threading.BrokenBarrierError:
                return {"together": False}
            return {"together": True}

        gateway = Gateway(app, threading.Lock() if serial else None)
        with HttpServer(gateway.respond).serving() as server:
            responses = []
            callers = [
                threading.Thread(target=lambda: responses.append(exchange(server, b"GET / HTTP/1.0\r\n\r\n")))
                for _ in range(2)
            ]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
        together = b'{"together":false}' if serial else b'{"together":true}'
        assert all(response.endswith(together) for response in responses)

    def test_every_thread_has_its_own_request(self):
        app = Chalice(app_name="own")
        both_in = threading.Barrier(2)

        @app.route("/{name}", methods=["GET"])
        def own(name):
            both_in.wait(timeout=10)
            return {"same": app.current_request.uri_params["name"] == name}  # type: ignore[index]

        with HttpServer(Gateway(app).respond).serving() as server:
            responses = []
            callers = [
                threading.Thread(
                    target=lambda n=n: responses.append(exchange(server, b"GET /%d HTTP/1.0\r\n\r\n" % n))
                )
                for n in range(2)
            ]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
        assert all(response.endswith(b'{"same":true}') for response in responses)


def test_a_port_in_use_is_an_os_error(server):
    with pytest.raises(OSError, match="in use"):
        HttpServer(Gateway(echo_app()).respond, port=server.server_port)


def test_its_url(server):
    assert server.url == f"http://127.0.0.1:{server.server_port}"
