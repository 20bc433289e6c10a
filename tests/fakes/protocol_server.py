"""Servers of eight APIs, as strict as the real ones about a request, that answer in the real ones' frames.

Independent of dsbench: written from the APIs' public documents, with Python's standard library. A request that a
real server would refuse is refused here, and remembered in `complaints`.
"""

import http.server
import json
import re
import threading
import time


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def require(condition, message, status=400):
    if not condition:
        raise Refused(status, message)


def text_of(value, name):
    require(isinstance(value, str) and value, f"{name} must be a non-empty string, found {value!r}")
    return value


def count_of(value, name, least=1):
    require(isinstance(value, int) and not isinstance(value, bool) and value >= least,
            f"{name} must be a whole number from {least} on, found {value!r}")
    return value


def only(body, accepted, name="the body"):
    unknown = set(body) - set(accepted)
    require(not unknown, f"{name} has unknown fields: {sorted(unknown)}")


def messages_of(messages, roles):
    require(isinstance(messages, list) and messages, "messages must be a non-empty list")
    total = 0
    for message in messages:
        require(isinstance(message, dict) and set(message) == {"role", "content"}, f"not a message: {message!r}")
        require(message["role"] in roles, f"no role {message['role']!r}; accepted: {roles}")
        total += len(text_of(message["content"], "content"))
    return total


def event(data, name=None, space=" "):
    line = f"event:{space}{name}\n" if name else ""
    return line + f"data:{space}{data if isinstance(data, str) else json.dumps(data)}\n\n"


def typed(kind, **members):
    return event({"type": kind, **members}, kind)


# Each API: a function of (request handler, body as parsed) → (content type, list of frames). Frames are sent one by one.

