# SPDX-License-Identifier: Apache-2.0
"""aioice and aiortc, relay candidates only: ICE data and an SCTP data channel through two allocations, over UDP, TCP
and TLS."""
import asyncio
import ssl

import pytest

aioice = pytest.importorskip("aioice")
aiortc = pytest.importorskip("aiortc")

from aioice.ice import TransportPolicy  # noqa: E402
import aiortc.rtcicetransport  # noqa: E402


def relay_only(server, transport, host):
    tls = transport == "tls"
    return aioice.Connection(
        ice_controlling=False, components=1, use_ipv6=False,
        turn_server=(host, server.tls_port if tls else server.port), turn_username=server.user,
        turn_password=server.password, turn_ssl=tls, turn_transport="udp" if transport == "udp" else "tcp",
        transport_policy=TransportPolicy.RELAY)


async def ice_echo(server, transport="udp", host="127.0.0.1"):
    a, b = relay_only(server, transport, host), relay_only(server, transport, host)
    a.ice_controlling = True
    await asyncio.gather(a.gather_candidates(), b.gather_candidates())
    assert a.local_candidates and all(c.type == "relay" for c in a.local_candidates + b.local_candidates)
    for one, other in ((a, b), (b, a)):
        for candidate in one.local_candidates:
            await other.add_remote_candidate(candidate)
        await other.add_remote_candidate(None)
        other.remote_username, other.remote_password = one.local_username, one.local_password
    await asyncio.gather(a.connect(), b.connect())
    try:
        for size in (0, 1, 500, 1200):
            payload = bytes(size)
            await a.send(payload)
            assert await asyncio.wait_for(b.recv(), 10) == payload
            await b.send(payload)
            assert await asyncio.wait_for(a.recv(), 10) == payload
    finally:
        await asyncio.gather(a.close(), b.close())


def test_aioice_relay_only(server):
    asyncio.run(asyncio.wait_for(ice_echo(server), 60))


@pytest.fixture
def trust(monkeypatch, certificates):
    """OpenSSL's default contexts, which aioice uses, trust the authority of these tests, and no other."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_aioice_over_stream(stream_server, trust, transport, host):
    asyncio.run(asyncio.wait_for(ice_echo(stream_server(), transport, host), 60))


def test_aioice_without_trust(stream_server):
    """It looks at the certificate: without the authority there is no connection."""
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(asyncio.wait_for(ice_echo(stream_server(), "tls"), 60))


async def data_channel(server, url, size):
    ice = aiortc.RTCConfiguration([aiortc.RTCIceServer(url, server.user, server.password)])
    a, b = aiortc.RTCPeerConnection(ice), aiortc.RTCPeerConnection(ice)
    received, done, opened = {"a": 0, "b": 0}, asyncio.Event(), asyncio.Event()
    channel = a.createDataChannel("data")

    def count(who, data):
        received[who] += len(data)
        if received["a"] == size and received["b"] == size:
            done.set()

    channel.on("open", opened.set)
    channel.on("message", lambda data: count("a", data))
    theirs = asyncio.get_running_loop().create_future()

    @b.on("datachannel")
    def on_channel(other):
        other.on("message", lambda data: count("b", data))
        theirs.set_result(other)

    try:
        await a.setLocalDescription(await a.createOffer())
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription(await b.createAnswer())
        await a.setRemoteDescription(b.localDescription)
        for pc in (a, b):
            lines = [line for line in pc.localDescription.sdp.splitlines() if line.startswith("a=candidate")]
            assert lines and all(" typ relay " in line for line in lines), lines
        await asyncio.wait_for(opened.wait(), 60)
        other = await asyncio.wait_for(theirs, 10)
        for _ in range(size // 1000):
            channel.send(bytes(1000))
            other.send(bytes(1000))
        await asyncio.wait_for(done.wait(), 60)
    finally:
        await asyncio.gather(a.close(), b.close())


@pytest.fixture
def relays_alone(monkeypatch):
    class RelayOnly(aioice.Connection):
        def __init__(self, **kwargs):
            super().__init__(transport_policy=TransportPolicy.RELAY, use_ipv6=False, **kwargs)

    monkeypatch.setattr(aiortc.rtcicetransport, "Connection", RelayOnly)


def test_aiortc_data_channel_relay_only(server, relays_alone):
    url = f"turn:127.0.0.1:{server.port}?transport=udp"
    asyncio.run(asyncio.wait_for(data_channel(server, url, 200_000), 120))


def test_aiortc_data_channel_over_tcp(stream_server, relays_alone):
    server = stream_server()
    url = f"turn:127.0.0.1:{server.port}?transport=tcp"
    asyncio.run(asyncio.wait_for(data_channel(server, url, 200_000), 120))


def test_aiortc_data_channel_over_tls(stream_server, relays_alone, trust):
    server = stream_server()
    url = f"turns:127.0.0.1:{server.tls_port}?transport=tcp"
    asyncio.run(asyncio.wait_for(data_channel(server, url, 200_000), 120))
