#!/usr/bin/env python3
"""Talks to an OpenAI-compatible server with the official openai package.

    server_openai_client.py BASE_URL [MODEL]

BASE_URL ends with /v1. Exits 0 when everything holds, 1 with a sentence when something does not, 77 when the openai package
is not installed (ctest: skipped).
"""

import sys

try:
    import openai
except ImportError:
    print("skipped: the openai package is not installed; scripts/setup --test installs it", file=sys.stderr)
    sys.exit(77)


class Broken(Exception):
    pass


def check(condition, sentence):
    if not condition:
        raise Broken(sentence)


def refused(kind, status, call, **fields):
    """The call must raise `kind` with this status and these fields of the error envelope; returns its message."""
    try:
        call()
    except kind as error:
        check(error.status_code == status, f"expected HTTP {status}, got {error.status_code}: {error}")
        for name, value in fields.items():
            found = getattr(error, name)
            check(found == value, f"expected the error's {name} to be {value!r}, got {found!r}: {error}")
        return str(error)
    except openai.OpenAIError as error:
        raise Broken(f"expected {kind.__name__}, got {type(error).__name__}: {error}") from error
    raise Broken(f"expected {kind.__name__} with HTTP {status}, but the call succeeded")


def models(client, model):
    names = [m.id for m in client.models.list()]
    check(names == [model], f"expected models.list() to give [{model!r}], got {names}")
    check(client.models.retrieve(model).id == model, "models.retrieve() gave another model")
    refused(openai.NotFoundError, 404, lambda: client.models.retrieve("no-such-model"), code="model_not_found")


def chat_whole(client, model):
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": [
            {"type": "text", "text": "Hi é"},
            # Opaque: taken, and counted as nothing.
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}]}],
        max_tokens=12,
        seed=1,
        temperature=0,
        extra_body={"ignore_eos": True, "min_tokens": 12},
    )
    choice = answer.choices[0]
    check(answer.object == "chat.completion", f"unexpected object {answer.object!r}")
    check(choice.message.role == "assistant", f"unexpected role {choice.message.role!r}")
    check(choice.finish_reason == "length", f"expected finish_reason length, got {choice.finish_reason!r}")
    check(answer.usage.prompt_tokens == 14, f"a byte is a token: expected 14 prompt tokens, got {answer.usage.prompt_tokens}")
    check(answer.usage.completion_tokens == 12, f"expected 12 completion tokens, got {answer.usage.completion_tokens}")
    check(answer.usage.total_tokens == 26, f"expected 26 tokens in all, got {answer.usage.total_tokens}")
    check(len(choice.message.content) == 12, f"expected 12 characters, one a token, got {choice.message.content!r}")
    return choice.message.content


def chat_stream(client, model):
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi é"}],
        max_completion_tokens=12,
        seed=1,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    chunks = list(stream)
    check(chunks[0].choices[0].delta.role == "assistant", "the first chunk carries no role")
    check(chunks[0].choices[0].delta.content == "", "the first chunk carries content")
    pieces = [c.choices[0].delta.content for c in chunks[1:] if c.choices and c.choices[0].delta.content]
    check(len(pieces) == 12, f"expected 12 chunks with content, one a token, got {len(pieces)}")
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    check(reasons == ["length"], f"expected one finish_reason, length, got {reasons}")
    check(chunks[-1].choices == [], "the last chunk has choices")
    check(chunks[-1].usage.completion_tokens == 12, f"expected usage of 12 tokens, got {chunks[-1].usage}")
    check(all(c.usage is None for c in chunks[:-1]), "a chunk before the last carries usage")
    check(len({c.id for c in chunks}) == 1, "the chunks of one answer have several ids")
    return "".join(pieces)


