#!/usr/bin/env python3
"""Talks to a server that speaks Anthropic's Messages API with the official anthropic package.

    server_anthropic_client.py BASE_URL [MODEL]

BASE_URL is without /v1. Exits 0 when everything holds, 1 with a sentence when something does not, 77 when the package is not installed.
"""

import sys

try:
    import anthropic
except ImportError:
    print("skipped: the anthropic package is not installed; scripts/setup --test installs it", file=sys.stderr)
    sys.exit(77)


class Broken(Exception):
    pass


def check(condition, sentence):
    if not condition:
        raise Broken(sentence)


ASK = dict(system="Be brief.", messages=[{"role": "user", "content": [{"type": "text", "text": "Hi é"}]}], max_tokens=12, temperature=0,
           extra_body={"ignore_eos": True, "min_tokens": 12, "seed": 1})


def whole(client, model):
    message = client.messages.create(model=model, **ASK)
    check(message.type == "message" and message.role == "assistant", f"unexpected {message.type!r}, {message.role!r}")
    check(message.stop_reason == "max_tokens", f"expected stop_reason max_tokens, got {message.stop_reason!r}")
    check(message.usage.input_tokens == 14, f"a byte is a token: expected 14 input tokens, got {message.usage.input_tokens}")
    check(message.usage.output_tokens == 12, f"expected 12 output tokens, got {message.usage.output_tokens}")
    check(message.id.startswith("msg_"), f"unexpected id {message.id!r}")
    text = "".join(block.text for block in message.content)
    check(len(text) == 12, f"expected 12 characters, one a token, got {text!r}")
    return text


def raw_events(client, model):
    events = list(client.messages.create(model=model, stream=True, **ASK))
    types = [e.type for e in events]
    deltas = [e.delta.text for e in events if e.type == "content_block_delta"]
    check(len(deltas) == 12, f"expected 12 deltas, one a token, got {len(deltas)}")
    kept = [t for t in types if t not in ("content_block_delta", "ping")]
    check(kept == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"], f"events came as {kept}")
    check(events[0].message.usage.input_tokens == 14, f"message_start says {events[0].message.usage}")
    delta = next(e for e in events if e.type == "message_delta")
    check(delta.delta.stop_reason == "max_tokens" and delta.usage.output_tokens == 12, f"message_delta says {delta}")
    return "".join(deltas)


def accumulated(client, model):
    with client.messages.stream(model=model, **ASK) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    check(message.content[0].text == text, "the accumulated message differs from its stream")
    check((message.usage.input_tokens, message.usage.output_tokens) == (14, 12), f"accumulated usage is {message.usage}")
    return text


def errors(client, model):
    hello = [{"role": "user", "content": "hello"}]
    for kind, status, word, fields in ((anthropic.NotFoundError, 404, "not_found_error", dict(model="other", messages=hello, max_tokens=1)),
                                       (anthropic.BadRequestError, 400, "invalid_request_error", dict(model=model, messages=[], max_tokens=1)),
                                       (anthropic.BadRequestError, 400, "invalid_request_error", dict(model=model, messages=hello, max_tokens=0)),
                                       (anthropic.BadRequestError, 400, "invalid_request_error",
                                        dict(model=model, messages=hello, max_tokens=1, temperature=1.5))):
        try:
            client.messages.create(**fields)
        except kind as error:
            check(error.status_code == status, f"expected HTTP {status}, got {error.status_code}")
            check(error.body["type"] == "error" and error.body["error"]["type"] == word, f"the envelope is {error.body}")
        else:
            raise Broken(f"{fields} was accepted")


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    model = sys.argv[2] if len(sys.argv) == 3 else "tiny"
    client = anthropic.Anthropic(base_url=sys.argv[1], api_key="unused", max_retries=0, timeout=60)
    try:
        texts = {whole(client, model), raw_events(client, model), accumulated(client, model)}
        check(len(texts) == 1, f"the same request gave several texts: {texts}")
        errors(client, model)
    except Broken as broken:
        print(f"failed: {broken}", file=sys.stderr)
        return 1
    except anthropic.AnthropicError as error:
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"anthropic {anthropic.__version__}: messages, streams, usage and errors are as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
