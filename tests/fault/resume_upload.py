#!/usr/bin/env python3
"""A device is killed in the middle of its upload; started again it sends what the server misses, not the whole.

    resume_upload.py BIN_DIR WORK_DIR

One server and one device over CoAP/DTLS on this host, behind a relay that lets 100 kbit/s pass up.
"""
import os
import select
import socket
import sys
import threading
import time

import kill_processes

RATE_BITS_PER_S = 100_000
HALF_BYTES = 15_000  # of the update of 30 kB: what passes before the device is killed
BLOCK_BYTES = 1024  # a datagram of more carries a block of an upload
HELD = 200  # datagrams; what is more is lost


class SlowRelay(threading.Thread):
    """127.0.0.1:PORT -> 127.0.0.2:PORT; a device that asks where its shard is stays behind it."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stopped, self.ways, self.held = port, False, {}, []
        self.carried, self.most = 0, HALF_BYTES  # of blocks; None: all may pass
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(("127.0.0.1", port))

    def way_of(self, client):
        if client not in self.ways:
            self.ways[client] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.ways[client].connect(("127.0.0.2", self.port))
        return self.ways[client]

    def run(self):
        free_at = 0.0
        while not self.stopped:
            wait = max(0.0, min(0.05, free_at - time.monotonic())) if self.held else 0.05
            ready, _, _ = select.select([self.front, *self.ways.values()], [], [], wait)
            for sock in ready:
                try:
                    if sock is self.front:
                        data, client = sock.recvfrom(2048)
                        if len(self.held) < HELD:
                            self.held.append((self.way_of(client), data))
                    else:
                        client = next(name for name, way in self.ways.items() if way is sock)
                        self.front.sendto(sock.recv(2048), client)
                except OSError:
                    pass  # nobody listens there now
            while self.held and time.monotonic() >= free_at and (self.most is None or self.carried < self.most):
                way, data = self.held.pop(0)
                free_at = max(free_at, time.monotonic()) + len(data) * 8 / RATE_BITS_PER_S
                if len(data) > BLOCK_BYTES:
                    self.carried += len(data)
                try:
                    way.send(data)
                except OSError:
                    pass


def slow_down(federation):
    """raw32: an update of 30 kB. The server behind the relay, at the same port."""
    with open(federation.path("server/server.yaml")) as file:
        text = file.read()
    text = text.replace("codec: int8", "codec: raw32").replace("server: {", 'server: {address: "127.0.0.2", ')
    with open(federation.path("server/server.yaml"), "w") as file:
        file.write(text)
    port = int(text.split("port: ")[1].split(",")[0])
    with open(federation.path("devices/device-1/client.yaml")) as file:
        text = file.read()
    with open(federation.path("devices/device-1/client.yaml"), "w") as file:
        file.write(text.replace(f"server: localhost:{port}", f"server: 127.0.0.1:{port}"))
    return port


def run(federation):
    update = federation.path("devices/device-1/state/tiny/update")
    port = slow_down(federation)
    relay = SlowRelay(port)
    relay.start()
    federation.start("server")
    federation.start("device-1")
    kill_processes.wait_until("an update that goes out", kill_processes.PATIENCE_S, lambda: os.path.exists(update))
    size = os.path.getsize(update)
    kill_processes.wait_until("half of it to pass", kill_processes.PATIENCE_S, lambda: relay.carried >= HALF_BYTES)
    federation.kill("device-1")
    relay.held.clear()  # what was on its way
    relay.most = None
    if not os.path.exists(update):
        raise AssertionError("it was faster than the relay lets it be")
    federation.start("device-1")
    kill_processes.wait_until("the update's acknowledgement", kill_processes.PATIENCE_S, lambda: len(federation.lines("device-1")) > 0)
    report = federation.lines("device-1")[0]
    relay.stopped = True
    # what it repeated itself, because the relay is slow, is not what the first process had sent
    repeated = report["blocks_repeated"] * BLOCK_BYTES
    sent = report["upload_bytes_up"] - repeated
    print(f"an update of {size} bytes: the second process sent {sent}, {sent / size:.0%}, and {repeated} of it twice")
    if not 0.1 * size < sent < 0.85 * size:
        raise AssertionError("it was not stopped in the middle, or the second process sent it all again")


def main():
    kill_processes.DEVICES = 1
    federation = kill_processes.Federation(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), 1, 1, everybody=True)
    try:
        run(federation)
    except BaseException:
        federation.show()
        raise
    finally:
        federation.close()


if __name__ == "__main__":
    main()