def completions(client, model):
    fields = dict(model=model, max_tokens=5, seed=3, temperature=0, extra_body={"ignore_eos": True})
    whole = client.completions.create(prompt="abc", **fields)
    check(whole.usage.prompt_tokens == 3, f"expected 3 prompt tokens, got {whole.usage.prompt_tokens}")
    chunks = list(client.completions.create(prompt=[97, 98, 99], stream=True, **fields))
    pieces = [c.choices[0].text for c in chunks if c.choices and c.choices[0].text]
    check(len(pieces) == 5, f"expected 5 chunks with text, got {len(pieces)}")
    check("".join(pieces) == whole.choices[0].text, "the same request gave one text whole and another streamed")
    check(chunks[-1].usage is None, "usage came though it was not asked for")


def responses(client, model):
    fields = dict(model=model, instructions="Be brief.", input="Hi é", max_output_tokens=12, temperature=0,
                  extra_body={"ignore_eos": True, "min_tokens": 12, "seed": 1})
    whole = client.responses.create(**fields)
    check(whole.status == "incomplete" and whole.incomplete_details.reason == "max_output_tokens",
          f"an answer cut off by max_output_tokens is {whole.status!r}, {whole.incomplete_details}")
    check(whole.usage.input_tokens == 14, f"expected 14 input tokens, got {whole.usage.input_tokens}")
    check(whole.usage.output_tokens == 12, f"expected 12 output tokens, got {whole.usage.output_tokens}")
    check(len(whole.output_text) == 12, f"expected 12 characters, one a token, got {whole.output_text!r}")
    events = list(client.responses.create(stream=True, **fields))
    kinds = [e.type for e in events]
    deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
    check(len(deltas) == 12, f"expected 12 deltas, one a token, got {len(deltas)}")
    check(kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"],
          f"the stream began with {kinds[:4]}")
    check(kinds[-4:] == ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.incomplete"],
          f"the stream ended with {kinds[-4:]}")
    check([e.sequence_number for e in events] == list(range(len(events))), "the events are not numbered in order")
    check(events[-1].response.usage.output_tokens == 12, f"the last event's usage is {events[-1].response.usage}")
    check("".join(deltas) == whole.output_text, "the same request gave one text whole and another streamed")
    with client.responses.stream(model=model, input="Hi", max_output_tokens=3, extra_body={"ignore_eos": True}) as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
    check(len(text) == 3, f"the client's own accumulation failed: {text!r}")
    refused(openai.BadRequestError, 400, lambda: client.responses.create(model=model, input=[]), param="input")


def errors(client, model):
    ask = client.chat.completions.create
    hello = [{"role": "user", "content": "hello"}]
    message = refused(openai.NotFoundError, 404, lambda: ask(model="other", messages=hello), code="model_not_found")
    check(model in message, f"the error does not say which model is served: {message}")
    refused(openai.BadRequestError, 400, lambda: ask(model=model, messages=[]), param="messages")
    refused(openai.BadRequestError, 400, lambda: ask(model=model, messages=hello, max_tokens=0), param="max_tokens")
    refused(openai.BadRequestError, 400, lambda: ask(model=model, messages=hello, temperature=3), param="temperature")
    refused(openai.BadRequestError, 400, lambda: ask(model=model, messages=hello, n=2), param="n")
    refused(openai.BadRequestError, 400, lambda: ask(model=model, messages=hello, stop="x"), param="stop")


def abandoned_stream(client, model):
    """Leaving in the middle must not disturb the next request."""
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hello"}], max_tokens=200, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    stream.close()
    chat_whole(client, model)


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    model = sys.argv[2] if len(sys.argv) == 3 else "tiny"
    client = openai.OpenAI(base_url=sys.argv[1], api_key="unused", max_retries=0, timeout=60)
    try:
        models(client, model)
        whole = chat_whole(client, model)
        streamed = chat_stream(client, model)
        check(whole == streamed, f"the same request gave {whole!r} whole and {streamed!r} streamed")
        completions(client, model)
        responses(client, model)
        errors(client, model)
        abandoned_stream(client, model)
    except Broken as broken:
        print(f"failed: {broken}", file=sys.stderr)
        return 1
    except openai.OpenAIError as error:
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"openai {openai.__version__}: models, chat, completions, responses, streams, usage and errors are as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
