"""Which addresses of the network are public: everything that an address of a stranger may lead to.

The machine itself, its neighbours and the services that clouds offer to their machines are not, in any of the ways in
which an IPv4 address can be written as an IPv6 one.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

from reconciler.notification.destination import Destination

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
LOOK_PUBLIC = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")))
"""And are not: answered by the cloud that the machine runs in, or for protocols. Not every Python knows all of them."""


class NotPublic(Exception):
    pass


async def resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def settle_on(destination: Destination, resolve: Resolve) -> str:
    """One address for this delivery, to be connected to as it is: asking again could give another."""
    found = await resolve(destination.host, destination.port)
    if not found:
        raise OSError(f"{destination.host} has no address")
    # One bad among good ones is no accident either.
    if not destination.is_allowed and not all(is_public(ipaddress.ip_address(one.partition("%")[0])) for one in found):
        raise NotPublic(f"{destination.host} is not public; --allow-notify {destination.host} vouches for it")
    return found[0]


def is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inside is None and any(address in network for network in NAT64):
            inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inside is not None:
            return is_public(inside)
        if address.is_site_local:
            return False
    if address.is_multicast or address.is_reserved or any(address in network for network in LOOK_PUBLIC):
        return False
    return address.is_global
