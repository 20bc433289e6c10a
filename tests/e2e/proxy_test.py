"""Proxies, and where a connection's time goes: CONNECT, SOCKS5, names looked up here or there."""

import os
import pathlib
import subprocess
import sys
import unittest

from support import Server, TestCase, column, count, run, run_json
from tls_test import TlsFront

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fakes"))
from proxies import ConnectProxy, SocksProxy  # noqa: E402

PASSWORD = "horse-battery"


class Proxies(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--executor", "fixed", "--ttft", "1ms", "--itl", "0ms")
        cls.addClassCleanup(cls.server.__exit__)
        cls.port = int(cls.server.url.rsplit(":", 1)[1])

    def proxy(self, kind, **options):
        made = kind(**options)
        self.addCleanup(made.close)
        return made

    def run_load(self, target, *arguments, folder="r"):
        return run("load", "--target", target, "--out", self.folder / folder, "--workload", "fixed-tiny", "--traffic",
                   "hold(10/s,1s)", "--quiet", *arguments, env=os.environ | {"PROXY_AUTH": f"me:{PASSWORD}"})

    def load(self, target, *arguments):
        done = self.run_load(target, *arguments)
        self.assertIn(done.returncode, (0, 7), done.stderr)
        self.assertGreater(count(self.folder / "r"), 3)
        self.assertEqual(count(self.folder / "r", where="reason <> 'ok'"), 0)
        self.assertNotIn(PASSWORD, (self.folder / "r" / "run.json").read_text() + done.stderr)
        return self.folder / "r"

    def certificate(self):
        certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                        "-addext", "subjectAltName=DNS:engine.invalid", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        return certificate, key

    def test_https_by_connect(self):
        certificate, key = self.certificate()
        front = TlsFront(certificate, key, self.server.url)
        self.addCleanup(front.listener.close)
        there = ("127.0.0.1", front.listener.getsockname()[1])
        # Nobody here can resolve the name: the proxy is asked for it, and the certificate is checked against it.
        proxy = self.proxy(ConnectProxy, where={"engine.invalid:443": there}, auth=f"me:{PASSWORD}")
        out = self.load("https://engine.invalid", "--ca-file", certificate, "--proxy", f"http://{proxy.address}",
                        "--proxy-auth", "env:PROXY_AUTH")
        self.assertEqual(set(proxy.asked), {("connect", "engine.invalid:443")})
        self.assertGreater(max(column(out, "connect_ns")), 0)
        self.assertGreater(max(column(out, "tls_ns")), 0)

    def test_a_proxy_that_wants_a_password_is_told_of(self):
        proxy = self.proxy(ConnectProxy, auth=f"me:{PASSWORD}")
        done = self.run_load("https://engine.invalid", "--proxy", f"http://{proxy.address}")
        self.assertEqual(done.returncode, 8)
        self.assertIn("407", done.stderr)
        self.assertEqual(proxy.asked, [])

    def test_socks_that_looks_names_up_itself(self):
        proxy = self.proxy(SocksProxy, where={"engine.invalid:80": ("127.0.0.1", self.port)})
        self.load("http://engine.invalid", "--proxy", f"socks5h://{proxy.address}")
        self.assertEqual(set(proxy.asked), {("name", "engine.invalid:80")})

    def test_socks_that_is_given_addresses(self):
        proxy = self.proxy(SocksProxy, where={f"::1:{self.port}": ("127.0.0.1", self.port)})
        self.load(f"http://localhost:{self.port}", "--proxy", f"socks5://{proxy.address}")
        self.assertEqual({kind for kind, _ in proxy.asked}, {"address"})

    def test_socks_with_a_password(self):
        proxy = self.proxy(SocksProxy, auth=f"me:{PASSWORD}")
        self.load(self.server.url, "--proxy", f"socks5h://{proxy.address}", "--proxy-auth", "env:PROXY_AUTH")
        self.assertTrue(proxy.asked)

    def test_socks_that_refuses_us(self):
        proxy = self.proxy(SocksProxy, auth="you:other")
        for arguments in ((), ("--proxy-auth", "env:PROXY_AUTH")):
            done = self.run_load(self.server.url, "--proxy", f"socks5h://{proxy.address}", *arguments)
            self.assertEqual(done.returncode, 8, done.stderr)
            self.assertNotIn(PASSWORD, done.stderr)
        self.assertEqual(proxy.asked, [])

    def test_a_password_without_a_proxy_is_refused(self):
        done = self.run_load(self.server.url, "--proxy-auth", "env:PROXY_AUTH")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--proxy-auth has no effect without --proxy", done.stderr)

    def test_names_are_looked_up_and_timed_with_every_connection(self):
        out = self.load(f"http://localhost:{self.port}", "--resolve-each")
        opened = count(out, where="connect_ns > 0")
        self.assertGreater(opened, 0)
        self.assertEqual(count(out, where="connect_ns > 0 and dns_ns > 0"), opened)
        # A connection that was open costs nothing.
        self.assertEqual(count(out, where="connect_ns = 0 and dns_ns = 0 and tls_ns = 0"), count(out) - opened)
        [phases] = run_json(out)["phases"]
        self.assertEqual((phases["attempts"], phases["connections"]), (count(out), opened))
        self.assertEqual(phases["dns"]["count"], opened)
        self.assertEqual(phases["tls"]["count"], 0)
        self.assertEqual(phases["first_byte"]["count"], count(out))

    def test_the_lean_wire_tells_its_connections_too(self):
        out = self.load(f"http://localhost:{self.port}", "--wire", "lean")
        opened = count(out, where="connect_ns > 0")
        self.assertGreater(opened, 0)
        self.assertEqual(count(out, where="connect_ns > 0 and dns_ns = 0"), opened)
        self.assertEqual(count(out, where="connect_ns is null"), 0)
        done = self.run_load(self.server.url, "--wire", "lean", "--resolve-each", folder="w")
        self.assertEqual(done.returncode, 2)
        self.assertIn("the lean wire cannot carry a name looked up with every connection", done.stderr)


if __name__ == "__main__":
    unittest.main()
