"""Addresses of the network, as users write them."""

from __future__ import annotations

import socket

from .messages import CommandError, UsageError

LOOPBACK = "127.0.0.1"


def check_positive(**values: float) -> None:
    """Raise a `UsageError` for an option's value that is not positive."""
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise UsageError(f"--{name} is a positive number, not {value:g}")


def parse_address(text: str, *, default_host: str | None = None) -> tuple[str, int]:
    """HOST:PORT, [HOST]:PORT, or, where there is a default host, PORT alone."""
    host, colon, port = text.rpartition(":")
    if not colon and default_host is not None:
        host = default_host
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isdecimal() and 0 < int(port) < 65_536):
        expected = "HOST:PORT" if default_host is None else "PORT or HOST:PORT"
        raise UsageError(f"an address is {expected} with a port of 1 to 65535, not {text!r}")
    return host, int(port)


def udp_socket(host: str, port: int, *, listens: bool) -> socket.socket:
    """A socket that hears what is sent to the address alone, or that sends to it alone."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        made = socket.socket(family, kind, protocol)
        try:
            made.bind(address) if listens else made.connect(address)
        except OSError:
            made.close()
            raise
    except (OSError, UnicodeError) as error:  # of a name that is none
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"{host}:{port} cannot be used: {reason}") from error
    return made
