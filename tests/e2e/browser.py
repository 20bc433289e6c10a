"""A headless chromium behind the DevTools protocol, over the two pipes that --remote-debugging-pipe opens: standard library only."""

import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time
import zlib


def find():
    """The browser's path, or None."""
    return next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


def above_ten(descriptor):
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(descriptor)
    return moved


class Browser:
    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="dsbench-browser-")
        # The child finds its ends as 3 and 4; above ten they are not in each other's way.
        (down_read, self.down), (self.up, up_write) = [[above_ten(end) for end in os.pipe()] for _ in range(2)]
        command = ["bash", "-c", f'exec 3<&{down_read} 4>&{up_write} {down_read}<&- {up_write}>&-; exec "$0" "$@"', find(), "--headless", "--no-sandbox",
                   "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--font-render-hinting=none",
                   "--disable-background-networking", "--no-first-run", f"--user-data-dir={self.profile}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(command, pass_fds=(down_read, up_write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(down_read)
        os.close(up_write)
        self.number, self.buffer, self.events, self.session = 0, b"", [], None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            self.send(domain + ".enable")

    def close(self):
        os.close(self.down)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.up)
        shutil.rmtree(self.profile, ignore_errors=True)

    def _message(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.up], [], [], left)[0]:
                raise TimeoutError("the browser does not answer")
            chunk = os.read(self.up, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser has gone")
            self.buffer += chunk
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def send(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.down, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            answer = self._message(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def evaluate(self, expression):
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"].get("exception", {}).get("description", answer["exceptionDetails"])))
        return answer["result"].get("value")

    def look(self, width, height=1200, scheme="light", media=""):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, path, scripts=True):
        self.events.clear()
        self.send("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
        deadline = time.monotonic() + 60
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._message(deadline))
        if scripts:
            self.settle()

    def settle(self):
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def complaints(self):
        """What the page put on the console, or the browser has to say of it."""
        said = []
        for e in self.events:
            if e.get("method") == "Runtime.consoleAPICalled":
                said.append(str([a.get("value", a.get("description")) for a in e["params"]["args"]]))
            elif e.get("method") == "Runtime.exceptionThrown":
                said.append(str(e["params"]["exceptionDetails"].get("exception", {}).get("description", "exception")))
            elif e.get("method") == "Log.entryAdded":
                said.append(e["params"]["entry"]["text"])
        return said

    def key(self, key, code=0, shift=False):
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, modifiers=8 if shift else 0)

    def picture(self, clip):
        """A part of the page at a quarter of its size: (width, height, RGB bytes)."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip={"x": clip[0], "y": clip[1], "width": clip[2], "height": clip[3], "scale": 0.25})["data"]
        return decode_png(base64.b64decode(data))

    def pdf(self):
        return base64.b64decode(self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])


def decode_png(data):
    """Eight-bit RGB and RGBA, not interlaced: what chromium writes, and encode_png()."""
    at, header, body = 8, None, b""
    while at < len(data):
        length, kind = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        if kind == b"IHDR":
            header = data[at + 8:at + 8 + length]
        elif kind == b"IDAT":
            body += data[at + 8:at + 8 + length]
        at += 12 + length
    width, height, channels = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big"), {2: 3, 6: 4}[header[9]]
    raw, stride = zlib.decompress(body), width * channels
    above, out = bytearray(stride), bytearray()
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        if kind == 1:
            for i in range(channels, stride):
                row[i] = (row[i] + row[i - channels]) & 255
        elif kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, above))
        elif kind == 3:
            for i in range(stride):
                row[i] = (row[i] + ((row[i - channels] if i >= channels else 0) + above[i]) // 2) & 255
        elif kind == 4:
            for i in range(stride):
                a, b, c = (row[i - channels] if i >= channels else 0), above[i], (above[i - channels] if i >= channels else 0)
                p = a + b - c
                pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
                row[i] = (row[i] + (a if pa <= pb and pa <= pc else b if pb <= pc else c)) & 255
        above = row
        out += row if channels == 3 else bytes(v for i, v in enumerate(row) if i % 4 != 3)
    return width, height, bytes(out)


def encode_png(width, height, rgb):
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    rows = b"".join(b"\0" + rgb[y * width * 3:(y + 1) * width * 3] for y in range(height))
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def thumbnail(picture, columns, rows):
    """The means of columns × rows equal blocks, as RGB bytes."""
    width, height, rgb = picture
    out = bytearray()
    for r in range(rows):
        top, bottom = r * height // rows, max(r * height // rows + 1, (r + 1) * height // rows)
        for c in range(columns):
            left, right = c * width // columns, max(c * width // columns + 1, (c + 1) * width // columns)
            sums, n = [0, 0, 0], (bottom - top) * (right - left)
            for y in range(top, bottom):
                part = rgb[(y * width + left) * 3:(y * width + right) * 3]
                for k in range(3):
                    sums[k] += sum(part[k::3])
            out += bytes(s // n for s in sums)
    return bytes(out)
