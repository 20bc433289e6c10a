"""TLS as a user meets it: verified by default, with a certificate of one's own, and not at all when told so."""

import select
import socket
import ssl
import subprocess
import threading
import unittest

from support import Server, TestCase, count, run


class TlsFront:
    """Terminates TLS on a free port of 127.0.0.1 and hands the bytes on to a plain server."""

    def __init__(self, certificate, key, backend):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        host, port = backend.removeprefix("http://").split(":")
        self.backend = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=(connection,), daemon=True).start()

    def relay(self, connection):
        with connection:
            try:
                with self.context.wrap_socket(connection, server_side=True) as front, \
                        socket.create_connection(self.backend) as back:
                    while True:
                        ready = [front] if front.pending() else select.select([front, back], [], [], 30)[0]
                        for source in ready:
                            data = source.recv(65536)
                            if not data:
                                return
                            (back if source is front else front).sendall(data)
            except OSError:  # the client refused our certificate, or went away: its right
                return


class Tls(TestCase):
    def setUp(self):
        super().setUp()
        self.certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.certificate],
                       check=True, capture_output=True)
        server = Server()
        self.addCleanup(server.__exit__)
        self.front = TlsFront(self.certificate, key, server.url)
        self.addCleanup(self.front.listener.close)

    def load(self, *arguments):
        return run("load", "--target", self.front.url, "--workload", "fixed-tiny", "--traffic", "hold(10/s,2s)", "--arrivals", "constant",
                   "--out", self.folder / "r", *arguments)

    def test_an_unknown_certificate_is_refused(self):
        done = self.load()
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn("certificate", done.stderr)
        self.assertFalse((self.folder / "r").exists())

    def test_a_certificate_of_ones_own_is_trusted(self):
        done = self.load("--ca-file", self.certificate)
        self.assertIn(done.returncode, (0, 7), done.stderr)
        self.assertEqual(count(self.folder / "r", where="reason = 'ok'"), 20)

    def test_insecure_does_not_ask(self):
        done = self.load("--insecure")
        self.assertIn(done.returncode, (0, 7), done.stderr)
        self.assertEqual(count(self.folder / "r", where="reason = 'ok'"), 20)


if __name__ == "__main__":
    unittest.main()
