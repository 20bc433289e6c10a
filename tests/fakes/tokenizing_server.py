"""A chat server whose tokeniser is not one byte a token, and whose template costs tokens of its own.

Words are cut into pieces the way subword tokenisers do it: a space belongs to the word after it, common pairs of
letters are one piece, a lone letter is one. The rate is a property of the text, not a constant.
"""

import http.server
import json
import re
import threading

PIECE = re.compile(r" ?[aeiou][a-z]{0,2}| ?[b-df-hj-np-tv-z][aeiou]?| +")
REQUEST_OVERHEAD, MESSAGE_OVERHEAD = 11, 5


def tokens_of(text):
    return len(PIECE.findall(text))


class TokenizingServer:
    """`bodies` keeps what was asked; `usage` says whether answers carry one."""

    def __init__(self, usage=True):
        self.bodies, self.usage = [], usage
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                self.answer(json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}), "application/json",
                            200 if self.path == "/v1/models" else 404)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.bodies.append(body)
                prompt = REQUEST_OVERHEAD + MESSAGE_OVERHEAD * len(body["messages"])
                for message in body["messages"]:
                    content = message["content"]
                    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
                    prompt += sum(tokens_of(part["text"]) for part in parts if part["type"] == "text")
                n = body["max_tokens"]
                frames = [{"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]}] * n
                frames.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
                if outer.usage:
                    frames.append({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": n,
                                                            "total_tokens": prompt + n}})
                self.answer("".join(f"data: {json.dumps(f)}\n\n" for f in frames) + "data: [DONE]\n\n", "text/event-stream")

            def answer(self, text, kind, status=200):
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
