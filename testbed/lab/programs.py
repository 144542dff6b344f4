"""The plant's programs that no Debian package brings; each is a subcommand.

plc          a Modbus/TCP server (pymodbus) with holding registers that can be written
hmi          polls holding registers of one PLC over one connection, now and then writes a setpoint
historian    reads both PLCs every few seconds, never writes
write        writes one register several times over a connection of its own, and leaves
camera       a test picture as RTP over UDP at about 40 kbit/s
web          HTTP on 80 and, given a certificate, HTTPS on 443; a PUT is read and thrown away
browse       asks for mDNS services once a minute (zeroconf)
"""
import http.server
import logging
import random
import socket
import ssl
import struct
import sys
import threading
import time

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


def plc(registers):
    from pymodbus.server import StartTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice
    block = SimData(0, count=int(registers), values=1200, datatype=DataType.REGISTERS)
    StartTcpServer(SimDevice(id=1, simdata=[block]), address=("0.0.0.0", 502))


def connect(host):
    """A connected Modbus client; a PLC that still starts is waited for, at most 20 s."""
    from pymodbus.client import ModbusTcpClient
    client = ModbusTcpClient(host, port=502, timeout=3)
    for _ in range(20):
        if client.connect():
            return client
        time.sleep(1)
    sys.exit(f"no Modbus/TCP at {host}")


def every(seconds):
    """Yields a counter on a fixed beat, late ones at once and not made up for."""
    due, n = time.monotonic(), 0
    while True:
        yield n
        n += 1
        due = max(due + seconds, time.monotonic())
        time.sleep(max(0, due - time.monotonic()))


def hmi(host, period, address, count, write_every):
    """Reads `count` registers at `address` each `period` s; every `write_every` polls (0: never) writes register 100."""
    client, write_every = connect(host), int(write_every)
    for n in every(float(period)):
        client.read_holding_registers(int(address), count=int(count), device_id=1)
        if write_every and n % write_every == 7:
            client.write_register(100, random.randint(1180, 1220), device_id=1)


def historian(period, *hosts):
    clients = [connect(host) for host in hosts]
    for _ in every(float(period)):
        for client in clients:
            client.read_holding_registers(0, count=40, device_id=1)


def write(host, address, value, times, pause):
    client = connect(host)
    for n in range(int(times)):
        reply = client.write_register(int(address), int(value) + 10 * n, device_id=1)
        if reply.isError():
            sys.exit(f"the PLC refused the write: {reply}")
        time.sleep(float(pause))
    client.close()


def camera(host, port):
    """4 RTP packets (payload type 96, 90 kHz clock) of 1200 bytes a second."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.connect((socket.gethostbyname(host), int(port)))
    picture = bytes(range(0, 240, 2)) * 10
    for n in every(0.25):
        header = struct.pack("!BBHII", 0x80, 96, n & 0xFFFF, (n * 22500) & 0xFFFFFFFF, 0x4D4F4E42)
        out.send(header + picture[12:])


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "site/1.0", ""

    def do_GET(self):
        """`/anything-N` answers N hundred bytes, so that each path always has its own size."""
        tail = self.path.rsplit("-", 1)[-1].split(".")[0]
        body = b"monban lab " * (9 * int(tail) if tail.isdigit() else 30)
        self.answer(200, body)

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 65536))) or left
        self.answer(201, b"")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def web(*certificate):
    plain = http.server.ThreadingHTTPServer(("0.0.0.0", 80), Site)
    if certificate:
        tls = http.server.ThreadingHTTPServer(("0.0.0.0", 443), Site)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        tls.socket = context.wrap_socket(tls.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=tls.serve_forever, daemon=True).start()
    plain.serve_forever()


def browse(period):
    from zeroconf import ServiceBrowser, Zeroconf
    for _ in every(float(period)):
        zc = Zeroconf()
        browser = ServiceBrowser(zc, ["_http._tcp.local.", "_axis-video._tcp.local."], handlers=[lambda **_: None])
        time.sleep(3)
        browser.cancel()
        zc.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
