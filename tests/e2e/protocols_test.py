"""dsbench load against a server of each API: it asks as the API wants to be asked, and records what was answered."""

import json
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fakes"))

from protocol_server import ProtocolServer, event, typed  # noqa: E402
from support import Server, TestCase, column, count, run, run_json  # noqa: E402

REQUESTS = 20
TOKENIZER = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "parity" / "tokenizer-v2"
# 7: a busy machine may make the generator late; what was asked and recorded is no less true.
RUN = (0, 3, 7)


class Base(TestCase):
    def load(self, api, path="", model="m", key="command:echo sk-test", extra=(), **server):
        self.server = ProtocolServer(**server)
        self.addCleanup(self.server.close)
        arguments = ["load", "--target", self.server.url + path, "--api", api, "--workload", self.workload(), "--traffic",
                     "hold(20/s,1s)", "--arrivals", "constant", "--quiet", "--out", self.folder / "r"]
        if model:
            arguments += ["--model", model]
        if key:
            arguments += ["--api-key", key]
        return run(*arguments, *extra)

    def workload(self):
        file = self.folder / "w.json"
        file.write_text(json.dumps({"schema": "dsbench.workload/1", "description": "16 in, 20 out",
                                    "prompt_tokens": {"law": "constant", "value": 16},
                                    "output_tokens": {"law": "constant", "value": 20}}))
        return file

    def check(self, done, **expected):
        """All requests were answered whole, and every row has these values."""
        self.assertIn(done.returncode, RUN, done.stdout + done.stderr)
        self.assertEqual(self.server.complaints, [])
        directory = self.folder / "r"
        self.assertEqual(run_json(directory)["requests"], REQUESTS)
        self.assertEqual(count(directory, where="reason = 'ok'"), REQUESTS, column(directory, "reason"))
        for name, value in expected.items():
            self.assertEqual(set(column(directory, name)), {value}, name)
        # The order of things, for every attempt.
        self.assertEqual(count(directory, where="sent_ns <= first_byte_ns and first_byte_ns <= first_token_ns and "
                                                "first_token_ns <= last_token_ns and last_token_ns <= done_ns"), REQUESTS)

    def check_streamed(self):
        """Frames that came 5 ms apart are 5 ms apart in the record: nobody waited for the end."""
        span = column(self.folder / "r", "last_token_ns - first_token_ns")
        self.assertGreater(span[0], 19 * 5e6 * 0.9)


