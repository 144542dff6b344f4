#!/bin/sh
# Makes demo.pcap.gz, truth.csv and devices.csv again. Run as root; about 20 minutes.
#   sudo testbed/lab/make-demo.sh                        the committed capture
#   sudo testbed/lab/make-demo.sh --normal 60 --out DIR  a short one, to try a change
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=$here/.cache

missing=
for tool in ip tc ethtool tcpdump dnsmasq mosquitto mosquitto_pub mosquitto_sub nmap hping3 \
            chronyd avahi-daemon udhcpc dhclient socat ping curl openssl python3; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "make-demo: not installed:$missing" >&2
    echo "make-demo: on Debian: apt-get install iproute2 ethtool tcpdump dnsmasq mosquitto mosquitto-clients \\" >&2
    echo "    nmap hping3 chrony avahi-daemon udhcpc isc-dhcp-client socat iputils-ping curl openssl python3-venv" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "make-demo: network namespaces need root: sudo $0 $*" >&2
    exit 1
fi
if [ ! -x "$cache/venv/bin/python" ] || ! "$cache/venv/bin/python" -c 'import pymodbus, zeroconf' 2>/dev/null; then
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" --quiet install pymodbus==3.16.1 zeroconf==0.154.0
fi
exec "$cache/venv/bin/python" "$here/lab.py" "$@"