def chat(handler, body, deepseek=False):
    only(body, {"model", "messages", "stream", "stream_options", "temperature", "max_tokens", "seed"} |
         ({"ignore_eos", "min_tokens"} if not deepseek else set()))
    require(handler.headers["Authorization"] == "Bearer sk-test", "Authentication Fails", 401)
    require(body.get("model") == "m", f"Model Not Exist: {body.get('model')!r}", 404)
    prompt = messages_of(body.get("messages"), {"system", "user", "assistant"})
    n = count_of(body.get("max_tokens"), "max_tokens")
    usage = {"prompt_tokens": prompt, "completion_tokens": n, "total_tokens": prompt + n}
    if deepseek:
        usage |= {"prompt_cache_hit_tokens": prompt - 1, "prompt_cache_miss_tokens": 1,
                  "prompt_tokens_details": {"cached_tokens": prompt - 1},
                  "completion_tokens_details": {"reasoning_tokens": n // 2}}
    head = {"id": "0c1d", "created": 1780000000, "model": "m", "system_fingerprint": "fp_0"}
    if not body.get("stream", False):
        require("stream_options" not in body, "stream_options needs stream")
        answer = head | {"object": "chat.completion", "usage": usage, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "word " * n, "reasoning_content": "hm"},
             "logprobs": None, "finish_reason": "length"}]}
        return "application/json", ["\n", "\n", json.dumps(answer)]
    require(body.get("stream_options") == {"include_usage": True}, "stream_options.include_usage is missing")

    def frame(delta, finish=None, **more):
        return event(head | {"object": "chat.completion.chunk", "choices": [
            {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]} | more)
    frames = [": keep-alive\n\n"] * 2 if deepseek else []
    frames.append(frame({"role": "assistant", "content": None, "reasoning_content": ""}))
    for i in range(n):
        reasoning = deepseek and i < n // 2
        frames.append(frame({"content": None if reasoning else " word", "reasoning_content": " hm" if reasoning else None}))
    frames.append(frame({"content": "", "reasoning_content": None}, "length"))
    frames.append(event(head | {"object": "chat.completion.chunk", "choices": [], "usage": usage}))
    frames.append("data: [DONE]\n\n")
    return "text/event-stream", frames


def deepseek(handler, body):
    return chat(handler, body, deepseek=True)


def responses(handler, body):
    only(body, {"model", "input", "stream", "store", "max_output_tokens"})
    require(handler.headers["Authorization"] == "Bearer sk-test", "no key", 401)
    text_of(body.get("model"), "model")
    prompt = messages_of(body.get("input"), {"system", "developer", "user", "assistant"})
    require(body.get("stream") is True, "this fake only streams")
    n = count_of(body.get("max_output_tokens"), "max_output_tokens", 16)

    number = 0

    def numbered(kind, **members):
        nonlocal number
        number += 1
        return typed(kind, sequence_number=number - 1, **members)
    response = {"id": "resp_0", "object": "response", "status": "in_progress", "error": None,
                "incomplete_details": None, "model": "m", "output": [], "usage": None}
    frames = [numbered("response.created", response=response), numbered("response.in_progress", response=response),
              numbered("response.output_item.added", output_index=0, item={"id": "msg_0", "type": "message", "content": []}),
              numbered("response.content_part.added", item_id="msg_0", part={"type": "output_text", "text": ""})]
    for i in range(n):
        kind = "response.reasoning_summary_text.delta" if i < 2 else "response.output_text.delta"
        frames.append(numbered(kind, item_id="msg_0", output_index=0, content_index=0, delta=" word", obfuscation="x7"))
    frames.append(numbered("response.output_text.done", item_id="msg_0", text=" word" * n))
    usage = {"input_tokens": prompt, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": n,
             "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": prompt + n}
    frames.append(numbered("response.incomplete", response=response | {
        "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": usage}))
    return "text/event-stream", frames


def anthropic(handler, body):
    only(body, {"model", "messages", "system", "stream", "max_tokens"})
    require(handler.headers["x-api-key"] == "sk-test", "invalid x-api-key", 401)
    require("Authorization" not in handler.headers, "two keys")
    require(re.fullmatch(r"\d{4}-\d\d-\d\d", handler.headers["anthropic-version"] or ""), "anthropic-version: header is required")
    text_of(body.get("model"), "model")
    prompt = messages_of(body.get("messages"), {"user", "assistant"})
    require(body["messages"][0]["role"] == "user", "messages: first message must use the user role")
    n = count_of(body.get("max_tokens"), "max_tokens")
    require(body.get("stream") is True, "this fake only streams")
    frames = [typed("message_start", message={
        "id": "msg_0", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": prompt - 5, "cache_creation_input_tokens": 2,
                                         "cache_read_input_tokens": 3, "output_tokens": 1}}),
        typed("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}), typed("ping")]
    for i in range(n):
        delta = {"type": "thinking_delta", "thinking": " hm"} if i < n // 2 else {"type": "text_delta", "text": " word"}
        frames.append(typed("content_block_delta", index=int(i >= n // 2), delta=delta))
    frames.append(typed("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "c2ln"}))
    frames.append(typed("content_block_stop", index=1))
    frames.append(typed("message_delta", delta={"stop_reason": "max_tokens", "stop_sequence": None}, usage={"output_tokens": n}))
    frames.append(typed("message_stop"))
    return "text/event-stream; charset=utf-8", frames


def sglang(handler, body):
    only(body, {"text", "sampling_params", "stream"})
    prompt = len(text_of(body.get("text"), "text"))
    parameters = body.get("sampling_params")
    only(parameters, {"temperature", "max_new_tokens", "min_new_tokens", "ignore_eos"}, "sampling_params")
    n = count_of(parameters.get("max_new_tokens"), "max_new_tokens")
    require(parameters.get("min_new_tokens") == n and parameters.get("ignore_eos") is True, "no exact length was asked for")
    require(body.get("stream") is True, "this fake only streams")
    frames, done = [], 0
    while done < n:
        done = min(n, done + 2)  # two tokens an event, as with speculative decoding
        frames.append(event({"text": " word" * done, "meta_info": {
            "id": "a0", "finish_reason": {"type": "length", "length": n} if done == n else None, "prompt_tokens": prompt,
            "completion_tokens": done, "cached_tokens": 3, "e2e_latency": 0.1}}))
    return "text/event-stream", frames + ["data: [DONE]\n\n"]


def tgi(handler, body):
    only(body, {"inputs", "parameters"})
    prompt = len(text_of(body.get("inputs"), "inputs"))
    parameters = body.get("parameters")
    only(parameters, {"do_sample", "details", "seed", "max_new_tokens"}, "parameters")
    count_of(parameters.get("seed"), "seed", 0)
    n = count_of(parameters.get("max_new_tokens"), "max_new_tokens")
    frames = []
    for i in range(1, n + 1):
        last = i == n
        frames.append(event({"index": i, "token": {"id": 700 + i, "text": " word", "logprob": -0.25, "special": False},
                             "generated_text": " word" * n if last else None,
                             "details": {"finish_reason": "length", "generated_tokens": n, "seed": None,
                                         "input_length": prompt} if last else None}, space=""))
    return "text/event-stream", frames


def triton(handler, body):
    only(body, {"text_input", "parameters"})
    text_of(body.get("text_input"), "text_input")
    parameters = body.get("parameters")
    require(isinstance(parameters, dict) and all(isinstance(v, (str, int, float, bool)) for v in parameters.values()),
            "parameters must be an object of plain values")
    require(parameters.get("stream") is True, "generate_stream needs stream")
    n = count_of(parameters.get("max_tokens"), "max_tokens")
    return "text/event-stream; charset=utf-8", [
        event({"model_name": "m", "model_version": "1", "sequence_end": False, "sequence_id": 0, "sequence_start": False,
               "text_output": " word"}) for _ in range(n)]


def kserve(handler, body):
    inputs = {i["name"]: i for i in body.get("inputs", [])}
    require(set(inputs) == {"text_input", "max_tokens"}, f"inputs are {sorted(inputs)}")
    for tensor in inputs.values():
        only(tensor, {"name", "shape", "datatype", "data"}, "a tensor")
        elements = 1
        for size in tensor["shape"]:
            elements *= size
        require(elements == len(tensor["data"]), "the shape is not the data's")
    require(inputs["text_input"]["datatype"] == "BYTES" and inputs["max_tokens"]["datatype"] == "INT32", "wrong datatype")
    n = inputs["max_tokens"]["data"][0]
    return "application/json", [json.dumps({"model_name": "m", "model_version": "1", "outputs": [
        {"name": "text_output", "datatype": "BYTES", "shape": [1], "data": [" word" * n]}]})]


ROUTES = {
    "/v1/chat/completions": chat,
    "/deepseek/v1/chat/completions": deepseek,
    "/v1/responses": responses,
    "/v1/messages": anthropic,
    "/anthropic/v1/messages": anthropic,
    "/generate": sglang,
    "/generate_stream": tgi,
    "/v2/models/m/generate_stream": triton,
    "/v2/models/m/infer": kserve,
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def reply(self, status, content_type, frames):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for frame in frames:
            if self.server.gap:
                time.sleep(self.server.gap)
            data = frame.encode()
            # In two pieces, so that frames end in the middle of what the client reads.
            for piece in (data[:len(data) // 2], data[len(data) // 2:]):
                if piece:
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def refuse(self, refused):
        self.server.complaints.append(f"{self.path}: {refused}")
        self.reply(refused.status, "application/json", [json.dumps({"error": {"message": str(refused), "type": "invalid_request_error"}})])

    def handle_any(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/metrics":  # anybody may ask; there are none
            self.reply(404, "text/plain", ["no metrics"])
            return
        self.server.seen.append((self.command, self.path, dict(self.headers), body.decode()))
        if self.server.plain is not None:
            status, text = self.server.plain(self, body)
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())
            return
        try:
            if self.path.endswith("/v1/models") and self.command == "GET":
                require(not self.path.startswith("/anthropic"), "no such path", 404)
                self.reply(200, "application/json", [json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]})])
                return
            require(self.path in ROUTES, "no such path", 404)
            require(self.command == "POST", "method not allowed", 405)
            require(self.headers["Content-Type"] == "application/json", "Content-Type must be application/json", 415)
            content_type, frames = ROUTES[self.path](self, json.loads(body))
            if self.server.spoil:
                frames = self.server.spoil(frames)
            self.reply(200, content_type, frames)
        except Refused as refused:
            self.refuse(refused)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


class ProtocolServer(http.server.ThreadingHTTPServer):
    """On a free port of the loopback interface until closed."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, gap=0.0, spoil=None, plain=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.gap, self.spoil, self.plain = gap, spoil, plain
        self.complaints, self.seen = [], []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join(10)

    def handle_error(self, *_):  # a client that went away
        pass