class Protocols(Base):
    def test_chat(self):
        self.check(self.load("chat", gap=0.005), output_tokens=20, prompt_tokens=16, token_source="usage",
                   cached_prompt_tokens=None)
        self.check_streamed()

    def test_chat_as_deepseek_speaks_it(self):
        done = self.load("chat", path="/deepseek", extra=["--no-exact-lengths"])
        self.check(done, output_tokens=20, prompt_tokens=16, cached_prompt_tokens=15, reasoning_tokens=10)

    def test_deepseek_refuses_what_it_does_not_know(self):
        done = self.load("chat", path="/deepseek")
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn("unknown fields: ['ignore_eos', 'min_tokens']", done.stderr)

    def test_chat_in_one_piece(self):
        self.check(self.load("chat", extra=["--no-stream"]), output_tokens=20, prompt_tokens=16)
        self.assertEqual(column(self.folder / "r", "last_token_ns - first_token_ns"), [0] * REQUESTS)
        self.assertFalse(json.loads(self.server.seen[-1][3])["stream"])

    def test_responses(self):
        self.check(self.load("responses", gap=0.005), output_tokens=20, prompt_tokens=16, token_source="usage",
                   cached_prompt_tokens=3, reasoning_tokens=2)
        self.check_streamed()

    def test_anthropic(self):
        self.check(self.load("anthropic", gap=0.005), output_tokens=20, prompt_tokens=16, token_source="usage",
                   cached_prompt_tokens=3)
        self.check_streamed()

    def test_anthropic_under_a_path_without_a_list_of_models(self):
        done = self.load("anthropic", path="/anthropic")
        self.assertIn(done.returncode, RUN, done.stderr)
        self.assertEqual(count(self.folder / "r", where="reason = 'ok'"), REQUESTS)

    def test_anthropic_overloaded_in_the_middle(self):
        answers = [0]

        def overload(frames):
            answers[0] += 1
            if answers[0] == 1:  # the probe before the run
                return frames
            return frames[:8] + [typed("error", error={"type": "overloaded_error", "message": "Overloaded"})]
        self.load("anthropic", spoil=overload)
        self.assertEqual(column(self.folder / "r", "reason"), ["error_frame"] * REQUESTS)
        self.assertEqual(set(column(self.folder / "r", "http_status")), {200})

    def test_sglang(self):
        self.check(self.load("sglang", model="", key="", gap=0.005), output_tokens=20, prompt_tokens=16,
                   token_source="usage", cached_prompt_tokens=3)

    def test_sglang_without_its_end(self):
        answers = [0]

        def cut(frames):
            answers[0] += 1
            return frames if answers[0] == 1 else frames[:-1]
        self.load("sglang", model="", key="", spoil=cut)
        self.assertEqual(column(self.folder / "r", "reason"), ["closed_early"] * REQUESTS)

    def test_tgi(self):
        self.check(self.load("tgi", model="", key="", gap=0.005), output_tokens=20, prompt_tokens=16, token_source="usage")
        self.check_streamed()

    def test_triton(self):
        self.check(self.load("triton", key="", gap=0.005), output_tokens=20, prompt_tokens=16, token_source="chunks")
        self.check_streamed()

    def test_triton_fails_in_the_middle(self):
        answers = [0]

        def fail(frames):
            answers[0] += 1
            return frames if answers[0] == 1 else frames[:5] + [event({"error": "out of blocks"})]
        self.load("triton", key="", spoil=fail)
        self.assertEqual(column(self.folder / "r", "reason"), ["error_frame"] * REQUESTS)
        self.assertEqual(set(column(self.folder / "r", "output_tokens")), {5})

    def test_kserve(self):
        self.check(self.load("kserve", key=""), output_tokens=1, prompt_tokens=16, token_source="chunks")

    def test_what_no_server_counts_is_counted_by_the_models_tokenizer(self):
        # " word" twenty times is 40 tokens by Hugging Face's tokenizers 0.23.3.
        extra = ("--tokenizer", TOKENIZER)
        for api, wire in (("triton", "lean"), ("triton", "libcurl"), ("kserve", "lean")):
            with self.subTest(api=api, wire=wire):
                shutil.rmtree(self.folder / "r", ignore_errors=True)
                self.check(self.load(api, key="", extra=(*extra, "--wire", wire)), output_tokens=40, token_source="retokenised",
                           prompt_tokens=16)
                counts = run_json(self.folder / "r")["token_counts"]
                self.assertEqual((counts["outputs_retokenised"], counts["outputs_by_chunks"]), (REQUESTS, 0))
                (told,) = counts["calibrations"]
                self.assertEqual(told["source"], "tokenizer")
                self.assertGreater(told["bytes_per_token"], 1.1)
        # What a server counts stays the server's.
        shutil.rmtree(self.folder / "r")
        self.check(self.load("chat", extra=extra), output_tokens=20, token_source="usage")

    def test_a_tokenizer_that_cannot_help(self):
        done = self.load("sglang", model="", key="", extra=("--tokenizer", TOKENIZER))
        self.assertEqual(done.returncode, 2)
        self.assertIn("--api sglang", done.stderr)
        done = self.load("chat", extra=("--tokenizer", self.folder))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("tokenizer.json", done.stderr)

    def test_triton_without_a_model(self):
        done = self.load("triton", model="", key="")
        self.assertEqual(done.returncode, 2)
        self.assertIn("name the model", done.stderr)

    def test_an_unknown_api(self):
        done = self.load("antropic")
        self.assertEqual(done.returncode, 2)
        self.assertIn("did you mean 'anthropic'?", done.stderr)


