"""An HTTPAdapter that refuses connections to non-public IP addresses (SSRF protection)."""

import ipaddress
import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError


class PublicPeerConnection(HTTPSConnection):
    """Checks the connected address: a check of the resolved name can be bypassed by DNS rebinding."""

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        address = ipaddress.ip_address(str(sock.getpeername()[0]).partition("%")[0])
        if not address.is_global:
            sock.close()
            raise NewConnectionError(self, "the address is not public")
        return sock


class PublicPeerPool(HTTPSConnectionPool):
    ConnectionCls = PublicPeerConnection


class PublicPeerAdapter(HTTPAdapter):
    """Allows https to public addresses only."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"https": PublicPeerPool}
