"""IP addresses and networks. An IPv4 address that arrives as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address."""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LONGEST_ADDRESS = 45


def parse_address(text: str) -> Address | None:
    """Return an address without its zone; None if the text is none, as that of a Unix socket."""
    try:
        parsed = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed


def parse_network(text: str) -> Network:
    """Return a network; an address is the network of it alone. Raises ValueError, also for bits beside the mask."""
    network = ipaddress.ip_network(text.strip())
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None:
        return network
    return ipaddress.ip_network(f"{mapped}/{max(network.prefixlen - 96, 0)}")


def normalise_network(text: str) -> str:
    """Return a network as it is stored and shown; that of one address without its mask. Raises ValueError."""
    network = parse_network(text)
    return str(network.network_address if network.num_addresses == 1 else network)


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Return whether one of the networks contains the address; the networks are as `parse_network` takes them."""
    parsed = parse_address(address)
    return parsed is not None and any(parsed in parse_network(network) for network in networks)
