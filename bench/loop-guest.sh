#!/bin/sh
# One guest that has somebody to send to: two traffic generators, g1 with eth0 and g2 with eth1, which goes into a network
# namespace of its own, so that all between them leaves the guest and comes back. In the guest this is /bin/bench-loop;
# its arguments are further ones of both generators. What is typed on the console both are told, and both answer there.
stty -echo
unshare -n sleep 1000000000 &
far=$!
until [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 1; done
inside() { nsenter -t $far -n "$@"; }
ip link set eth1 netns $far
inside sh -c 'for scope in all default eth1; do echo 0 >/proc/sys/net/ipv6/conf/$scope/accept_dad; done'
inside ip link set lo up
inside ip link set eth1 up
inside ip addr add 10.1.0.2/24 dev eth1
inside ip addr add fd01::2/64 dev eth1
mkfifo /tmp/g1 /tmp/g2
traffic --me g1 --peers g2=10.1.0.2/fd01::2 "$@" <>/tmp/g1 &
inside traffic --me g2 --peers g1=10.1.0.1/fd01::1 "$@" <>/tmp/g2 &
while read -r line; do
  echo "$line" >/tmp/g1
  echo "$line" >/tmp/g2
done