class PlainHttp(Base):
    """Any service: a template says what is asked and what must come back."""

    def template(self, **members):
        file = self.folder / "t.json"
        file.write_text(json.dumps({"schema": "dsbench.http/1", **members}))
        return f"http:{file}"

    def test_a_post(self):
        api = self.template(method="POST", path="/search?q=1", headers=[{"name": "Content-Type", "value": "text/x"}],
                            body="{{request}}|{{prompt_tokens}}|{{prompt}}",
                            expect={"status": [201], "body_contains": "echo", "body_matches": "^echo \\d+"})
        done = self.load(api, model="", key="", plain=lambda _, body: (201, "echo " + body.decode()))
        self.check(done, output_tokens=1, http_status=201)
        method, path, headers, body = self.server.seen[-1]
        self.assertEqual((method, path, headers["Content-Type"]), ("POST", "/search?q=1", "text/x"))
        number, tokens, prompt = body.split("|")
        self.assertEqual((tokens, len(prompt)), ("16", 16))
        self.assertEqual({s[3].split("|")[0] for s in self.server.seen[1:]}, {str(i) for i in range(REQUESTS)})

    def test_a_get_without_an_answer(self):
        done = self.load(self.template(), model="", key="", plain=lambda *_: (204, ""))
        self.check(done, http_status=204)
        self.assertEqual(self.server.seen[-1][0], "GET")

    def test_methods(self):
        for method in ("PUT", "PATCH", "DELETE"):
            with self.subTest(method):
                shutil.rmtree(self.folder / "r", ignore_errors=True)
                api = self.template(method=method, body="x")
                self.check(self.load(api, model="", key="", plain=lambda *_: (200, "")))
                self.assertEqual({(s[0], s[3]) for s in self.server.seen}, {(method, "x")})

    def test_a_body_that_is_not_as_expected(self):
        seen = [0]

        def answer(*_):
            seen[0] += 1
            return 200, "fine" if seen[0] == 1 else "not so"
        self.load(self.template(expect={"body_contains": "fine"}), model="", key="", plain=answer)
        self.assertEqual(column(self.folder / "r", "reason"), ["malformed"] * REQUESTS)

    def test_a_status_that_is_not_expected(self):
        done = self.load(self.template(expect={"status": [404]}), model="", key="", plain=lambda *_: (200, ""))
        self.assertEqual(done.returncode, 8)
        self.assertIn("answers 200", done.stderr)

    def test_a_template_that_cannot_be(self):
        done = self.load(self.template(pathh="/x"), model="", key="", plain=lambda *_: (200, ""))
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown key 'pathh'; did you mean 'path'?", done.stderr)


class OurServer(TestCase):
    """dsbench's own engine speaks four of them."""

    def test_what_it_speaks(self):
        with Server() as server:
            for api, extra in (("chat", []), ("completions", []), ("chat", ["--no-stream"]), ("completions", ["--no-stream"]),
                               ("anthropic", []), ("responses", [])):
                with self.subTest(api=api, extra=extra):
                    out = self.folder / (api + "".join(extra))
                    done = run("load", "--target", server.url, "--api", api, *extra, "--workload", "fixed-tiny", "--traffic",
                               "hold(10/s,1s)", "--arrivals", "constant", "--quiet", "--out", out)
                    self.assertIn(done.returncode, RUN, done.stderr)
                    # Two of them have no word for an exact length, and one asks for 16 at least.
                    lengths = {"anthropic": "between 1 and 4", "responses": "between 1 and 16"}.get(api, "= 4")
                    self.assertEqual(count(out, where=f"reason = 'ok' and output_tokens {lengths} and token_source = 'usage'"), 10,
                                     column(out, "reason || ' ' || output_tokens"))



if __name__ == "__main__":
    unittest.main()
