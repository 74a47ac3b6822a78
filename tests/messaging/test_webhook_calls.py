"""What may be called and what may not, whatever a name leads to; and a call that ends, whatever the other side does."""

import ipaddress
import socket
import ssl
import threading

import pytest
from django.core.exceptions import ValidationError

from config.text import CONTROL_IN_LINES
from messaging.checks import webhook_hosts
from messaging.propagation.addresses import is_public, place_of, refuse_private_literal
from messaging.propagation.calling import Timeouts, post
from tests.messaging.hooks import DROP, TRICKLE, receiver

QUICK = Timeouts(connect=0.5, read=0.5, total=0.3)


@pytest.fixture
def service(settings):
    with receiver() as server:
        settings.WEBHOOK_ALLOWED_HOSTS = [server.place]
        yield server


@pytest.fixture
def names(monkeypatch):
    """A resolver that says what it is told to, and counts."""
    known: dict[str, list[str]] = {}
    asked: list[str] = []

    def getaddrinfo(host, port, *args, **kwargs):
        if host[0].isdigit() or ":" in host:  # connecting to an address
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return [(family, socket.SOCK_STREAM, 6, "", (host, port))]
        asked.append(host)
        if host not in known:
            raise socket.gaierror("no such host")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known, asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fec0::1", "fd00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1",
        "2001:0:7f00:1::",
    ],
)  # fmt: skip
def test_an_address_that_is_not_on_the_public_internet_is_known_in_every_disguise(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_may_be_called(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example.com/", "ftp://crm.example.com/", "https://", "https:///hooks", "crm.example.com",
        "https://user:word@crm.example.com/", "https://crm.example.com/#part", "https://crm.example.com:99999/",
        "https://crm.example.com/a b", "https://crm.example.com/\r\nX: y", "https://[::1/", "https://[::1]/",
        "https://127.1/", "https://0177.0.0.1/", "https://0x7f000001/", "https://2130706433/", "https://[fe80::1%eth0]/",
        "https://127.0.0.1/", "https://169.254.169.254/latest", "https://crm.example.com/" + "a" * 500,
    ],
)  # fmt: skip
def test_an_address_that_must_not_be_called_is_refused_when_it_is_typed(url):
    with pytest.raises(ValidationError) as refused:
        refuse_private_literal(*place_of(url)[1:])

    assert list(refused.value.error_dict) == ["url"]


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.216.34", "10.1.2.3"], ["93.184.216.34", "::ffff:10.1.2.3"]]
)
def test_a_name_that_leads_inside_is_not_called_even_where_another_of_its_addresses_is_public(names, answers):
    names[0]["evil.example"] = answers

    answer = post("https://evil.example/", b"{}", {})

    assert (answer.status, answer.error) == (None, "address_refused")
    assert "evil.example leads to" in answer.text


def test_a_name_is_looked_up_once_a_call_and_the_answer_is_what_is_called(service, settings, names):
    """A second look-up could lead elsewhere: that is how DNS rebinding goes round a check."""
    port = service.server_address[1]
    settings.WEBHOOK_ALLOWED_HOSTS = [f"crm.internal:{port}"]
    names[0]["crm.internal"] = ["127.0.0.1"]

    answer = post(f"http://crm.internal:{port}/changes", b"{}", {})

    assert answer.status == 204
    assert names[1] == ["crm.internal"]
    assert service.calls[0].headers["host"] == f"crm.internal:{port}"


def test_an_unknown_name_and_a_closed_port_are_told_as_such(names, settings):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.WEBHOOK_ALLOWED_HOSTS = [f"127.0.0.1:{closed.getsockname()[1]}"]

        assert post(f"http://{settings.WEBHOOK_ALLOWED_HOSTS[0]}/", b"", {}).error == "no_connection"
    assert post("https://nowhere.example/", b"", {}).error == "no_connection"


def test_a_redirect_is_not_followed(service):
    service.answers = [(302, {"location": service.url})]

    answer = post(service.url, b"{}", {})

    assert (answer.status, answer.error, answer.is_taken) == (302, "http_302", False)
    assert len(service.calls) == 1


def test_a_proxy_of_the_environment_is_not_used(service, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")

    assert post(service.url, b"{}", {}).status == 204


def test_a_server_without_a_certificate_for_its_name_is_refused(service):
    answer = post(service.url.replace("http:", "https:"), b"{}", {}, timeouts=QUICK)

    assert answer.error in ("tls", "timeout")
    assert service.calls == []


def test_tls_is_verified_against_the_name_and_not_the_address(service, monkeypatch):
    seen = []

    class Context(ssl.SSLContext):
        def wrap_socket(self, sock, **facts):
            seen.append((facts["server_hostname"], self.check_hostname, self.verify_mode))
            raise ssl.SSLError("stop here")

    answer = post(service.url.replace("http:", "https:"), b"{}", {}, tls=Context(ssl.PROTOCOL_TLS_CLIENT))

    assert answer.error == "tls"
    assert seen == [("127.0.0.1", True, ssl.CERT_REQUIRED)]


def test_a_dropped_connection_and_an_answer_that_trickles_end_in_time(service):
    service.answers = [DROP, TRICKLE]

    dropped, trickled = (post(service.url, b"{}", {}, timeouts=QUICK) for _ in range(2))

    assert (dropped.status, dropped.error) == (None, "broken_answer")
    assert (trickled.status, trickled.error) == (None, "timeout")


def answering(said):
    """A server that says this to one call, and then neither anything else nor that it ended."""
    server, ended = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def answer():
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(said)
            ended.wait(10)

    threading.Thread(target=answer, daemon=True).start()
    return server, ended


@pytest.mark.parametrize(
    ("said", "status", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 200, ""),
        (b"HTTP/1.1 200 OK\r\n\r\n", 200, ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200, ""),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 10\r\n\r\nhalf", 410, "http_410"),
        (b"HTTP/1.1 429 Slower\r\nRetry-After: 60\r\nContent-Length: 10\r\n\r\n", 429, "http_429"),
        (b"\x00\x07what\r\n\r\n", None, "broken_answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", None, "broken_answer"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", None, "broken_answer"),
    ],
)
def test_the_status_counts_whatever_becomes_of_the_body_behind_it(settings, said, status, error):
    server, ended = answering(said)
    with server:
        settings.WEBHOOK_ALLOWED_HOSTS = ["{}:{}".format(*server.getsockname())]
        answer = post(f"http://{settings.WEBHOOK_ALLOWED_HOSTS[0]}/", b"{}", {}, timeouts=QUICK)
        ended.set()

    assert (answer.status, answer.error) == (status, error)
    assert not CONTROL_IN_LINES.search(answer.text)
    assert answer.headers.get("retry-after") == ("60" if status == 429 else None)


def test_no_more_than_the_beginning_of_an_answer_is_read_and_kept(service):
    service.body = b"x" * 1_000_000
    service.answers = [500]

    assert post(service.url, b"{}", {}).text == "x" * 500


@pytest.mark.parametrize("entry", ["*", "crm.internal", "http://crm.internal:80", "crm.internal:port"])
def test_a_setting_that_allows_nothing_is_told_at_start_up(settings, entry):
    settings.WEBHOOK_ALLOWED_HOSTS = ["ok.internal:443", "[fd00::5]:443", entry]

    [error] = webhook_hosts()

    assert error.id == "messaging.E005"
    assert entry in error.msg
