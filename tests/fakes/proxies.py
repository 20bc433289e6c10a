"""Proxies of our own: HTTP's CONNECT and SOCKS5 (RFC 1928, RFC 1929), on free ports of 127.0.0.1.

`where` maps what is asked for, "host:port", to the (host, port) to go to; what is not in it is gone to as asked.
`asked` keeps every address that was asked for, as (kind, "host:port"); kind is "connect", "name" or "address".
"""

import base64
import select
import socket
import struct
import threading


class Proxy:
    def __init__(self, where=None, auth=None):
        self.where, self.auth = where or {}, auth
        self.asked, self.refused = [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, client):
        with client:
            try:
                back = self.shake_hands(client)
                if back is None:
                    self.refused += 1
                    return
                with back:
                    self.relay(client, back)
            except (OSError, EOFError):
                pass

    def connect(self, kind, host, port):
        self.asked.append((kind, f"{host}:{port}"))
        return socket.create_connection(self.where.get(f"{host}:{port}", (host, port)), timeout=10)

    @staticmethod
    def read(client, n):
        data = b""
        while len(data) < n:
            more = client.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    @staticmethod
    def relay(client, back):
        while True:
            for source in select.select([client, back], [], [], 30)[0]:
                data = source.recv(65536)
                if not data:
                    return
                (back if source is client else client).sendall(data)


class ConnectProxy(Proxy):
    def shake_hands(self, client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(client, 1)
        lines = head.decode().split("\r\n")
        method, authority, _ = lines[0].split(" ")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        if self.auth and headers.get("proxy-authorization") != "Basic " + base64.b64encode(self.auth.encode()).decode():
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\n"
                           b"Content-Length: 0\r\n\r\n")
            return None
        if method != "CONNECT":
            client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
            return None
        host, _, port = authority.rpartition(":")
        back = self.connect("connect", host, int(port))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return back


class SocksProxy(Proxy):
    def shake_hands(self, client):
        version, n = self.read(client, 2)
        assert version == 5
        methods = self.read(client, n)
        wanted = 2 if self.auth else 0
        if wanted not in methods:
            client.sendall(b"\x05\xff")
            return None
        client.sendall(bytes([5, wanted]))
        if self.auth:
            assert self.read(client, 1) == b"\x01"
            user = self.read(client, self.read(client, 1)[0])
            password = self.read(client, self.read(client, 1)[0])
            good = f"{user.decode()}:{password.decode()}" == self.auth
            client.sendall(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return None
        version, command, _, kind = self.read(client, 4)
        assert (version, command) == (5, 1)
        if kind == 3:
            host = self.read(client, self.read(client, 1)[0]).decode()
        else:
            host = socket.inet_ntop(*((socket.AF_INET, self.read(client, 4)) if kind == 1 else (socket.AF_INET6, self.read(client, 16))))
        port = struct.unpack(">H", self.read(client, 2))[0]
        back = self.connect("name" if kind == 3 else "address", host, port)
        client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        return back
