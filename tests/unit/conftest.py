"""No test here opens a socket."""

from tests.support.no_sockets import no_sockets

__all__ = ["no_sockets"]
