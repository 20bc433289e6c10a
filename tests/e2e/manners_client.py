#!/usr/bin/env python3
"""Talks to `dsbench serve --api NAME` with the official openai package, as programs written for that service do.

    manners_client.py BASE_URL NAME

Exits 0 when everything holds, 1 with a traceback when something does not, 77 when the package is not installed.
"""

import sys

try:
    import openai
except ImportError:
    print("skipped: the openai package is not installed; scripts/setup --test installs it", file=sys.stderr)
    sys.exit(77)


def main(base_url, api):
    deepseek = api.startswith("deepseek")
    client = openai.OpenAI(base_url=base_url, api_key="sk-test", max_retries=0, timeout=30)
    ask = dict(model="tiny", messages=[{"role": "user", "content": "how long must I wait"}], max_tokens=8,
               extra_body={"ignore_eos": True, "priority": 1})

    whole = client.chat.completions.create(**ask)
    assert whole.choices[0].finish_reason == "length", whole
    assert whole.usage.completion_tokens == 8, whole.usage
    if deepseek:
        assert len(whole.choices[0].message.reasoning_content) == 4, whole
        assert len(whole.choices[0].message.content) == 4, whole
        assert whole.usage.completion_tokens_details.reasoning_tokens == 4, whole.usage
        assert whole.usage.prompt_cache_hit_tokens + whole.usage.prompt_cache_miss_tokens == whole.usage.prompt_tokens
    else:
        assert len(whole.choices[0].message.content) == 8, whole
        assert whole.usage.prompt_tokens_details.cached_tokens >= 0, whole.usage

    kinds, usage = [], None
    for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            if getattr(choice.delta, "reasoning_content", None):
                kinds.append("reasoning")
            elif choice.delta.content:
                kinds.append("answer")
    assert kinds == (["reasoning"] * 4 + ["answer"] * 4 if deepseek else ["answer"] * 8), kinds
    assert usage.completion_tokens == 8, usage

    refusals = [(lambda: client.chat.completions.create(**{**ask, "max_tokens": -1}),
                 openai.UnprocessableEntityError if deepseek else openai.BadRequestError),
                (lambda: client.chat.completions.create(**{**ask, "model": "gpt-9"}),
                 openai.BadRequestError if deepseek else openai.NotFoundError)]
    for call, kind in refusals:
        try:
            call()
        except kind as error:
            if api == "vllm":
                assert error.body["code"] == error.status_code, error.body
            if deepseek:
                assert error.body["code"] == "invalid_request_error", error.body
        else:
            raise AssertionError(f"expected {kind.__name__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
