"""News on its way out: to real servers over real sockets, TLS included; only name resolution and time are made up."""

import asyncio
import base64
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from reconciler.model.news import Item
from reconciler.model.standard_webhooks import Key, verify
from reconciler.notification import courier as couriers
from reconciler.notification.courier import MOST_WAITING, PAUSES, Courier
from reconciler.notification.destination import BadDestination, Destination, parse
from reconciler.notification.outgoing import outgoing
from reconciler.notification.public import NotPublic, is_public, settle_on
from tests.waiting import until

KEY = Key.parse("whsec_" + base64.b64encode(b"r" * 32).decode())
OLD = Key.parse("whsec_" + base64.b64encode(b"o" * 32).decode())
ITEM = Item(
    topic="failures",
    type="service.failed",
    at=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    title="tasks: a release failed",
    message="TestsFailed: <!channel> 1 of 3 & more",
    service="tasks",
    data={"service": "tasks", "revision": "main@sha1:1"},
)


@dataclass
class Receiver:
    port: int = 0
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """What it answers, one after another; 204 afterwards."""
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiving(*answers: int | tuple[int, dict[str, str]], tls: Path | None = None) -> Iterator[Receiver]:
    receiver = Receiver(answers=[one if isinstance(one, tuple) else (one, {}) for one in answers])

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """It says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        # Hands are shaken where the request is read: a client that stops in between must not stop the server.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def to(receiver: Receiver, text: str = "http://hooks.example:{port}/T0/secret") -> Destination:
    return parse(text.format(port=receiver.port), frozenset({"hooks.example"}))


async def here(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def play(courier: Courier, scenario: Callable[[], Awaitable[object]]) -> None:
    async def run() -> None:
        running = asyncio.create_task(courier.run())
        await scenario()
        running.cancel()
        # The end of the loop cancels again what is not done by then, in the middle of closing its connection.
        await asyncio.wait([running])

    asyncio.run(run())


class Pauses(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


# Where to


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("https://hooks.slack.com/services/T0/B0/xyz", "slack"),
        ("slack+https://chat.example/hooks/xyz", "slack"),
        ("https://ops.example:8443/in?team=1", "signed"),
    ],
)
def test_an_address_says_in_which_form(text: str, form: str) -> None:
    destination = parse(text)
    assert destination.form == form
    assert destination.address == text.removeprefix("slack+")
    assert "xyz" not in f"{destination} {destination!r}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://ops.example/secret", "--allow-notify ops.example"),
        ("ftp://ops.example/secret", "neither"),
        ("https:///secret", "neither"),
        ("https://user:secret@ops.example/", "password"),
        ("https://ops.example/#secret", "#"),
        ("https://ops.example:99999/secret", "no address"),
        ("ops.example/secret", "neither"),
    ],
)
def test_a_bad_address_is_refused_without_being_said(text: str, why: str) -> None:
    with pytest.raises(BadDestination, match=why) as refused:
        parse(text)
    assert "secret/" not in str(refused.value) and text not in str(refused.value)


def test_what_is_signed_needs_a_secret_and_slack_does_not() -> None:
    slack = outgoing(["https://hooks.slack.com/services/T0/B0/xyz-xyz-xyz"], [], [], "")
    assert slack.topics == {"failures", "recoveries", "rollbacks"}
    assert list(slack.secrets().values()) == ["/services/T0/B0/xyz-xyz-xyz"]
    for secrets, why in (("", "RECONCILER_NOTIFY_SECRET"), ("hunter2", "whsec_"), ("whpk_" + "A" * 43 + "=", "public")):
        with pytest.raises(BadDestination, match=why) as refused:
            outgoing(["https://ops.example/"], [], [], secrets)
        assert "hunter2" not in str(refused.value)
    with pytest.raises(BadDestination, match="there are failures"):
        outgoing([], ["everything"], [], "")


PRIVATE = [
    "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "::1", "::", "fe80::1",
    "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_not_connected_to(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "140.82.112.3", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_what_is_public_is(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    async def two(_host: str, _port: int) -> list[str]:
        return ["1.1.1.1", "10.0.0.1"]

    with pytest.raises(NotPublic):
        asyncio.run(settle_on(parse("https://ops.example/"), two))
    allowed = parse("https://ops.example/", frozenset({"ops.example"}))
    assert asyncio.run(settle_on(allowed, two)) == "1.1.1.1"


def test_a_name_that_leads_home_is_not_followed_and_not_tried_again() -> None:
    with receiving() as receiver:
        courier = Courier(
            parse(f"https://hooks.example:{receiver.port}/"), [KEY], resolve=here, pause=(pauses := Pauses())
        )

        async def scenario() -> None:
            courier.give(ITEM)
            await until(lambda: not courier._waiting)
            await asyncio.sleep(0.05)

        play(courier, scenario)
        assert (receiver.got, pauses) == ([], [])


# What is sent


def test_slack_reads_a_text_in_which_nothing_calls_anybody() -> None:
    with receiving() as receiver:
        courier = Courier(to(receiver, "slack+http://hooks.example:{port}/T0/secret"), resolve=here)

        async def scenario() -> None:
            courier.give(ITEM)
            await until(lambda: receiver.got)

        play(courier, scenario)
        path, headers, body = receiver.got[0]
    assert path == "/T0/secret" and "webhook-signature" not in headers
    assert headers["host"] == f"hooks.example:{receiver.port}"
    told = json.loads(body)["text"]
    assert told.startswith("*tasks: a release failed*\n") and "&lt;!channel&gt; 1 of 3 &amp; more" in told


def test_everybody_else_reads_json_signed_with_every_key() -> None:
    with receiving() as receiver:
        courier = Courier(to(receiver), [KEY, OLD], resolve=here)

        async def scenario() -> None:
            courier.give(ITEM)
            await until(lambda: receiver.got)

        play(courier, scenario)
        _, headers, body = receiver.got[0]
    now = datetime.datetime.now(datetime.UTC).timestamp()
    for key in (KEY, OLD):
        verify([key], headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"], body, now)
    told = json.loads(body)
    assert (told["type"], told["data"]["service"]) == ("service.failed", "tasks")


def test_over_tls_the_certificate_is_for_the_name_and_the_connection_to_the_address(tmp_path: Path) -> None:
    pem, trust = certificate(tmp_path, "hooks.example")
    with receiving(tls=pem) as receiver:
        good = Courier(to(receiver, "https://hooks.example:{port}/in"), [KEY], resolve=here, trust=trust)
        wrong = parse(f"https://other.example:{receiver.port}/in", frozenset({"other.example"}))
        bad = Courier(wrong, [KEY], resolve=here, trust=trust, pause=(pauses := Pauses()))

        async def told() -> None:
            good.give(ITEM)
            await until(lambda: receiver.got)

        async def refused() -> None:
            bad.give(ITEM)
            await until(lambda: len(pauses) == len(PAUSES))

        play(good, told)
        play(bad, refused)
        assert len(receiver.got) == 1


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = folder / "both.pem"
    pem.write_bytes(public + private)
    return pem, ssl.create_default_context(cadata=public.decode())


# When it is not taken


def test_it_is_tried_again_under_the_same_number_until_it_is_taken() -> None:
    with receiving(500, (429, {"Retry-After": "77"})) as receiver:
        courier = Courier(to(receiver), [KEY], resolve=here, pause=(pauses := Pauses()))

        async def scenario() -> None:
            courier.give(ITEM)
            await until(lambda: len(receiver.got) == 3)

        play(courier, scenario)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1
    assert 0.8 <= pauses[0] <= 1.2 and pauses[1] == 77.0


@pytest.mark.parametrize("status", [400, 404, 302])
def test_what_will_not_be_taken_is_given_up_and_no_redirect_is_followed(status: int) -> None:
    with receiving((status, {"Location": "/elsewhere"})) as receiver:
        courier = Courier(to(receiver), [KEY], resolve=here, pause=(pauses := Pauses()))

        async def scenario() -> None:
            courier.give(ITEM)
            courier.give(ITEM)
            await until(lambda: len(receiver.got) == 2)

        play(courier, scenario)
    assert {path for path, _, _ in receiver.got} == {"/T0/secret"} and not pauses


def test_an_attempt_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "WITHIN", 0.01)
    pauses = Pauses()

    async def never(_host: str, _port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    courier = Courier(to(Receiver()), [KEY], resolve=never, pause=pauses)

    async def scenario() -> None:
        courier.give(ITEM)
        await until(lambda: courier.dropped, what="the end of it")

    play(courier, scenario)
    assert len(pauses) == len(PAUSES)


def test_a_destination_that_is_gone_is_left_alone() -> None:
    with receiving(410) as receiver:
        courier = Courier(to(receiver), [KEY], resolve=here)

        async def scenario() -> None:
            courier.give(ITEM)
            await until(lambda: courier._is_gone)
            courier.give(ITEM)
            assert not courier._waiting

        play(courier, scenario)
    assert len(receiver.got) == 1


def test_what_waits_is_bounded() -> None:
    async def nowhere(_host: str, _port: int) -> list[str]:
        raise OSError("no such host")

    courier = Courier(parse("https://ops.example/"), [KEY], resolve=nowhere)
    for _ in range(3 * MOST_WAITING):
        courier.give(ITEM)
    assert (courier.waiting, courier.dropped) == (MOST_WAITING, 2 * MOST_WAITING)
