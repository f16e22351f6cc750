"""TCP ports on loopback: free ones, and who holds one that is not free."""

import random
import socket
from collections.abc import Collection

import psutil

LOOPBACK = "127.0.0.1"

# Linux takes ports of outgoing connections from 32768 on, macOS and Windows from 49152.
_RANGE = (20_000, 29_999)


def free_port(avoid: Collection[int] = ()) -> int:
    """A loopback TCP port that was free a moment ago and is not in `avoid`; nothing reserves it.

    From below the range that operating systems take ports of outgoing connections from: one that is remembered is then
    not taken by chance before the next start.
    """
    while True:
        port = random.randint(*_RANGE)
        if port not in avoid and is_free(port):
            return port


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        # As servers do it: connections that linger in TIME_WAIT do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def accepts_connections(port: int, host: str = LOOPBACK, timeout_seconds: float = 1.0) -> bool:
    """Whether something accepts TCP connections at `host:port`."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return True
    except OSError:
        return False


def belongs_to(port: int, pid: int) -> bool:
    """Whether process `pid` or a descendant of it listens on `port`; True if the system does not let us see."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        listening = {
            getattr(connection.laddr, "port", None)
            for member in family
            for connection in member.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return port in listening


def holder_of(port: int) -> str:
    """Who listens on `port`, for a message: `redis-server (pid 4711)`, or that it cannot be seen."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.AccessDenied, OSError):
        return "a process of another user"
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == port
        if listens and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                continue
    return "a process of another user"
