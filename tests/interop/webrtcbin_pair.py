# SPDX-License-Identifier: Apache-2.0
"""Two peers of GStreamer's webrtcbin (libnice), which may use relay candidates only: data both ways, and video that
the second decodes.  A program, for GStreamer is better alone in its process: webrtcbin_pair.py URL prints what came
of it.
"""
import json
import os
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

MESSAGES, LENGTH, FRAMES, LIMIT_S = 200, 1000, 50, 60
SENDER = ("videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 ! vp8enc deadline=1 "
          "keyframe-max-dist=25 ! rtpvp8pay ! "
          "capsfilter caps=application/x-rtp,media=video,encoding-name=VP8,payload=96")
RECEIVER = "rtpvp8depay ! vp8dec ! fakesink name=screen sync=false signal-handoffs=true"


class Peer:
    """One webrtcbin in a pipeline of its own."""

    def __init__(self, pair, name, url):
        self.pair, self.received, self.candidates, self.other, self.channel = pair, 0, [], None, None
        self.pipeline = Gst.Pipeline.new(name)
        self.bin = Gst.ElementFactory.make("webrtcbin", "peer")
        self.pipeline.add(self.bin)
        self.bin.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.bin.set_property("ice-transport-policy", GstWebRTC.WebRTCICETransportPolicy.RELAY)
        self.bin.set_property("turn-server", url)
        # Without this libnice gathers on every interface but the loopback.  Python takes the bin's own (floating)
        # reference to the agent, so it must not let go of it.
        self.agent = self.bin.get_property("ice-agent")
        self.agent.emit("add-local-ip-address", "::1" if "[" in url else "127.0.0.1")
        self.bin.connect("on-ice-candidate", self.on_candidate)
        self.bin.connect("on-data-channel", lambda _, channel: self.use(channel))
        self.bin.connect("pad-added", self.on_pad)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: pair.fail(f"{name}: {message.parse_error()}"))

    def on_candidate(self, _, line, candidate):
        self.candidates.append(candidate)
        self.other.bin.emit("add-ice-candidate", line, candidate)

    def send_video(self):
        source = Gst.parse_bin_from_description(SENDER, True)
        self.pipeline.add(source)
        source.get_static_pad("src").link(self.bin.request_pad_simple("sink_%u"))

    def use(self, channel):
        self.channel = channel
        channel.connect("on-message-data", self.on_data)
        if channel.get_property("ready-state") == GstWebRTC.WebRTCDataChannelState.OPEN:
            self.send_all(channel)
        else:
            channel.connect("on-open", self.send_all)

    @staticmethod
    def send_all(channel):
        for _ in range(MESSAGES):
            channel.emit("send-data", GLib.Bytes.new(bytes(LENGTH)))

    def on_data(self, _, data):
        self.received += data.get_size()
        GLib.idle_add(self.pair.look)

    def on_pad(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        decoder = Gst.parse_bin_from_description(RECEIVER, True)
        decoder.get_by_name("screen").connect("handoff", self.pair.on_frame)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def describe(self, what, then):
        """Create an offer or answer, take it for one's own, and hand it on."""
        def created(promise):
            reply = promise.get_reply()  # its owner: the description lives as long as it does
            description = reply.get_value(what)
            self.bin.emit("set-local-description", description, Gst.Promise.new())
            then(description)
        self.bin.emit(f"create-{what}", None, Gst.Promise.new_with_change_func(created))


class Pair:
    """Both peers, and the outcome."""

    def __init__(self, url):
        self.loop, self.frames, self.error = GLib.MainLoop(), 0, None
        self.a, self.b = Peer(self, "a", url), Peer(self, "b", url)
        self.a.other, self.b.other = self.b, self.a
        self.a.send_video()

    def fail(self, why):
        self.error = why
        self.loop.quit()

    def on_frame(self, *_):
        self.frames += 1
        GLib.idle_add(self.look)

    def look(self):
        if self.frames >= FRAMES and self.a.received == self.b.received == MESSAGES * LENGTH:
            self.loop.quit()
        return False

    def on_offer(self, offer):
        def taken(_):
            self.b.describe("answer", lambda answer: self.a.bin.emit("set-remote-description", answer,
                                                                     Gst.Promise.new()))
        self.b.bin.emit("set-remote-description", offer, Gst.Promise.new_with_change_func(taken))

    def run(self):
        for peer in self.a, self.b:
            peer.pipeline.set_state(Gst.State.READY)
        self.a.use(self.a.bin.emit("create-data-channel", "data", None))
        self.a.bin.connect("on-negotiation-needed", lambda _: self.a.describe("offer", self.on_offer))
        GLib.timeout_add_seconds(LIMIT_S, self.fail, "timed out")
        for peer in self.b, self.a:
            peer.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        outcome = {"error": self.error, "frames": self.frames,
                   "received": [self.a.received, self.b.received],
                   "candidates": [self.a.candidates, self.b.candidates]}
        for peer in self.a, self.b:
            peer.pipeline.set_state(Gst.State.NULL)
        return outcome


if __name__ == "__main__":
    Gst.init(None)
    print(json.dumps(Pair(sys.argv[1]).run()), flush=True)
    os._exit(0)  # nothing is worth a clean-up that gives up the agent twice
